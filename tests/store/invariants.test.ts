import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { newId } from '../../src/clock.ts';
import { findBrokenInvariants, INVARIANTS, type InvariantOptions } from '../../src/store/invariants.ts';
import { settleTurn } from '../../src/store/turns.ts';
import { delegated } from '../support/delegations.ts';
import {
  answered,
  callOf,
  forgetSessions,
  parked,
  resultOf,
  running,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
const LEASE = 'no lease has been over for more than 5 s';
const LEASE_MS = 10;

/** Rows in several states, brought there by transitions. */
let row: Readonly<Record<'queued' | 'held' | 'asked' | 'done', { taskId: string; turnId: string }>>;

beforeEach(async () => {
  const [queued, held] = [await submit(store), await running(store, { reserve: 50 })];
  const asked = await parked(store);
  const call = callOf();
  const done = await answered(store, [call]);
  const end = { kind: 'finish', status: 'succeeded', resultPosition: 2 } as const;
  const noted = { todos: [{ text: 'Prove it.', status: 'pending' }] } as const;
  await settleTurn(store.db, done, { results: [resultOf(call, { noted })], end, nextTurnId: newId() });
  await delegated(store, { count: 2 });
  row = { queued, held, asked, done };
});
afterEach(async () => {
  await forgetSessions(store.db);
  await store.db.sql`DELETE FROM worker`;
  await store.db.sql`DELETE FROM webhook_delivery`;
  await store.db.sql`DELETE FROM schedule`;
});

const broken = async (options?: InvariantOptions) => [
  ...new Set((await findBrokenInvariants(store.db, options)).map(({ invariant }) => invariant)),
];
const execute = (sql: string) => store.db.pool.query(sql);

/** What must hold, and how it is broken by hand. */
const BREAKS: readonly (readonly [string, (rows: typeof row) => string])[] = [
  [
    'an unfinished task has exactly one wake witness',
    ({ queued }) => `UPDATE turn SET status = 'cancelled', ended_at = now() WHERE id = '${queued.turnId}'`,
  ],
  [
    'a finished task has no unfinished turn',
    ({ queued }) => `UPDATE task SET status = 'cancelled', ended_at = now() WHERE id = '${queued.taskId}'`,
  ],
  [
    'a session has at most one unfinished turn',
    ({ held }) => `
      DROP INDEX turn_one_unfinished;
      INSERT INTO turn (id, session_id, task_id, root_id, number, status)
      SELECT gen_random_uuid(), session_id, id, root_id, 9, 'ready' FROM task WHERE id = '${held.taskId}'`,
  ],
  [
    'the wait count equals the open approvals and children',
    ({ asked }) => `UPDATE turn SET open_waits = 2 WHERE id = '${asked.turnId}'`,
  ],
  [
    'a delegation is open exactly while its task is unfinished and its call is at work',
    () => `UPDATE tool_call SET status = 'requested', started_at = NULL WHERE effect = 'delegate'`,
  ],
  [
    'no more delegated tasks are at work at once than may be, and none waits while a slot is free',
    () => 'UPDATE task SET concurrent_limit = 1',
  ],
  [
    'a delegated task that is at work has a slot, unless it waits for its own',
    () => 'UPDATE delegation SET has_slot = false',
  ],
  ['no more is delegated than may be', () => 'UPDATE task SET child_limit = 1'],
  [
    'the tree has counted the sessions that were delegated to',
    () => 'UPDATE tree SET children = children + 1',
  ],
  [
    'an approval is open exactly while its call awaits it',
    () => `UPDATE tool_call SET status = 'requested' WHERE status = 'awaiting_approval'`,
  ],
  [
    'an open attempt is the one its running turn names',
    ({ held }) => `UPDATE turn SET attempt_id = gen_random_uuid() WHERE id = '${held.turnId}'`,
  ],
  [
    'the tree has reserved what its turns have',
    () => 'UPDATE tree SET tokens_reserved = tokens_reserved + 1 WHERE tokens_reserved = 0',
  ],
  [
    'the tree has used what its usage says',
    () => 'UPDATE tree SET tokens_used = tokens_used + 1 WHERE tokens_used = 0',
  ],
  [
    'the tree has reserved the money that its turns have',
    () => 'UPDATE tree SET usd_reserved = usd_reserved + 0.000001 WHERE tokens_reserved = 0',
  ],
  [
    'the tree has spent what its usage says',
    () => 'UPDATE tree SET usd_used = usd_used + 0.000001 WHERE tokens_used = 0',
  ],
  ['the tree has counted the turns that began', () => 'UPDATE tree SET turns = 1 WHERE turns = 0'],
  ['events have no gap', () => 'DELETE FROM event WHERE seq = 2'],
  ['the log has no gap', () => `DELETE FROM entry WHERE kind = 'assistant'`],
  [
    'an image that the log names is stored',
    () => `UPDATE entry SET parts = '[{"type": "file", "hash": "00"}]' WHERE kind = 'tool_result'`,
  ],
  [
    'a fork begins within what it was forked from',
    ({ queued, held }) => `
      UPDATE session SET forked_from = (SELECT session_id FROM task WHERE id = '${held.taskId}'), forked_at = 99
       WHERE id = (SELECT session_id FROM task WHERE id = '${queued.taskId}')`,
  ],
  [
    'an output that a call names is used by its session',
    ({ done }) => `
      INSERT INTO output (hash, size, body) VALUES (decode('01', 'hex'), 1, decode('01', 'hex'));
      UPDATE tool_call SET output_hash = decode('01', 'hex') WHERE turn_id = '${done.turnId}'`,
  ],
  [
    'a revision has its entry in the log',
    ({ done }) => `
      INSERT INTO revision (id, session_id, user_id, kind, position)
      SELECT id, session_id, user_id, 'revert', 1 FROM task WHERE id = '${done.taskId}'`,
  ],
  ['the list of an agent has no gap', () => 'UPDATE todo SET position = position + 1'],
  [
    'the list of an agent is the newest one of its log, where nothing of that was taken back',
    () => `UPDATE todo SET status = 'done'`,
  ],
  ['a message is taken in exactly where it says', () => 'UPDATE message SET taken_position = 9'],
  [
    'a task that succeeded left no message out',
    ({ done }) => `UPDATE message SET taken_position = NULL WHERE task_id = '${done.taskId}'`,
  ],
  [
    'an ended turn has no open call',
    ({ asked }) =>
      `UPDATE turn SET status = 'cancelled', open_waits = 0, ended_at = now() WHERE id = '${asked.turnId}'`,
  ],
  [
    'a closed call has its result in the log',
    () => 'UPDATE tool_call SET result_position = 1 WHERE ended_at IS NOT NULL',
  ],
  [
    'what made the log shorter is an entry of its turn',
    ({ done }) => `
      UPDATE turn SET kind = 'compaction', uncounted = 1, answer_position = NULL WHERE task_id = '${done.taskId}'`,
  ],
  ['a turn has as many results as closed calls', () => `DELETE FROM entry WHERE kind = 'tool_result'`],
  [
    'the open background commands of a session are on one worker, and of the task that is at work',
    ({ done }) => `
      INSERT INTO background_process (id, session_id, task_id, tool_call_id, number, command)
      SELECT gen_random_uuid(), session_id, task_id, id, 1, 'serve' FROM tool_call WHERE task_id = '${done.taskId}'`,
  ],
  [
    'a delivery that is on its way has a due time, and its event',
    ({ held }) => `
      INSERT INTO webhook_delivery (id, team_id, webhook_id, type, root_id, seq)
      SELECT id, team_id, id, 'task.created', root_id, 99 FROM task WHERE id = '${held.taskId}'`,
  ],
  [
    'a schedule that is on has a due time, and is seen to within a minute',
    ({ held }) => `
      ALTER TABLE schedule DROP CONSTRAINT schedule_due;
      INSERT INTO schedule (id, team_id, user_id, key_id, name, every_seconds, time_zone, task, overlap, request_hash)
      SELECT id, team_id, user_id, id, 'x', 60, 'UTC', '{}', 'skip', '' FROM task WHERE id = '${held.taskId}'`,
  ],
  [
    'a task runs exactly while a worker holds its turn, or gets it again after a loss',
    ({ asked }) => `UPDATE task SET status = 'running', waiting_on = NULL WHERE id = '${asked.taskId}'`,
  ],
];

test('all hold after every transition', async () => {
  expect(await broken({ leaseMs: LEASE_MS })).toEqual([]);
});

test.each(BREAKS)('%s: found where it does not hold', async (invariant, breaking) => {
  await execute(breaking(row));
  expect(await broken()).toContain(invariant);
});

test('knows a delivery that nothing would ever send', async () => {
  await execute(`
    ALTER TABLE webhook_delivery DROP CONSTRAINT webhook_delivery_state;
    INSERT INTO webhook_delivery (id, team_id, webhook_id, type, due_at)
    SELECT id, team_id, id, 'webhook.test', NULL FROM task WHERE id = '${row.held.taskId}'`);
  const invariant = 'a delivery that is on its way has a due time, and its event';
  expect(await findBrokenInvariants(store.db)).toEqual([
    { invariant, id: row.held.taskId, found: 'webhook.test' },
  ]);
});

test('says of which row, and what stands there', async () => {
  await execute(`UPDATE turn SET open_waits = 2 WHERE id = '${row.asked.turnId}'`);
  expect(await findBrokenInvariants(store.db)).toEqual([
    { invariant: 'an unfinished task has exactly one wake witness', id: row.asked.taskId, found: 'none' },
    { invariant: 'the wait count equals the open approvals and children', id: row.asked.turnId, found: '2' },
  ]);
});

test('names the witnesses of a task that has several', async () => {
  const { taskId } = await submit(store, { sessionId: await sessionOf(row.held.taskId) });
  await execute(`UPDATE turn SET task_id = '${taskId}', number = 9 WHERE id = '${row.held.turnId}'`);
  const found = await findBrokenInvariants(store.db);
  expect(found.slice(0, 2)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ id: row.held.taskId, found: 'none' }),
      expect.objectContaining({ id: taskId, found: 'earlier, lease' }),
    ]),
  );
});

