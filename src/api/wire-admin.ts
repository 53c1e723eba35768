/** Teams, their people, their keys, and who did what. */
import { z } from 'zod';
import { MAX_KEY_DAYS, SCOPES } from '../core/scope.ts';
import { Id } from './wire-id.ts';
import { seenName } from './wire-names.ts';
import { wholeInQuery } from './wire-query.ts';

const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC' });

/** Longest name of a team, a person or a key, in characters. */
export const MAX_GIVEN_NAME_LENGTH = 100;
export { MAX_KEY_DAYS };

const GivenName = seenName(MAX_GIVEN_NAME_LENGTH);

export const ScopeName = z.enum(SCOPES).meta({
  id: 'Scope',
  description:
    'read: look; submit: hand in tasks, and change them and their sessions; approve: answer what agents ask; admin: people, keys, webhooks, MCP servers, audit',
});

export const Team = z
  .object({
    id: Id,
    name: z.string(),
    operates: z.boolean().meta({ description: 'it runs this Capybara: its administrators make teams' }),
    createdAt: timestamp,
  })
  .meta({ id: 'Team' });

export type Team = z.infer<typeof Team>;

export const Teams = z.object({ data: z.array(Team) }).meta({ id: 'Teams' });

export const User = z
  .object({
    id: Id,
    name: z.string(),
    createdAt: timestamp,
    leftAt: timestamp
      .nullable()
      .meta({ description: 'who has left has no keys; what they did keeps their name' }),
  })
  .meta({ id: 'User' });
export type User = z.infer<typeof User>;

export const CreateUser = z.strictObject({ name: GivenName }).meta({ id: 'CreateUser' });

export const Key = z
  .object({
    id: Id,
    userId: Id,
    userName: z.string(),
    name: z.string(),
    prefix: z.string().meta({ description: 'how the key begins' }),
    scopes: z.array(ScopeName),
    createdAt: timestamp,
    expiresAt: timestamp.nullable(),
    lastUsedAt: timestamp.nullable().meta({ description: 'to the minute' }),
  })
  .meta({ id: 'Key', description: 'What lets somebody in. The key itself is told once, when it is made.' });
export type Key = z.infer<typeof Key>;

const ApiKey = z.string().meta({ description: 'the key itself, told this once' });

export const CreatedKey = Key.extend({ apiKey: ApiKey }).meta({ id: 'CreatedKey' });

export const CreateKey = z
  .strictObject({
    name: GivenName,
    scopes: z
      .array(ScopeName)
      .min(1)
      .optional()
      .meta({ description: 'read, submit and approve where left out' }),
    userId: z.string().optional().meta({ description: 'whose it is; the caller’s where left out' }),
    expiresInDays: z
      .int()
      .min(1)
      .max(MAX_KEY_DAYS)
      .optional()
      .meta({ description: 'it does not expire where left out' }),
  })
  .meta({ id: 'CreateKey' });

export const CreateTeam = z
  .strictObject({
    name: GivenName,
    userName: GivenName.meta({ description: 'its first person, who administrates it' }),
  })
  .meta({ id: 'CreateTeam' });

export const CreatedTeam = Team.extend({ userId: Id, keyId: Id, apiKey: ApiKey }).meta({
  id: 'CreatedTeam',
  description: 'A team with its first person, and a key of theirs for everything.',
});

export const Removed = z.object({ id: Id }).meta({ id: 'Removed' });

export const AuditRecord = z
  .object({
    id: Id,
    at: timestamp,
    userId: Id,
    userName: z.string(),
    keyId: Id,
    keyName: z.string(),
    action: z.string().meta({
      description:
        'the route: `POST /v1/tasks/:id/cancel`; the command, where it asked no API: `capybara keys recover`; `schedule.fired` and `schedule.disabled`: what a schedule did by itself',
    }),
    subject: z.string().nullable().meta({ description: 'the id of what it was about, or of what it made' }),
    status: z
      .int()
      .nullable()
      .meta({ description: 'what was answered; null where the API stopped before it answered' }),
  })
  .meta({ id: 'AuditRecord' });
export type AuditRecord = z.infer<typeof AuditRecord>;

export const AuditQuery = z.strictObject({
  limit: wholeInQuery(1, 200).default(50),
  cursor: z.string().optional(),
  userId: z.string().optional().meta({ description: 'what this person did' }),
  subject: z.string().optional().meta({ description: 'what was done to this: a session, a task, a key' }),
});
