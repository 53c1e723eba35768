import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { readEntries } from '../../src/store/session-log.ts';
import { cancelTask, postMessage } from '../../src/store/tasks.ts';
import { recordAnswer, settleTurn, type TurnEnd } from '../../src/store/turns.ts';
import {
  answered,
  answerOf,
  callOf,
  changesBetween,
  checkWitnesses,
  claim,
  forgetSessions,
  resultOf,
  running,
  snapshotRows,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

const CONTINUE: TurnEnd = { kind: 'continue' };
const CANCELLED: TurnEnd = { kind: 'finish', status: 'cancelled' };
const FAILED: TurnEnd = { kind: 'finish', status: 'failed', code: 'refused', message: 'No.' };
const succeeded = (resultPosition: number): TurnEnd => ({
  kind: 'finish',
  status: 'succeeded',
  resultPosition,
});

describe('settle_turn', () => {
  test('ends the turn with its results and begins the next one, under one commit', async () => {
    const call = callOf('started');
    const held = await answered(store, [call]);
    const nextTurnId = newId();
    const before = await snapshotRows(store.db);
    const outcome = await settleTurn(store.db, held, {
      results: [resultOf(call, { noted: { seen: [['a', 'v']] } })],
      end: CONTINUE,
      nextTurnId,
    });
    expect(outcome).toMatchObject({
      outcome: 'settled',
      taskStatus: 'running',
      wake: { turnId: nextTurnId, wake: 1 },
    });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      attempt: [{ '~': held.attemptId, outcome: [null, 'settled'], ended_at: [null, 'time'] }],
      entry: [
        {
          '+': {
            session_id: held.sessionId,
            position: 3,
            task_id: held.taskId,
            turn_id: held.turnId,
            kind: 'tool_result',
            parts: [{ type: 'text', text: 'done' }],
            noted: { seen: [['a', 'v']] },
            message_id: null,
            stop_reason: null,
            replaces: null,
            reverts_to: null,
            call_id: call.callId,
            status: 'succeeded',
            created_at: 'time',
          },
        },
      ],
      event: ['tool.completed', 'turn.completed'],
      tool_call: [
        {
          '~': call.id,
          status: ['started', 'succeeded'],
          result_position: [null, 3],
          duration_ms: [null, 7],
          ended_at: [null, 'time'],
        },
      ],
      tree: [{ '~': held.sessionId, last_seq: [10, 12] }],
      turn: [
        {
          '~': held.turnId,
          status: ['running', 'done'],
          attempt_id: [held.attemptId, null],
          ended_at: [null, 'time'],
        },
        {
          '+': expect.objectContaining({
            id: nextTurnId,
            number: 2,
            status: 'queued',
            wake: 1,
            task_id: held.taskId,
          }),
        },
      ],
    });
  });

  test('takes the answer in where no commit has it yet: the rows are as if they had come one after the other', async () => {
    const context = { kind: 'notice' as const, parts: [{ type: 'text' as const, text: 'The project.' }] };
    const changesOf = async (together: boolean) => {
      const call = callOf('requested', { effect: 'read', callId: 'call_1' });
      const answer = { ...answerOf([call]), before: [context] };
      const held = await running(store, { reserve: 50 });
      const settle = { results: [resultOf(call)], end: CONTINUE, nextTurnId: newId() };
      const before = await snapshotRows(store.db);
      if (!together) await recordAnswer(store.db, held, answer);
      expect(await settleTurn(store.db, held, together ? { ...settle, answer } : settle)).toMatchObject({
        outcome: 'settled',
        taskStatus: 'running',
        wake: { turnId: settle.nextTurnId, wake: 1 },
      });
      const changes = JSON.stringify(changesBetween(before, await snapshotRows(store.db)));
      const { attemptId, sessionId, taskId, turnId } = held;
      const ids = { attemptId, sessionId, taskId, turnId, call: call.id, next: settle.nextTurnId };
      return JSON.parse(Object.entries(ids).reduce((text, [name, id]) => text.replaceAll(id, name), changes));
    };
    const apart = await changesOf(false);
    await forgetSessions(store.db);
    expect(await changesOf(true)).toEqual(apart);
  });

  test('with an answer is paid for once, and fenced for an attempt that does not hold the turn', async () => {
    const held = await running(store, { reserve: 50 });
    const settle = { results: [], end: succeeded(2), nextTurnId: newId(), answer: answerOf() };
    expect(await settleTurn(store.db, { ...held, attemptId: newId() }, settle)).toEqual({
      outcome: 'fenced',
    });
    expect(await settleTurn(store.db, held, settle)).toMatchObject({ taskStatus: 'succeeded' });
    const before = await snapshotRows(store.db);
    expect(await settleTurn(store.db, held, settle)).toMatchObject({ outcome: 'repeated' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('keeps an answer that was paid for where the task was cancelled meanwhile', async () => {
    const held = await running(store, { reserve: 50 });
    await cancelTask(store.db, { teamId: store.teamId, taskId: held.taskId, nextTurnId: newId() });
    const settle = { results: [], end: succeeded(2), nextTurnId: newId(), answer: answerOf() };
    expect(await settleTurn(store.db, held, settle)).toMatchObject({ taskStatus: 'cancelled' });
    expect(await readEntries(store.db, held.sessionId, 1)).toMatchObject([
      { kind: 'assistant', position: 2 },
    ]);
  });

  test('keeps an answer also where one of its calls was left open', async () => {
    const held = await running(store, { reserve: 50 });
    const settle = { results: [], end: FAILED, nextTurnId: newId(), answer: answerOf([callOf()]) };
    expect(await settleTurn(store.db, held, settle)).toMatchObject({ taskStatus: 'failed' });
    expect(await readEntries(store.db, held.sessionId, 1)).toMatchObject([
      { kind: 'assistant', position: 2 },
      { kind: 'tool_result', position: 3, status: 'interrupted' },
    ]);
  });

  test('ends the task with its result', async () => {
    const held = await answered(store);
    const before = await snapshotRows(store.db);
    const outcome = await settleTurn(store.db, held, { results: [], end: succeeded(2), nextTurnId: newId() });
    expect(outcome).toMatchObject({ outcome: 'settled', taskStatus: 'succeeded', wake: null });
    const { task, event, turn } = changesBetween(before, await snapshotRows(store.db));
    expect(event).toEqual(['turn.completed', 'task.succeeded', 'agent.state_changed']);
    expect(task).toEqual([
      {
        '~': held.taskId,
        status: ['running', 'succeeded'],
        result_position: [null, 2],
        ended_at: [null, 'time'],
      },
    ]);
    expect(turn).toHaveLength(1);
  });

  test('fails the task and its turn where the model could not be asked, and releases what was reserved', async () => {
    const held = await running(store, { reserve: 300 });
    const before = await snapshotRows(store.db);
    const outcome = await settleTurn(store.db, held, { results: [], end: FAILED, nextTurnId: newId() });
    expect(outcome).toMatchObject({ outcome: 'settled', taskStatus: 'failed' });
    const { attempt, task, event, tree, turn, usage } = changesBetween(before, await snapshotRows(store.db));
    expect(attempt).toMatchObject([{ outcome: [null, 'failed'] }]);
    expect(task).toMatchObject([
      { status: ['running', 'failed'], error_code: [null, 'refused'], error_message: [null, 'No.'] },
    ]);
    expect(turn).toMatchObject([{ status: ['running', 'failed'], tokens_reserved: [300, 0] }]);
    expect(tree).toEqual([{ '~': held.sessionId, last_seq: [5, 8], tokens_reserved: [300, 0] }]);
    expect(event).toEqual(['turn.failed', 'task.failed', 'agent.state_changed']);
    expect(usage).toBeUndefined();
  });

  test.each<[string, TurnEnd]>([
    ['cancel', CANCELLED],
    ['the deadline', { kind: 'finish', status: 'failed', code: 'limit_seconds', message: 'Too late.' }],
    ['the provider, at the last try,', { ...FAILED, spent: true } as TurnEnd],
  ])('books a request that was broken off by %s as spent', async (_why, end) => {
    const held = await running(store, { reserve: 300 });
    const before = await snapshotRows(store.db);
    await settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
    const { tree, usage } = changesBetween(before, await snapshotRows(store.db));
    expect(tree).toMatchObject([{ tokens_reserved: [300, 0], tokens_used: [0, 300] }]);
    expect(usage).toMatchObject([
      { '+': { attempt_id: held.attemptId, outcome: 'unknown', input: 300, output: 0 } },
    ]);
  });

  test('books nothing twice: a turn that has its answer has nothing reserved', async () => {
    const held = await answered(store);
    const before = await snapshotRows(store.db);
    const end = { ...FAILED, spent: true } as TurnEnd;
    await settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
    const { tree, usage } = changesBetween(before, await snapshotRows(store.db));
    expect(tree).toMatchObject([{ last_seq: expect.anything() }]);
    expect(tree?.[0]).not.toHaveProperty('tokens_used');
    expect(usage).toBeUndefined();
  });

  test('closes open calls when the task ends, and says which of them may have happened', async () => {
    const calls = [
      callOf('started', { ordinal: 0 }),
      callOf('requested', { ordinal: 1, effect: 'read' }),
      callOf('awaiting_approval', { ordinal: 2 }),
    ];
    const held = await answered(store, calls);
    const before = await snapshotRows(store.db);
    await settleTurn(store.db, held, { results: [], end: CANCELLED, nextTurnId: newId() });
    const { approval, entry, event, turn } = changesBetween(before, await snapshotRows(store.db));
    const said = (entry ?? []).map((change) => (change as { '+': Record<string, unknown> })['+']);
    expect(said).toMatchObject([
      {
        position: 3,
        call_id: 'call_0',
        status: 'unknown',
        parts: [{ text: expect.stringContaining('may or may not') }],
      },
      { position: 4, call_id: 'call_1', status: 'interrupted' },
      { position: 5, call_id: 'call_2', status: 'interrupted' },
    ]);
    expect(approval).toMatchObject([{ status: ['open', 'closed'] }]);
    expect(turn).toMatchObject([{ status: ['running', 'cancelled'], open_waits: [1, 0] }]);
    expect(event).toEqual([
      ...Array(3).fill('tool.completed'),
      'turn.cancelled',
      'task.cancelled',
      'agent.state_changed',
    ]);
  });

  test.each<[string, TurnEnd]>([
    ['a next turn', CONTINUE],
    ['success', succeeded(2)],
  ])('refuses %s while a call is open, or without an answer, and writes nothing', async (_end, end) => {
    const open = await answered(store, [callOf()]);
    const unanswered = await running(store);
    const before = await snapshotRows(store.db);
    for (const held of [open, unanswered]) {
      await expect(settleTurn(store.db, held, { results: [], end, nextTurnId: newId() })).rejects.toThrow(
        /cannot settle/,
      );
    }
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('returns the first outcome to a repeat, and writes nothing', async () => {
    const held = await answered(store);
    const settle = { results: [], end: succeeded(2), nextTurnId: newId() };
    const next = await submit(store, { sessionId: held.sessionId });
    const { taskStatus, wake } = (await settleTurn(store.db, held, settle)) as Record<string, unknown>;
    expect(wake).toEqual({ turnId: settle.nextTurnId, wake: 1 });
    const before = await snapshotRows(store.db);
    expect(await settleTurn(store.db, held, settle)).toEqual({ outcome: 'repeated', taskStatus, wake });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    expect((await claim(store.db, settle.nextTurnId)).outcome).toMatchObject({
      turn: { taskId: next.taskId },
    });
  });

  test('is fenced for an attempt that does not hold the turn', async () => {
    const held = await answered(store);
    const before = await snapshotRows(store.db);
    const settle = { results: [], end: succeeded(2), nextTurnId: newId() };
    expect(await settleTurn(store.db, { ...held, attemptId: newId() }, settle)).toEqual({
      outcome: 'fenced',
    });
    expect(await settleTurn(store.db, { ...held, turnId: newId() }, settle)).toEqual({ outcome: 'fenced' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test.each<[string, (position: number) => TurnEnd]>([
    ['success', succeeded],
    ['a next turn', () => CONTINUE],
    ['failure', () => FAILED],
  ])('ends a task with a cancel mark cancelled, also where the worker says %s', async (_end, end) => {
    const held = await answered(store);
    await cancelTask(store.db, { teamId: store.teamId, taskId: held.taskId, nextTurnId: newId() });
    expect(await settleTurn(store.db, held, { results: [], end: end(2), nextTurnId: newId() })).toMatchObject(
      {
        outcome: 'settled',
        taskStatus: 'cancelled',
        wake: null,
      },
    );
  });

  test('turns success into one more turn while a message waits', async () => {
    const held = await answered(store);
    const post = {
      teamId: store.teamId,
      userId: store.userId,
      taskId: held.taskId,
      id: newId(),
      parts: [{ type: 'text' as const, text: 'And?' }],
    };
    await postMessage(store.db, post);
    const nextTurnId = newId();
    const outcome = await settleTurn(store.db, held, { results: [], end: succeeded(2), nextTurnId });
    expect(outcome).toMatchObject({ taskStatus: 'running', wake: { turnId: nextTurnId } });
    const next = await claim(store.db, nextTurnId);
    expect(next.outcome).toMatchObject({ takenIn: 1, turn: { number: 2 } });
    await recordAnswer(store.db, next, answerOf());
    const end = { results: [], end: succeeded(4), nextTurnId: newId() };
    expect(await settleTurn(store.db, next, end)).toMatchObject({ taskStatus: 'succeeded' });
  });

  test('fails a failing task also while a message waits, and one that has no turn left for it', async () => {
    for (const [end, turns, code] of [
      [FAILED, 70, 'refused'],
      [succeeded(2), 1, 'limit_turns'],
    ] as const) {
      const held = await answered(store, [], { limits: { turns } });
      const parts = [{ type: 'text' as const, text: 'And?' }];
      await postMessage(store.db, {
        teamId: store.teamId,
        userId: store.userId,
        taskId: held.taskId,
        id: newId(),
        parts,
      });
      await settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
      const [task] = await store.db.sql`SELECT error_code AS code FROM task WHERE id = ${held.taskId}`;
      expect(task).toEqual({ code });
    }
  });
});
