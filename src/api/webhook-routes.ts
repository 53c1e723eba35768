/** Where a team's events are delivered. What is on its way there is in `delivery-routes.ts`. */
import type { z } from 'zod';
import { toPublicId } from '../core/id.ts';
import { MAX_WEBHOOKS } from '../core/webhook.ts';
import { addTestDelivery } from '../store/deliveries.ts';
import {
  canSignForTasks,
  changeWebhook,
  createWebhook,
  readWebhook,
  readWebhooks,
  type WebhookRow,
} from '../store/webhooks.ts';
import { mintSecret, sayWebhookSecret } from '../webhooks/signature.ts';
import { readTarget, TargetError } from '../webhooks/target.ts';
import { deliveryOf, showDelivery } from './delivery-routes.ts';
import type { ApiDeps } from './deps.ts';
import { idFor } from './made-id.ts';
import { pageReply, rowCursor } from './pages.ts';
import { badRequest, conflict, idempotencyConflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { hashOf } from './submit-task.ts';
import { IdempotencyHeaders } from './task-routes.ts';
import { PageQuery, page } from './wire.ts';
import { Removed } from './wire-admin.ts';
import { CreatedWebhook, CreateWebhook, Delivery, PatchWebhook, Webhook } from './wire-webhooks.ts';

export function webhookRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/webhooks',
      summary: "The team's webhooks, the newest first.",
      scope: 'admin',
      query: PageQuery,
      success: { status: 200, description: 'A page of webhooks.', schema: page(Webhook) },
      problems: { 400: ['invalid_cursor'] },
      handle: async ({ caller: { teamId }, query: { limit, cursor } }) => {
        const before = await rowCursor(deps.db, 'webhook', { teamId, cursor });
        return pageReply(await readWebhooks(deps.db, { teamId, before }, limit), {
          show: showWebhook,
          cursor: ({ id }) => toPublicId('webhook', id),
        });
      },
    }),
    route({
      method: 'post',
      path: '/v1/webhooks',
      summary: "Have the team's events delivered to a URL, signed as Standard Webhooks say.",
      scope: 'admin',
      headers: IdempotencyHeaders,
      body: CreateWebhook,
      success: {
        status: 201,
        description: 'The webhook; its secret is told this once.',
        schema: CreatedWebhook,
      },
      problems: {
        400: ['bad_webhook_url'],
        409: ['too_many_webhooks', 'made_already', 'idempotency_conflict', 'no_encryption_key'],
      },
      handle: (call) => make(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/webhooks/:id',
      summary: 'One webhook.',
      scope: 'admin',
      id: 'webhook',
      success: { status: 200, description: 'The webhook.', schema: Webhook },
      problems: { 404: ['not_found'] },
      handle: async ({ caller: { teamId }, id }) => ({
        status: 200,
        body: showWebhook(await webhookOf(deps, teamId, id)),
      }),
    }),
    route({
      method: 'patch',
      path: '/v1/webhooks/:id',
      summary: 'Change where a webhook goes or what it is told, disable it, or enable it anew.',
      scope: 'admin',
      id: 'webhook',
      body: PatchWebhook,
      success: { status: 200, description: 'The webhook as it is now.', schema: Webhook },
      problems: { 400: ['bad_webhook_url'], 404: ['not_found'] },
      handle: (call) => change(deps, call),
    }),
    route({
      method: 'delete',
      path: '/v1/webhooks/:id',
      summary: 'Remove a webhook: what is on its way there has failed.',
      scope: 'admin',
      id: 'webhook',
      success: { status: 200, description: 'It is removed.', schema: Removed },
      problems: { 404: ['not_found'] },
      handle: async ({ caller: { teamId }, id }) => {
        const { outcome } = await changeWebhook(deps.db, { teamId, id }, { removed: true });
        if (outcome === 'not_found') throw noWebhook(id);
        return { status: 200, body: { id: toPublicId('webhook', id) } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/webhooks/:id/test',
      summary: 'Send a webhook.test, once, also to a webhook that is disabled.',
      scope: 'admin',
      id: 'webhook',
      headers: IdempotencyHeaders,
      success: { status: 201, description: 'What is on its way.', schema: Delivery },
      problems: { 404: ['not_found'] },
      handle: (call) => tryOut(deps, call),
    }),
  ];
}

async function make(deps: ApiDeps, call: Call<unknown, CreateWebhook>): Promise<Reply> {
  const { events = [], signsTasks = false } = call.body;
  const { teamId, userId } = call.caller;
  const url = targetOf(deps, call.body.url, 'url');
  if (!deps.sealing.canSeal) throw noEncryptionKey();
  const id = await idFor(deps, call, 'webhook');
  const secret = mintSecret();
  const requestHash = hashOf(call.body);
  const webhook = { teamId, userId, id, url, events, secret, signsTasks, requestHash };
  const { outcome } = await createWebhook(deps.db, webhook, deps.sealing);
  if (outcome === 'conflict') throw idempotencyConflict();
  if (outcome === 'too_many')
    throw conflict(
      'too_many_webhooks',
      `This team has the ${MAX_WEBHOOKS} webhooks that it may have: remove one, or have one of them told more.`,
    );
  if (outcome === 'repeated')
    throw conflict(
      'made_already',
      `This Idempotency-Key has made the webhook ${toPublicId('webhook', id)} already, and its secret is told only once: remove that webhook and make another.`,
    );
  const made = showWebhook(await webhookOf(deps, teamId, id));
  return { status: 201, body: { ...made, secret: sayWebhookSecret(secret) } };
}

async function change(deps: ApiDeps, call: Call<unknown, z.infer<typeof PatchWebhook>>): Promise<Reply> {
  const { caller, id, body } = call;
  const { url, events, enabled } = body;
  const { teamId } = caller;
  const changed = await changeWebhook(
    deps.db,
    { teamId, id },
    {
      ...(url === undefined ? {} : { url: targetOf(deps, url, 'url') }),
      ...(events === undefined ? {} : { events: events ?? [] }),
      ...(enabled === undefined ? {} : { enabled }),
    },
  );
  if (changed.outcome === 'not_found') throw noWebhook(id);
  return { status: 200, body: showWebhook(await webhookOf(deps, teamId, id)) };
}

async function tryOut(deps: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const { caller, id: webhookId } = call;
  const { teamId } = caller;
  await webhookOf(deps, teamId, webhookId);
  const id = await idFor(deps, call, `test of ${webhookId}`);
  await addTestDelivery(deps.db, { teamId, id, webhookId });
  return { status: 201, body: showDelivery(await deliveryOf(deps, teamId, id)) };
}

/** The URL as it is kept. Throws `ApiProblem` where nothing would be sent there. */
export function targetOf({ webhooks }: Pick<ApiDeps, 'webhooks'>, url: string, field: string): string {
  try {
    return readTarget(url, webhooks).href;
  } catch (error) {
    if (error instanceof TargetError) throw badRequest('bad_webhook_url', error.message, field);
    throw error;
  }
}

/** What a task has delivered to its own URL is signed with what the team was told. */
export async function taskTargetOf(deps: ApiDeps, teamId: string, url: string): Promise<string> {
  const target = targetOf(deps, url, 'webhookUrl');
  if (await canSignForTasks(deps.db, teamId)) return target;
  throw conflict(
    'no_webhook_secret',
    'Nothing could be signed for webhookUrl: an administrator of your team makes a webhook first, and its secret is what receivers check.',
  );
}

export async function webhookOf({ db }: ApiDeps, teamId: string, id: string): Promise<WebhookRow> {
  const webhook = await readWebhook(db, { teamId, id });
  if (webhook === undefined) throw noWebhook(id);
  return webhook;
}

function noEncryptionKey() {
  return conflict(
    'no_encryption_key',
    'This Capybara has no key that the secret of a webhook could be sealed with: whoever runs it sets CAPYBARA_ENCRYPTION_KEY on every API and worker, to what `openssl rand -base64 32` prints.',
  );
}

function noWebhook(id: string) {
  return notFound(`webhook ${toPublicId('webhook', id)}`);
}

function showWebhook(row: WebhookRow): Webhook {
  return {
    ...{ id: toPublicId('webhook', row.id), url: row.url },
    events: row.events.length === 0 ? null : (row.events as NonNullable<Webhook['events']>),
    ...{ createdBy: row.createdBy, signsTasks: row.signsTasks, createdAt: row.createdAt.toISOString() },
    failingSince: row.failingSince?.toISOString() ?? null,
    disabledAt: row.disabledAt?.toISOString() ?? null,
    disabledReason: row.disabledReason,
  };
}