test(`${LEASE}: where asked, and once Postgres has been up for a lease`, async () => {
  const over = (interval: string) =>
    execute(`UPDATE worker SET lease_expires_at = clock_timestamp() - interval '${interval}'`);
  await over('5.1 s');
  // The tests' Postgres may itself have begun a moment ago.
  await vi.waitFor(async () => expect(await broken({ leaseMs: LEASE_MS })).toEqual([LEASE]), 20_000);
  expect(await broken()).toEqual([]);
  expect(await broken({ leaseMs: 2_000_000_000 })).toEqual([]);
  await over('2 s');
  expect(await broken({ leaseMs: LEASE_MS })).toEqual([]);
  await execute(`UPDATE worker SET ended_at = clock_timestamp() - interval '6 s'`);
  expect(await broken({ leaseMs: LEASE_MS })).toEqual([LEASE]);
});

test('each of them is tried here', () => {
  const tried = [...BREAKS.map(([invariant]) => invariant), LEASE];
  expect(tried.toSorted()).toEqual(INVARIANTS.map(([invariant]) => invariant).toSorted());
});

async function sessionOf(taskId: string): Promise<string> {
  const [task] = await store.db.sql<{ id: string }>`SELECT session_id AS id FROM task WHERE id = ${taskId}`;
  return task?.id ?? '';
}
