/** What a person is asked, and what they allowed always, on the wire. */
import { z } from 'zod';
import { Id } from './wire-id.ts';

const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC' });

const scope = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('session'), sessionId: Id }),
    z.object({ kind: z.literal('directory'), path: z.string() }),
  ])
  .meta({
    id: 'RuleScope',
    description: 'Where a rule holds: a session with all its children, or every session in a directory.',
  });
export const AlwaysRule = z
  .object({
    tool: z.string(),
    kind: z.enum(['command', 'path', 'arguments']),
    value: z.string(),
    scope,
  })
  .meta({
    id: 'AlwaysRule',
    description:
      'Allows calls of a tool with exactly this command; this path, from the workspace; or these arguments (their JSON). No patterns.',
  });
export type AlwaysRule = z.infer<typeof AlwaysRule>;
export const Rule = AlwaysRule.extend({
  id: Id,
  approvalId: Id.meta({ description: 'the question that it answered' }),
  createdBy: z.string().nullable().meta({ description: 'who said so' }),
  createdAt: timestamp,
}).meta({ id: 'Rule', description: 'What a person allowed always. It holds until it is revoked.' });
export type Rule = z.infer<typeof Rule>;
export const RevokedRule = z.object({ id: Id }).meta({ id: 'RevokedRule' });

export const Approval = z
  .object({
    id: Id,
    sessionId: Id,
    path: z
      .array(z.object({ sessionId: Id, title: z.string(), agent: z.string().nullable() }))
      .meta({ description: 'who asks: from the root of its session tree down to this session' }),
    taskId: Id,
    turn: z.int(),
    tool: z.string(),
    arguments: z.string(),
    status: z.enum(['open', 'allowed', 'denied', 'expired', 'closed']),
    message: z.string().nullable(),
    always: AlwaysRule.nullable().meta({
      description: 'what `allow_always` allows; null where this call can only be allowed once',
    }),
    ruleId: Id.nullable().meta({ description: 'the rule that `allow_always` made' }),
    createdAt: timestamp,
    expiresAt: timestamp.nullable().meta({ description: 'when the call is denied if nobody has answered' }),
    resolvedAt: timestamp.nullable(),
    resolvedBy: z.string().nullable().meta({ description: 'who answered; null where nobody did' }),
  })
  .meta({ id: 'Approval' });
export type Approval = z.infer<typeof Approval>;

export const ResolveApproval = z
  .strictObject({
    decision: z.enum(['allow', 'allow_always', 'deny']),
    message: z.string().max(10_000).optional(),
  })
  .meta({ id: 'ResolveApproval' });
