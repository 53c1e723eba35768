import { beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import type { Approval, Task, TaskStatus } from '../../src/api/wire.ts';
import { newId } from '../../src/clock.ts';
import type { CallStatus, ClosedCallStatus, Effect, Entry, StopReason } from '../../src/core/entry.ts';
import type { OnLimit } from '../../src/core/profile.ts';
import type { Overlap, ScheduleDisabled } from '../../src/core/schedule.ts';
import type { Scope } from '../../src/core/scope.ts';
import type { Todo } from '../../src/core/todos.ts';
import type { WorkspaceKind } from '../../src/core/workspace.ts';
import { compactTurn } from '../../src/store/compaction.ts';
import { addTestDelivery, type DeliveryRow } from '../../src/store/deliveries.ts';
import { takeRequest } from '../../src/store/rates.ts';
import { revertSession } from '../../src/store/revisions.ts';
import { createSchedule } from '../../src/store/schedules.ts';
import { resolveApproval } from '../../src/store/tasks.ts';
import { recordResults, settleTurn } from '../../src/store/turns.ts';
import { createWebhook, type WebhookRow } from '../../src/store/webhooks.ts';
import type { WaitingTask } from '../../src/store/witnesses.ts';
import { delegated } from '../support/delegations.ts';
import { sealing } from '../support/sealing.ts';
import {
  answered,
  callOf,
  keyOf,
  parked,
  pruningOf,
  resultOf,
  running,
  submit,
  summaryOf,
  useStore,
} from '../support/store.ts';

const store = useStore();
type WaitingAt = Extract<WaitingTask, { kind: 'budget' }>['evidence'];

/** A union of TypeScript as a value: a name too many or too few does not compile. */
type All<Union extends string> = Readonly<Record<Union, true>>;
const CLOSED: All<ClosedCallStatus> = {
  succeeded: true,
  failed: true,
  denied: true,
  interrupted: true,
  unknown: true,
};
const CALL: All<CallStatus> = { requested: true, awaiting_approval: true, started: true, ...CLOSED };
const EFFECT: All<Effect> = { read: true, workspace: true, external: true, delegate: true };
const KIND: All<Entry['kind']> = {
  user: true,
  notice: true,
  revert: true,
  assistant: true,
  tool_result: true,
  pruning: true,
  compaction: true,
};
const SCOPE: All<Scope> = { read: true, submit: true, approve: true, admin: true };
const STOP: All<StopReason> = { stop: true, tool_calls: true, length: true, refusal: true };
const WORKSPACE: All<WorkspaceKind> = { local: true, git: true, upload: true, empty: true, roots: true };
/** `paused` is a mark beside them. */
const TASK: All<Exclude<z.infer<typeof TaskStatus>, 'paused'>> = {
  queued: true,
  running: true,
  waiting: true,
  succeeded: true,
  failed: true,
  cancelled: true,
};
const WAITING: All<NonNullable<z.infer<typeof Task>['waitingOn']>> = {
  approval: true,
  children: true,
  retry: true,
  budget: true,
  slot: true,
};
const APPROVAL: All<z.infer<typeof Approval>['status']> = {
  open: true,
  allowed: true,
  denied: true,
  expired: true,
  closed: true,
};
/** States that only the store knows. */
const TURN: All<string> = {
  ready: true,
  queued: true,
  running: true,
  parked: true,
  done: true,
  failed: true,
  cancelled: true,
};
const ATTEMPT: All<string> = {
  settled: true,
  parked: true,
  retry: true,
  drained: true,
  lost: true,
  cancelled: true,
  failed: true,
};
const USAGE: All<string> = { recorded: true, estimated: true, unknown: true };
/** At which a turn may be parked. */
const LIMIT: All<WaitingAt['limit']> = {
  turns: true,
  tree_turns: true,
  tokens: true,
  usd: true,
  seconds: true,
};
const TODO: All<Todo['status']> = { pending: true, in_progress: true, done: true, cancelled: true };
const DISABLED: All<NonNullable<WebhookRow['disabledReason']>> = { person: true, gone: true, failing: true };
const DELIVERY: All<DeliveryRow['status']> = { pending: true, delivered: true, failed: true };
const SCHEDULE: All<ScheduleDisabled> = { person: true, revoked: true, session: true, never_due: true };
const OVERLAP: All<Overlap> = { skip: true, queue: true };
const ON_LIMIT: All<OnLimit> = { fail: true, park: true };

test.each<[string, string, All<string>]>([
  ['entry', 'entry_kind', { ...KIND, ...STOP, ...CLOSED }],
  ['tool_call', 'tool_call_status', CALL],
  ['tool_call', 'tool_call_effect', EFFECT],
  ['workspace', 'workspace_kind', WORKSPACE],
  ['api_key', 'api_key_scopes', SCOPE],
  ['task', 'task_status', TASK],
  ['task', 'task_waiting_on', { ...WAITING, waiting: true }],
  ['approval', 'approval_status', APPROVAL],
  ['turn', 'turn_state', { ...TURN, ...LIMIT }],
  ['task', 'task_on_limit', ON_LIMIT],
  ['attempt', 'attempt_outcome', ATTEMPT],
  ['usage', 'usage_outcome', USAGE],
  ['todo', 'todo_item', TODO],
  ['webhook', 'webhook_disabled', DISABLED],
  ['webhook_delivery', 'webhook_delivery_state', DELIVERY],
  ['schedule', 'schedule_disabled', SCHEDULE],
  ['schedule', 'schedule_overlap', OVERLAP],
])('the states that %s allows by %s are those of TypeScript', async (_table, constraint, union) => {
  const [row] = await store.db.sql<{ definition: string }>`
    SELECT coalesce(p.prosrc, pg_get_constraintdef(c.oid)) AS definition
      FROM pg_constraint c
      LEFT JOIN pg_depend d ON d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass
      LEFT JOIN pg_proc p ON p.oid = d.refobjid
     WHERE c.conname = ${constraint}`;
  const listed = [...(row?.definition.matchAll(/'\{?([\w,]+)\}?'/g) ?? [])].flatMap(([, names = '']) =>
    names.split(','),
  );
  expect([...new Set(listed)].sort()).toEqual(Object.keys(union).sort());
});

/** [the constraint that refuses, the row to change, what to change in it]. */
const ILLEGAL: readonly (readonly [string, string, string])[] = [
  ['workspace_kind', 'workspace', `kind = 'cloud'`],
  ['workspace_kind', 'workspace', 'path = NULL'],
  ['workspace_kind', 'workspace', `kind = 'empty'`],
  ['workspace_kind', 'workspace', `kind = 'git', path = NULL`],
  ['workspace_kind', 'workspace', `kind = 'roots', path = NULL`],
  ['workspace_kind', 'workspace', `kind = 'empty', path = NULL, source = '{}'`],
  ['workspace_kind', 'workspace', `rules = '[]'`],
  ['workspace_servers', 'workspace', `project_servers = '[]'`],
  ['workspace_servers', 'workspace', `project_servers = '{}'`],
  ['api_key_scopes', 'key', 'scopes = NULL'],
  ['api_key_scopes', 'key', `scopes = '{}'`],
  ['api_key_scopes', 'key', `scopes = '{read,root}'`],
  ['api_key_request', 'key', 'made_with = id'],
  ['api_key_request', 'key', `request_hash = ''`],
  ['metric_mark_one', 'mark', 'id = false'],
  ['session_forked', 'session', 'forked_at = 1'],
  ['session_forked', 'session', 'forked_from = id'],
  ['session_forked', 'session', 'forked_from = id, forked_at = -1'],
  ['task_status', 'queued task', `status = 'paused'`],
  ['task_waiting_on', 'queued task', `waiting_on = 'approval'`],
  ['task_waiting_on', 'parked task', 'waiting_on = NULL'],
  ['task_waiting_on', 'parked task', `waiting_on = 'a miracle'`],
  ['task_paused', 'done task', 'paused_at = now()'],
  ['turn_state', 'queued turn', 'is_paused = true'],
  ['turn_state', 'parked turn', "is_paused = true, at_limit = 'tokens'"],
  ['task_delegated', 'queued task', 'child_limit = -1'],
  ['task_delegated', 'queued task', 'own_token_limit = 1'],
  ['task_delegated', 'queued task', 'clock_stopped_at = now()'],
  ['task_delegated', 'parked task', `waiting_on = 'slot'`],
  ['task_delegated', 'delegated task', 'own_token_limit = 0'],
  ['task_delegated', 'delegated task', 'clock_stopped_at = now()'],
  ['session_depth', 'session', 'depth = 1'],
  ['session_depth', 'session', 'root_id = gen_random_uuid()'],
  ['session_depth', 'child session', 'parent_id = NULL'],
  ['session_depth', 'child session', 'depth = 0'],
  ['delegation_status', 'delegation', `status = 'lost'`],
  ['delegation_status', 'delegation', `status = 'ended'`],
  ['delegation_status', 'delegation', 'ended_at = now()'],
  ['delegation_slot', 'delegation', `status = 'ended', ended_at = now()`],
  ['delegation_isolation', 'delegation', `isolation = 'none'`],
  ['delegation_isolation', 'delegation', `isolation = 'shared', base = 'x'`],
  ['turn_state', 'delegated turn', 'for_slot = true'],
  ['task_ended', 'queued task', 'ended_at = now()'],
  ['task_ended', 'queued task', `status = 'cancelled'`],
  ['task_ended', 'done task', 'ended_at = NULL'],
  ['task_started', 'queued task', `status = 'running'`],
  ['task_started', 'parked task', 'started_at = NULL'],
  ['task_started', 'done task', 'started_at = NULL'],
  ['task_error', 'queued task', `error_code = 'x', error_message = 'y'`],
  ['task_error', 'done task', `status = 'failed'`],
  ['task_error', 'failed task', 'error_message = NULL'],
  ['task_error', 'failed task', 'error_code = NULL'],
  ['task_limits', 'queued task', 'turn_limit = 0'],
  ['task_limits', 'queued task', 'tree_turn_limit = 0'],
  ['task_limits', 'queued task', 'token_limit = 0'],
  ['task_limits', 'queued task', 'seconds_limit = -1'],
  ['task_limits', 'queued task', `usd_limit = 0, prices = '{}'`],
  ['task_accounts', 'queued task', 'usd_limit = 1'],
  ['task_accounts', 'queued task', 'answer_tokens = 0'],
  ['task_on_limit', 'queued task', `on_limit = 'ask'`],
  ['task_result', 'queued task', 'result_position = 1'],
  ['turn_state', 'queued turn', `status = 'waiting'`],
  ['turn_state', 'queued turn', 'due_at = now()'],
  ['turn_state', 'parked turn', 'due_at = now()'],
  ['turn_state', 'queued turn', 'wake = 0'],
  ['turn_state', 'queued turn', 'checked_at = NULL'],
  ['turn_state', 'queued turn', 'attempt_id = id'],
  ['turn_state', 'queued turn', `status = 'running'`],
  ['turn_state', 'running turn', 'attempt_id = NULL'],
  ['turn_state', 'parked turn', 'open_waits = 0'],
  ['turn_state', 'queued turn', 'open_waits = -1'],
  ['turn_state', 'done turn', 'open_waits = 1'],
  ['turn_state', 'queued turn', 'ended_at = now()'],
  ['turn_state', 'done turn', 'ended_at = NULL'],
  ['turn_kind', 'done turn', 'answer_position = NULL'],
  ['turn_kind', 'queued turn', `kind = 'chat'`],
  ['turn_kind', 'queued turn', `kind = 'compaction'`],
  ['turn_kind', 'done turn', `kind = 'compaction', uncounted = 1`],
  ['turn_kind', 'queued turn', 'uncounted = -1'],
  ['turn_kind', 'queued turn', 'uncounted = 2'],
  ['turn_state', 'queued turn', 'overflows = -1'],
  ['turn_state', 'queued turn', 'number = 0'],
  ['turn_state', 'queued turn', 'takeovers = -1'],
  ['turn_state', 'queued turn', 'retries = -1'],
  ['turn_state', 'queued turn', 'tokens_to_resend = -1'],
  ['turn_state', 'running turn', 'tokens_reserved = -1'],
  ['turn_state', 'queued turn', 'tokens_reserved = 1'],
  ['turn_state', 'done turn', 'tokens_reserved = 1'],
  ['turn_state', 'running turn', 'usd_reserved = -0.000001'],
  ['turn_state', 'queued turn', 'usd_reserved = 0.000001'],
  ['turn_state', 'queued turn', `at_limit = 'usd'`],
  ['turn_state', 'running turn', `at_limit = 'usd'`],
  ['turn_state', 'parked turn', `at_limit = 'patience'`],
  ['turn_state', 'running turn', 'started_at = NULL'],
  ['turn_state', 'parked turn', 'started_at = NULL'],
  ['turn_state', 'done turn', 'started_at = NULL'],
  ['todo_item', 'todo', 'position = 0'],
  ['todo_item', 'todo', `text = ''`],
  ['todo_item', 'todo', `status = 'blocked'`],
  ['background_process_number', 'background command', 'number = 0'],
  ['background_process_end', 'background command', 'ended_at = NULL'],
  ['background_process_end', 'background command', '"end" = NULL'],
  ['attempt_outcome', 'done attempt', `outcome = 'won'`],
  ['attempt_outcome', 'open attempt', 'ended_at = now()'],
  ['attempt_outcome', 'open attempt', `outcome = 'lost'`],
  ['attempt_outcome', 'done attempt', 'outcome = NULL'],
  ['attempt_taken', 'open attempt', 'bucket = NULL'],
  ['attempt_taken', 'open attempt', 'tokens_taken = NULL'],
  ['attempt_taken', 'open attempt', 'tokens_taken = -1'],
  ['rate_bucket_limits', 'bucket', 'requests_per_minute = 0'],
  ['rate_bucket_limits', 'bucket', 'tokens_per_minute = 0'],
  ['rate_line_tokens', 'line', 'tokens = -1'],
  ['model_health_strikes', 'health', 'strikes = 0'],
  ['task_traceparent', 'queued task', `traceparent = 'what'`],
  ['task_traceparent', 'queued task', `traceparent = '00-${'a'.repeat(32)}-${'b'.repeat(16)}-1'`],
  ['tree_accounts', 'tree', 'turns = -1'],
  ['tree_accounts', 'tree', 'tokens_used = -1'],
  ['tree_accounts', 'tree', 'tokens_reserved = -1'],
  ['tree_accounts', 'tree', 'usd_used = -0.000001'],
  ['tree_accounts', 'tree', 'usd_reserved = -0.000001'],
  ['entry_kind', 'user entry', `kind = 'system'`],
  ['entry_kind', 'user entry', `parts = '[]'`],
  ['entry_kind', 'user entry', 'message_id = NULL'],
  ['entry_kind', 'user entry', `kind = 'notice'`],
  ['entry_kind', 'assistant entry', 'stop_reason = NULL'],
  ['entry_kind', 'user entry', `stop_reason = 'stop'`],
  ['entry_kind', 'assistant entry', `stop_reason = 'bored'`],
  ['entry_kind', 'assistant entry', `call_id = 'c', status = 'failed'`],
  ['entry_kind', 'result entry', 'status = NULL'],
  ['entry_kind', 'result entry', 'call_id = NULL'],
  ['entry_kind', 'result entry', `status = 'started'`],
  ['entry_kind', 'assistant entry', 'task_id = NULL, turn_id = NULL'],
  ['entry_kind', 'assistant entry', 'turn_id = NULL'],
  ['entry_kind', 'user entry', `noted = '{}'`],
  ['entry_replaces', 'assistant entry', `replaces = '{}'`],
  ['entry_replaces', 'compaction entry', 'replaces = NULL'],
  ['entry_replaces', 'compaction entry', `replaces = '{"after": 0}'`],
  ['entry_replaces', 'compaction entry', `replaces = '{"after": 2, "to": 1}'`],
  ['entry_replaces', 'compaction entry', `replaces = '{"after": -1, "to": 1}'`],
  ['entry_replaces', 'compaction entry', `replaces = '{"after": 0, "to": 2}'`],
  ['entry_replaces', 'pruning entry', 'replaces = NULL'],
  ['entry_replaces', 'pruning entry', `replaces = '{"results": 1}'`],
  ['entry_kind', 'user entry', 'reverts_to = 0'],
  ['entry_kind', 'revert entry', 'reverts_to = NULL'],
  ['entry_kind', 'revert entry', 'reverts_to = -1'],
  ['entry_kind', 'revert entry', 'reverts_to = position'],
  ['revision_kind', 'revision', `kind = 'undo'`],
  ['revision_kind', 'revision', `kind = 'merge'`],
  ['revision_kind', 'revision', `theirs = 'x'`],
  ['revision_kind', 'revision', `conflicts = '[]'`],
  ['revision_kind', 'revision', `base = 'x'`],
  ['tool_call_effect', 'awaiting call', `effect = 'none'`],
  ['tool_call_status', 'awaiting call', `status = 'skipped'`],
  ['tool_call_status', 'awaiting call', `status = 'succeeded'`],
  ['tool_call_status', 'awaiting call', 'ended_at = now()'],
  ['tool_call_status', 'done call', 'result_position = NULL'],
  ['tool_call_status', 'done call', `status = 'started'`],
  ['tool_call_status', 'awaiting call', `status = 'started', started_at = NULL`],
  ['approval_status', 'open approval', `status = 'maybe'`],
  ['approval_answered', 'open approval', `status = 'allowed', resolved_at = now()`],
  ['approval_resolved', 'open approval', `status = 'allowed'`],
  ['approval_resolved', 'open approval', 'resolved_at = now()'],
  ['approval_expired', 'open approval', `status = 'expired', resolved_at = now(), expires_at = NULL`],
  ['permission_rule_kind', 'rule', `kind = 'pattern'`],
  ['permission_rule_scope', 'rule', 'path = NULL'],
  ['permission_rule_scope', 'rule', 'root_id = team_id'],
  ['permission_rule_revoked', 'rule', 'revoked_at = now()'],
  ['webhook_secret_sealed', 'webhook', `secret = '\\x${'ab'.repeat(48)}'`],
  ['webhook_secret_sealed', 'webhook', `secret = '\\x${'01'.repeat(37)}'`],
  ['webhook_secret_sealed', 'webhook', 'secret = NULL'],
  ['webhook_events', 'webhook', 'events = NULL'],
  ['webhook_disabled', 'webhook', 'disabled_at = now()'],
  ['webhook_disabled', 'webhook', `disabled_reason = 'gone'`],
  ['webhook_disabled', 'webhook', `disabled_at = now(), disabled_reason = 'bored'`],
  ['mcp_server_sealed', 'MCP server', `settings = '\\x${'ab'.repeat(48)}'`],
  ['mcp_server_sealed', 'MCP server', `settings = '\\x${'01'.repeat(37)}'`],
  ['mcp_sign_in_sealed', 'sign-in', `secret = '\\x${'01'.repeat(37)}'`],
  ['mcp_sign_in_claim', 'sign-in', 'claim = id'],
  ['mcp_sign_in_claim', 'sign-in', 'claimed_until = now()'],
  ['webhook_delivery_state', 'delivery', `status = 'lost'`],
  ['webhook_delivery_state', 'delivery', 'due_at = NULL'],
  ['webhook_delivery_state', 'delivery', 'ended_at = now()'],
  ['webhook_delivery_state', 'delivery', `status = 'failed', ended_at = now()`],
  ['webhook_delivery_state', 'delivery', `status = 'delivered', ended_at = now(), due_at = NULL`],
  ['webhook_delivery_state', 'delivery', `status = 'failed', due_at = NULL`],
  ['webhook_delivery_state', 'delivery', 'claim = id'],
  ['webhook_delivery_state', 'delivery', 'tries = -1'],
  ['webhook_delivery_state', 'delivery', 'wake = -1'],
  ['webhook_delivery_state', 'delivery', 'webhook_id = NULL'],
  ['webhook_delivery_state', 'delivery', 'task_id = id'],
  ['webhook_delivery_state', 'delivery', 'webhook_id = NULL, task_id = id'],
  ['webhook_delivery_state', 'delivery', 'seq = 1'],
  ['webhook_delivery_state', 'delivery', 'root_id = id'],
  ['schedule_when', 'schedule', `cron = '0 0 * * *'`],
  ['schedule_when', 'schedule', 'every_seconds = NULL'],
  ['schedule_when', 'schedule', 'every_seconds = 0'],
  ['schedule_due', 'schedule', 'due_at = NULL'],
  ['schedule_due', 'schedule', 'removed_at = now()'],
  ['schedule_due', 'schedule', `disabled_at = now(), disabled_reason = 'person'`],
  ['schedule_overlap', 'schedule', `overlap = 'wait'`],
  ['schedule_error', 'schedule', `error_code = 'x'`],
  ['schedule_error', 'schedule', `error_code = 'x', error_message = 'y'`],
  ['schedule_error', 'schedule', 'erred_at = now()'],
  ['schedule_disabled', 'schedule', 'disabled_at = now()'],
  ['schedule_disabled', 'schedule', `disabled_reason = 'person'`],
  ['schedule_disabled', 'schedule', `disabled_at = now(), disabled_reason = 'bored'`],
  ['usage_outcome', 'usage', `outcome = 'guessed'`],
  ['usage_usd', 'usage', 'usd = 0'],
  ['usage_usd', 'usage', `prices = '{}'`],
  ['usage_usd', 'usage', `usd = -0.000001, prices = '{}'`],
];

describe('Postgres refuses every illegal row', () => {
  /** A table and which of its rows, by what the illegal changes call it. */
  let rows: Readonly<Record<string, string>>;

  beforeAll(async () => {
    const queued = await submit(store);
    const key = await keyOf(store.db, { teamId: store.teamId, userId: store.userId, name: 'key' });
    const held = await running(store);
    await takeRequest(store.db, held, { name: 'env@0', requestsPerMinute: 1, tokensPerMinute: 1 });
    await takeRequest(store.db, await running(store), { name: 'env@0', requestsPerMinute: 1 });
    const waiting = await parked(store);
    const ruleId = newId();
    const ruled = await parked(store);
    const { teamId, userId } = store;
    const always = { teamId, userId, approvalId: ruled.approvalId, decision: 'allowed', ruleId } as const;
    await resolveApproval(store.db, always);
    const call = callOf();
    const done = await answered(store, [call]);
    const failed = await running(store);
    const end = { kind: 'finish', status: 'succeeded', resultPosition: 2 } as const;
    const processes = { started: [{ id: newId(), number: 1, command: 'serve' }] };
    const results = [resultOf(call, { processes })];
    await settleTurn(store.db, done, { results, end, nextTurnId: queued.taskId });
    const note = { cooled: { name: 'env@0', ms: 1_000 } };
    const failure = { kind: 'finish', status: 'failed', code: 'refused', message: 'No.', note } as const;
    await settleTurn(store.db, failed, { results: [], end: failure, nextTurnId: queued.taskId });
    const listing = callOf();
    const listed = await answered(store, [listing]);
    const noted = { todos: [{ text: 'Prove it.', status: 'pending' }] } as const;
    await recordResults(store.db, listed, { results: [resultOf(listing, { noted })], start: [] });
    const [shortened, pruned] = [await running(store), await running(store)];
    await compactTurn(store.db, shortened, { ...summaryOf(), nextTurnId: newId() });
    await compactTurn(store.db, pruned, { ...pruningOf(), nextTurnId: newId() });
    const revert = { teamId, userId, sessionId: done.sessionId, id: newId(), to: 1, snapshot: null };
    await revertSession(store.db, { ...revert, parts: [{ type: 'text', text: 'Back.' }] });
    const [child] = (await delegated(store)).children;
    const entry = (position: number) =>
      `entry WHERE session_id = '${done.sessionId}' AND position = ${position}`;
    rows = {
      workspace: `workspace WHERE id = (SELECT workspace_id FROM session WHERE id = '${queued.sessionId}')`,
      session: `session WHERE id = '${queued.sessionId}'`,
      mark: 'metric_mark WHERE id',
      key: `api_key WHERE id = '${key.id}'`,
      'queued task': `task WHERE id = '${queued.taskId}'`,
      'parked task': `task WHERE id = '${waiting.taskId}'`,
      tree: `tree WHERE root_id = '${queued.sessionId}'`,
      'delegated task': `task WHERE id = '${child?.taskId}'`,
      'child session': `session WHERE id = '${child?.sessionId}'`,
      'delegated turn': `turn WHERE id = '${child?.turnId}'`,
      delegation: `delegation WHERE child_task_id = '${child?.taskId}'`,
      'done task': `task WHERE id = '${done.taskId}'`,
      'failed task': `task WHERE id = '${failed.taskId}'`,
      'queued turn': `turn WHERE id = '${queued.turnId}'`,
      'running turn': `turn WHERE id = '${held.turnId}'`,
      'parked turn': `turn WHERE id = '${waiting.turnId}'`,
      'done turn': `turn WHERE id = '${done.turnId}'`,
      'open attempt': `attempt WHERE id = '${held.attemptId}'`,
      'done attempt': `attempt WHERE id = '${done.attemptId}'`,
      ...{
        bucket: 'rate_bucket WHERE true',
        line: 'rate_line WHERE true',
        health: 'model_health WHERE true',
      },
      'background command': `background_process WHERE session_id = '${done.sessionId}'`,
      'user entry': entry(1),
      'assistant entry': entry(2),
      'result entry': entry(3),
      'revert entry': entry(4),
      'compaction entry': `entry WHERE session_id = '${shortened.sessionId}' AND kind = 'compaction'`,
      'pruning entry': `entry WHERE session_id = '${pruned.sessionId}' AND kind = 'pruning'`,
      todo: `todo WHERE session_id = '${listed.sessionId}'`,
      revision: `revision WHERE id = '${revert.id}'`,
      'awaiting call': `tool_call WHERE id = '${waiting.call.id}'`,
      'done call': `tool_call WHERE id = '${call.id}'`,
      'open approval': `approval WHERE id = '${waiting.approvalId}'`,
      rule: `permission_rule WHERE id = '${ruleId}'`,
      usage: `usage WHERE attempt_id = '${done.attemptId}'`,
      ...(await webhookRows()),
      schedule: await scheduleRow(key.id),
    };
  });

  async function scheduleRow(keyId: string) {
    const { teamId, userId } = store;
    const when = { cron: null, everySeconds: 60, timeZone: 'UTC', dueAt: new Date() };
    const schedule = { id: newId(), name: 'x', task: {}, overlap: 'skip', requestHash: '' } as const;
    await createSchedule(store.db, { teamId, userId, keyId }, { ...schedule, ...when }, 1);
    return `schedule WHERE id = '${schedule.id}'`;
  }

  /** A webhook, and a test on its way to it. */
  async function webhookRows() {
    const { teamId, userId } = store;
    const [id, deliveryId] = [newId(), newId()];
    const hook = {
      teamId,
      userId,
      id,
      url: 'https://h',
      events: [],
      secret: Buffer.alloc(32),
      signsTasks: false,
      requestHash: '00',
    };
    await createWebhook(store.db, hook, sealing);
    await addTestDelivery(store.db, { teamId, id: deliveryId, webhookId: id });
    const ofServer = { table: 'mcp_server', id } as const;
    await store.db.sql`
      INSERT INTO mcp_server (id, team_id, user_id, name, settings)
      VALUES (${id}, ${teamId}, ${userId}, 'docs', ${sealing.seal(Buffer.alloc(2), ofServer)})`;
    await store.db.sql`
      INSERT INTO mcp_sign_in (id, team_id, user_id, server, secret)
      VALUES (${id}, ${teamId}, ${userId}, 'docs', ${sealing.seal(Buffer.alloc(2), ofServer)})`;
    return {
      'MCP server': `mcp_server WHERE id = '${id}'`,
      'sign-in': `mcp_sign_in WHERE id = '${id}'`,
      webhook: `webhook WHERE id = '${id}'`,
      delivery: `webhook_delivery WHERE id = '${deliveryId}'`,
    };
  }

  test.each(ILLEGAL)('%s: a %s with %s', async (constraint, row, change) => {
    const [table = '', where = ''] = (rows[row] ?? '').split(/ WHERE (.*)/);
    const refused = await store.db.pool
      .query(`UPDATE ${table} SET ${change} WHERE ${where}`)
      .catch((error: unknown) => error);
    // A change may break several constraints; Postgres names the first by name, so ask each on its own.
    expect(refused).toMatchObject({ code: '23514', table });
    expect(await broken(table, where, change)).toContain(constraint);
  });

  /** The constraints that the changed row would break, each asked as a query. */
  async function broken(table: string, where: string, change: string): Promise<string[]> {
    const { rows: checks } = await store.db.pool.query<{ name: string; condition: string }>(
      `SELECT conname AS name, pg_get_expr(conbin, conrelid) AS condition FROM pg_constraint
        WHERE conrelid = '${table}'::regclass AND contype = 'c'`,
    );
    const client = await store.db.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(`CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT * FROM ${table} WHERE ${where}`);
      await client.query(`UPDATE changed SET ${change}`);
      const asked = checks.map(
        ({ name, condition }) =>
          `SELECT '${name}' AS name FROM (SELECT (jsonb_populate_record(NULL::${table}, to_jsonb(c))).* FROM changed c) AS ${table}
            WHERE NOT (${condition})`,
      );
      return (await client.query<{ name: string }>(asked.join(' UNION ALL '))).rows.map(({ name }) => name);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  }

  test('and each of its CHECK constraints is tried here', async () => {
    const constraints = await store.db.sql<{ name: string }>`
      SELECT conname AS name FROM pg_constraint
       WHERE contype = 'c' AND connamespace = 'public'::regnamespace ORDER BY conname`;
    expect(constraints.map(({ name }) => name)).toEqual([...new Set(ILLEGAL.map(([name]) => name))].sort());
  });

  test('and a second unfinished turn of a session', async () => {
    const { turnId } = await submit(store);
    await expect(
      store.db.sql`
        INSERT INTO turn (id, session_id, task_id, root_id, number, status)
        SELECT gen_random_uuid(), session_id, task_id, root_id, 2, 'ready' FROM turn WHERE id = ${turnId}`,
    ).rejects.toMatchObject({ code: '23505', constraint: 'turn_one_unfinished' });
  });
});
