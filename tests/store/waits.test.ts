import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { cancelTask, type Resolution, resolveApproval } from '../../src/store/tasks.ts';
import { parkTurn, recordResults, settleTurn } from '../../src/store/turns.ts';
import {
  addTeam,
  answered,
  callOf,
  changesBetween,
  checkWitnesses,
  claim,
  parked,
  resultOf,
  running,
  snapshotRows,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

const resolution = (approvalId: string, more: Partial<Resolution> = {}): Resolution => ({
  teamId: store.teamId,
  userId: store.userId,
  approvalId,
  decision: 'allowed',
  ...more,
});

describe('park_turn', () => {
  test('lets go of the turn with its results while a question is open', async () => {
    const [read, asked] = [
      callOf('requested', { ordinal: 0, effect: 'read' }),
      callOf('awaiting_approval', { ordinal: 1 }),
    ];
    const held = await answered(store, [read, asked]);
    const before = await snapshotRows(store.db);
    expect(await parkTurn(store.db, held, [resultOf(read)])).toMatchObject({ outcome: 'parked' });
    const { entry, tool_call, ...others } = changesBetween(before, await snapshotRows(store.db));
    expect([entry?.length, tool_call?.length]).toEqual([1, 1]);
    expect(others).toEqual({
      attempt: [{ '~': held.attemptId, outcome: [null, 'parked'], ended_at: [null, 'time'] }],
      event: ['tool.completed', 'turn.parked', 'task.waiting', 'agent.state_changed'],
      task: [{ '~': held.taskId, status: ['running', 'waiting'], waiting_on: [null, 'approval'] }],
      tree: [{ '~': held.sessionId, last_seq: [11, 15] }],
      turn: [{ '~': held.turnId, status: ['running', 'parked'], attempt_id: [held.attemptId, null] }],
    });
  });

  test('is repeated with nothing written, and fenced for an attempt that does not hold the turn', async () => {
    const waiting = await parked(store);
    const held = await running(store);
    const before = await snapshotRows(store.db);
    expect(await parkTurn(store.db, waiting, [])).toEqual({ outcome: 'repeated' });
    expect(await parkTurn(store.db, { ...held, attemptId: newId() }, [])).toEqual({ outcome: 'fenced' });
    expect(await parkTurn(store.db, { ...held, turnId: newId() }, [])).toEqual({ outcome: 'fenced' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('keeps the turn running where the answer came first, and keeps the results', async () => {
    const [read, asked] = [
      callOf('requested', { ordinal: 0, effect: 'read' }),
      callOf('awaiting_approval', { ordinal: 1 }),
    ];
    const held = await answered(store, [read, asked]);
    const resolved = await resolveApproval(store.db, resolution(asked.approvalId ?? ''));
    expect(resolved).toMatchObject({ outcome: 'resolved', wake: null });
    const before = await snapshotRows(store.db);
    expect(await parkTurn(store.db, held, [resultOf(read)])).toMatchObject({ outcome: 'open' });
    const { tool_call, turn } = changesBetween(before, await snapshotRows(store.db));
    expect([tool_call?.length, turn]).toEqual([1, undefined]);
    const after = await snapshotRows(store.db);
    expect(await parkTurn(store.db, held, [resultOf(read)])).toMatchObject({ outcome: 'open' });
    expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
  });

  test('does not park a task that someone cancelled', async () => {
    const held = await answered(store, [callOf('awaiting_approval')]);
    await cancelTask(store.db, { teamId: store.teamId, taskId: held.taskId, nextTurnId: newId() });
    expect(await parkTurn(store.db, held, [])).toMatchObject({ outcome: 'open' });
  });
});

describe('resolve_approval', () => {
  test('allows the call and queues the turn under the next wake number', async () => {
    const { approvalId, call, turnId, sessionId } = await parked(store);
    const before = await snapshotRows(store.db);
    const outcome = await resolveApproval(store.db, resolution(approvalId, { message: 'Mind the \0.' }));
    expect(outcome).toMatchObject({ outcome: 'resolved', rootId: sessionId, wake: { turnId, wake: 2 } });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      approval: [
        {
          '~': approvalId,
          status: ['open', 'allowed'],
          message: [null, 'Mind the \uFFFD.'],
          resolved_by: [null, store.userId],
          resolved_at: [null, 'time'],
        },
      ],
      event: ['approval.resolved'],
      tool_call: [{ '~': call.id, status: ['awaiting_approval', 'requested'] }],
      tree: [{ '~': sessionId, last_seq: expect.anything() }],
      turn: [
        {
          '~': turnId,
          status: ['parked', 'queued'],
          wake: [1, 2],
          open_waits: [1, 0],
          checked_at: [null, 'time'],
        },
      ],
    });
  });

  test.each([
    ['with the person’s words', 'Not on a Friday.'],
    ['without words', ''],
  ])('denies the call %s, for the model to be told', async (_how, denial) => {
    const { approvalId, call, turnId } = await parked(store);
    const message = denial === '' ? {} : { message: denial };
    await resolveApproval(store.db, resolution(approvalId, { decision: 'denied', ...message }));
    const [row] = await store.db.sql`SELECT status, denial FROM tool_call WHERE id = ${call.id}`;
    expect(row).toEqual({ status: 'requested', denial });
    const held = await claim(store.db, turnId);
    await recordResults(store.db, held, { results: [resultOf(call, { status: 'denied' })], start: [] });
  });

  test('wakes the turn with the last of several answers only', async () => {
    const calls = [0, 1, 2].map((ordinal) => callOf('awaiting_approval', { ordinal }));
    const held = await answered(store, calls);
    await parkTurn(store.db, held, []);
    const wakes = [];
    for (const call of calls) {
      const outcome = await resolveApproval(store.db, resolution(call.approvalId ?? ''));
      wakes.push('wake' in outcome ? outcome.wake : outcome);
    }
    expect(wakes).toEqual([null, null, { turnId: held.turnId, wake: 2 }]);
  });

  test('counts the first answer, tells the second person who gave it, and repeats it to the first', async () => {
    const { approvalId } = await parked(store);
    const userId = newId();
    await store.db
      .sql`INSERT INTO "user" (id, team_id, name) VALUES (${userId}, ${store.teamId}, ${`Grace ${userId}`})`;
    const first = await resolveApproval(store.db, resolution(approvalId));
    const before = await snapshotRows(store.db);
    const already = { outcome: 'already', status: 'allowed', resolvedBy: 'Ada' };
    expect(await resolveApproval(store.db, resolution(approvalId, { userId, decision: 'denied' }))).toEqual(
      already,
    );
    expect(await resolveApproval(store.db, resolution(approvalId, { userId }))).toEqual(already);
    expect(await resolveApproval(store.db, resolution(approvalId, { decision: 'denied' }))).toEqual(already);
    expect(await resolveApproval(store.db, resolution(approvalId))).toEqual(first);
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('counts one of ten answers at once', async () => {
    const { approvalId } = await parked(store);
    const answers = Array.from({ length: 10 }, (_, index) => ({ message: `Because ${index}.` }));
    const outcomes = await Promise.all(
      answers.map((more) => resolveApproval(store.db, resolution(approvalId, more))),
    );
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual([...Array(9).fill('already'), 'resolved']);
  });

  test('finds no approval of another team, and none that is unknown', async () => {
    const { approvalId } = await parked(store);
    const stranger = await addTeam(store.db);
    const before = await snapshotRows(store.db);
    expect(await resolveApproval(store.db, { ...resolution(approvalId), ...stranger })).toEqual({
      outcome: 'not_found',
    });
    expect(await resolveApproval(store.db, resolution(newId()))).toEqual({ outcome: 'not_found' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('finds the question closed where the task has ended', async () => {
    const waiting = await parked(store);
    const held = await answered(store, [callOf('awaiting_approval')]);
    await cancelTask(store.db, { teamId: store.teamId, taskId: waiting.taskId, nextTurnId: newId() });
    await settleTurn(store.db, held, {
      results: [],
      end: { kind: 'finish', status: 'cancelled' },
      nextTurnId: newId(),
    });
    for (const approvalId of [waiting.approvalId, held.calls[0]?.approvalId ?? '']) {
      expect(await resolveApproval(store.db, resolution(approvalId))).toEqual({
        outcome: 'already',
        status: 'closed',
        resolvedBy: null,
      });
    }
  });
});
