import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import type { Entry } from '../../src/core/entry.ts';
import { putOutput } from '../../src/store/outputs.ts';
import { readCalls, readEntries, readProfile, readStanding } from '../../src/store/session-log.ts';
import { cancelTask } from '../../src/store/tasks.ts';
import { recordAnswer, recordResults } from '../../src/store/turns.ts';
import {
  answered,
  answerOf,
  callOf,
  changesBetween,
  checkWitnesses,
  PROFILE,
  resultOf,
  running,
  snapshotRows,
  submissionOf,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

describe('record_answer', () => {
  test('commits the answer, its usage, its judged calls and its questions together', async () => {
    const held = await running(store, { reserve: 100 });
    const begun = callOf('started', { ordinal: 0 });
    const denied = callOf('requested', { ordinal: 1, denial: 'plan mode' });
    const asked = callOf('awaiting_approval', { ordinal: 2 });
    const calls = [begun, denied, asked];
    const context = {
      kind: 'notice' as const,
      parts: [{ type: 'text' as const, text: 'The project.' }],
      noted: { ignored: ['build/'] },
    };
    const before = await snapshotRows(store.db);
    const answer = { ...answerOf(calls), before: [context] };
    expect(await recordAnswer(store.db, held, answer)).toMatchObject({
      outcome: 'recorded',
      answerPosition: 3,
    });
    const log = { session_id: held.sessionId, task_id: held.taskId, turn_id: held.turnId };
    const entry = {
      ...log,
      noted: null,
      message_id: null,
      stop_reason: null,
      call_id: null,
      status: null,
      replaces: null,
      reverts_to: null,
      created_at: 'time',
    };
    const { usage, tool_call, ...others } = changesBetween(before, await snapshotRows(store.db));
    expect(others).toEqual({
      approval: [
        {
          '+': {
            ...log,
            id: asked.approvalId,
            root_id: held.sessionId,
            tool_call_id: asked.id,
            status: 'open',
            message: null,
            always: { kind: 'command', value: 'npm test' },
            expires_at: null,
            resolved_by: null,
            created_at: 'time',
            resolved_at: null,
          },
        },
      ],
      entry: [
        { '+': { ...entry, position: 2, ...context } },
        {
          '+': {
            ...entry,
            position: 3,
            kind: 'assistant',
            parts: answer.parts,
            stop_reason: 'tool_calls',
            noted: { input: 10 },
          },
        },
      ],
      event: [
        'message.completed',
        'usage.recorded',
        ...Array(3).fill('tool.requested'),
        'tool.started',
        'approval.requested',
        'agent.state_changed',
      ],
      tree: [{ '~': held.sessionId, last_seq: [5, 13], tokens_used: [0, 15], tokens_reserved: [100, 0] }],
      turn: [
        {
          '~': held.turnId,
          answer_position: [null, 3],
          open_waits: [0, 1],
          tokens_to_resend: [0, 15],
          tokens_reserved: [100, 0],
        },
      ],
    });
    expect(usage).toMatchObject([
      { '+': { attempt_id: held.attemptId, outcome: 'recorded', input: 10, output: 5, latency_ms: 12 } },
    ]);
    expect(tool_call).toMatchObject([
      { '+': { id: begun.id, status: 'started', started_at: 'time' } },
      { '+': { id: denied.id, status: 'requested', denial: 'plan mode', started_at: null } },
      { '+': { id: asked.id, status: 'awaiting_approval' } },
    ]);
  });

  test('tells in its events where things are, and copies no content', async () => {
    const { turnId } = await answered(store, [callOf('awaiting_approval')]);
    const events = await store.db.sql<{ type: string; data: unknown }>`
      SELECT e.type, e.data FROM event e JOIN turn t ON t.root_id = e.root_id
       WHERE t.id = ${turnId} AND e.type IN ('message.completed', 'usage.recorded', 'tool.requested', 'approval.requested') ORDER BY seq`;
    const call = { callId: 'call_0', ordinal: 0, name: 'bash' };
    expect(events).toEqual([
      { type: 'message.completed', data: { position: 2 } },
      { type: 'usage.recorded', data: { ...answerOf().usage, usd: null } },
      { type: 'tool.requested', data: call },
      { type: 'approval.requested', data: { ...call, tool: 'bash', approvalId: expect.any(String) } },
    ]);
  });

  test('is paid for once: a repeat returns the first position and writes nothing', async () => {
    const held = await running(store);
    const answer = answerOf([callOf()]);
    await recordAnswer(store.db, held, answer);
    const before = await snapshotRows(store.db);
    expect(await recordAnswer(store.db, held, answer)).toEqual({ outcome: 'repeated', answerPosition: 2 });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('is fenced for an attempt that does not hold the turn', async () => {
    const held = await running(store);
    const before = await snapshotRows(store.db);
    expect(await recordAnswer(store.db, { ...held, attemptId: newId() }, answerOf())).toEqual({
      outcome: 'fenced',
    });
    expect(await recordAnswer(store.db, { ...held, turnId: newId() }, answerOf())).toEqual({
      outcome: 'fenced',
    });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('is kept for a task that was cancelled meanwhile, which gets no next turn', async () => {
    const held = await running(store);
    await cancelTask(store.db, { teamId: store.teamId, taskId: held.taskId, nextTurnId: newId() });
    expect(await recordAnswer(store.db, held, answerOf([callOf()]))).toMatchObject({ outcome: 'recorded' });
    expect(await readStanding(store.db, held.turnId)).toEqual({ cancelRequested: true, openWaits: 0 });
  });

  test('ends a row of losses and retries: it is a durable step', async () => {
    const held = await running(store);
    await store.db.sql`UPDATE turn SET takeovers = 3, retries = 2 WHERE id = ${held.turnId}`;
    await recordAnswer(store.db, held, answerOf([callOf()]));
    const [turn] = await store.db.sql`SELECT takeovers, retries FROM turn WHERE id = ${held.turnId}`;
    expect(turn).toEqual({ takeovers: 0, retries: 0 });
  });

  test('takes times that are no whole milliseconds', async () => {
    const held = await running(store);
    const answer = answerOf();
    const usage = { ...answer.usage, latencyMs: 12.5, firstTokenMs: null };
    expect(await recordAnswer(store.db, held, { ...answer, usage })).toMatchObject({ outcome: 'recorded' });
  });
});

describe('record_results', () => {
  test('takes the first of two results for one call', async () => {
    const call = callOf('requested', { effect: 'read' });
    const held = await answered(store, [call]);
    const results = [resultOf(call), resultOf(call, { status: 'failed' })];
    await recordResults(store.db, held, { results, start: [] });
    expect(await readEntries(store.db, held.sessionId, 2)).toMatchObject([
      { position: 3, status: 'succeeded' },
    ]);
  });

  test('closes thousands of calls in one commit, each with its result in its place', async () => {
    const calls = Array.from({ length: 3_000 }, (_, ordinal) =>
      callOf('requested', { ordinal, callId: `call_${ordinal}`, effect: 'read' }),
    );
    const held = await answered(store, calls);
    const results = calls.map((call) => resultOf(call));
    expect(await recordResults(store.db, held, { results, start: [] })).toMatchObject({
      outcome: 'recorded',
    });
    const log = await readEntries(store.db, held.sessionId, 2);
    expect(log.map((entry) => entry.kind === 'tool_result' && [entry.position, entry.callId])).toEqual(
      calls.map(({ callId, ordinal }) => [ordinal + 3, callId]),
    );
  });
});

describe('what a worker reads', () => {
  test('the log, whole or from a position on', async () => {
    const call = callOf();
    const held = await answered(store, [call]);
    await recordResults(store.db, held, { results: [resultOf(call)], start: [] });
    const log: Entry[] = [
      { kind: 'user', position: 1, parts: [{ type: 'text', text: 'Mend the test.' }] },
      {
        ...{ kind: 'assistant', position: 2, parts: answerOf([call]).parts, stopReason: 'tool_calls' },
        noted: { input: 10 },
      },
      {
        kind: 'tool_result',
        position: 3,
        parts: [{ type: 'text', text: 'done' }],
        callId: call.callId,
        status: 'succeeded',
      },
    ];
    expect(await readEntries(store.db, held.sessionId, 0)).toEqual(log);
    expect(await readEntries(store.db, held.sessionId, 2)).toEqual(log.slice(2));
  });

  test('the turn’s calls, with arguments from the answer that asked for them', async () => {
    const calls = [callOf('requested', { ordinal: 1, denial: 'no' }), callOf('started', { ordinal: 0 })];
    const held = await running(store);
    const parts = [
      { type: 'reasoning' as const, text: 'Hm.' },
      { type: 'tool' as const, callId: 'call_0', name: 'bash', arguments: '{"command":"ls"}' },
      { type: 'tool' as const, callId: 'call_1', name: 'bash', arguments: 'not JSON \0' },
    ];
    await recordAnswer(store.db, held, { ...answerOf(calls), parts });
    const [, answer] = await readEntries(store.db, held.sessionId, 0);
    expect(answer).toBeDefined();
    const read = answer === undefined ? [] : await readCalls(store.db, held.turnId, answer);
    expect(read).toEqual([
      expect.objectContaining({ ordinal: 0, status: 'started', arguments: '{"command":"ls"}' }),
      expect.objectContaining({ ordinal: 1, denial: 'no', arguments: 'not JSON \uFFFD' }),
    ]);
    expect(read[0]).not.toHaveProperty('denial');
  });

  test('the profile by its hash, and nothing where there is none', async () => {
    const { task } = submissionOf(store);
    await running(store);
    expect(await readProfile(store.db, task.profileHash)).toEqual(PROFILE);
    expect(await readProfile(store.db, 'ab')).toBeUndefined();
    expect(await readStanding(store.db, newId())).toBeUndefined();
  });

  test('a whole output, stored once by its content and named by a result', async () => {
    const text = 'line\n'.repeat(10_000);
    const call = callOf();
    const held = await answered(store, [call]);
    const hash = await putOutput(store.db, held.sessionId, text);
    expect(hash).toBe(createHash('sha256').update(text).digest('hex'));
    const before = await snapshotRows(store.db);
    expect(await putOutput(store.db, held.sessionId, text)).toBe(hash);
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    await recordResults(store.db, held, { results: [resultOf(call, { outputHash: hash })], start: [] });
    const [row] = await store.db.sql<{ body: Buffer; size: number }>`
      SELECT o.body, o.size FROM tool_call c JOIN output o ON o.hash = c.output_hash WHERE c.id = ${call.id}`;
    expect(row?.size).toBe(text.length);
    expect(gunzipSync(row?.body ?? '').toString()).toBe(text);
  });
});
