/** Webhooks, and what is on its way to them. */
import { z } from 'zod';
import { EVENT_TYPES } from '../core/event.ts';
import { MAX_WEBHOOK_URL_LENGTH, WEBHOOK_TEST } from '../core/webhook.ts';
import { Id } from './wire-id.ts';

const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC' });

/** What may be sent there is said where it is checked, with what is allowed. */
export const WebhookUrl = z.string().max(MAX_WEBHOOK_URL_LENGTH).meta({
  description:
    'https, to a public address; what this Capybara’s webhooks.allow names may be private, and http',
});

const Events = z.array(z.enum(EVENT_TYPES)).min(1).max(EVENT_TYPES.length);

export const Webhook = z
  .object({
    id: Id,
    url: z.string(),
    events: z
      .array(z.enum(EVENT_TYPES))
      .nullable()
      .meta({ description: 'types of what is delivered; null: all' }),
    createdBy: z.string(),
    signsTasks: z.boolean().meta({
      description: 'its secret also signs what tasks have delivered to a webhookUrl of their own',
    }),
    createdAt: timestamp,
    failingSince: timestamp.nullable().meta({ description: 'since when nothing but failures came of it' }),
    disabledAt: timestamp.nullable().meta({ description: 'nothing is delivered until it is enabled' }),
    disabledReason: z.enum(['person', 'gone', 'failing']).nullable().meta({
      description: 'gone: it answered 410; failing: for five days nothing was taken',
    }),
  })
  .meta({ id: 'Webhook' });
export type Webhook = z.infer<typeof Webhook>;

export const CreatedWebhook = Webhook.extend({
  secret: z.string().meta({
    description: 'whsec_…, told this once: what deliveries are signed with, as Standard Webhooks say',
  }),
}).meta({ id: 'CreatedWebhook' });
export type CreatedWebhook = z.infer<typeof CreatedWebhook>;

export const CreateWebhook = z
  .strictObject({
    url: WebhookUrl,
    events: Events.optional().meta({ description: 'all where left out' }),
    signsTasks: z.boolean().optional().meta({
      description:
        'its secret signs, from now on, what tasks have delivered to URLs of their own; that of the first webhook of a team does anyway',
    }),
  })
  .meta({ id: 'CreateWebhook' });
export type CreateWebhook = z.infer<typeof CreateWebhook>;

export const PatchWebhook = z
  .strictObject({
    url: WebhookUrl.optional(),
    events: Events.nullable().optional().meta({ description: 'null: all' }),
    enabled: z.boolean().optional().meta({ description: 'true forgets what failed before' }),
  })
  .meta({ id: 'PatchWebhook' });

export const Delivery = z
  .object({
    id: Id.meta({ description: 'the webhook-id of each try: receivers drop repeats by it' }),
    webhookId: Id.nullable(),
    taskId: Id.nullable().meta({ description: 'where it goes to the webhookUrl of a task' }),
    type: z.union([z.enum(EVENT_TYPES), z.literal(WEBHOOK_TEST)]),
    rootId: Id.nullable().meta({ description: 'the session whose tree the event is of' }),
    seq: z.int().nullable(),
    status: z.enum(['pending', 'delivered', 'failed']),
    tries: z.int(),
    nextTryAt: timestamp
      .nullable()
      .meta({ description: 'null where none follows, or somebody is at one right now' }),
    lastStatus: z.int().nullable().meta({ description: 'what was answered last; null: nothing' }),
    lastAnswer: z.string().nullable().meta({ description: 'a sentence of it' }),
    createdAt: timestamp,
    lastTryAt: timestamp.nullable(),
    endedAt: timestamp.nullable(),
  })
  .meta({
    id: 'Delivery',
    description: 'One event on its way. At least once, in no order.',
  });
export type Delivery = z.infer<typeof Delivery>;

export const DeliveryStatus = Delivery.shape.status;
