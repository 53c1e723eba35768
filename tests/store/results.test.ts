import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { readEntries } from '../../src/store/session-log.ts';
import { type NewCall, recordResults } from '../../src/store/turns.ts';
import {
  answered,
  callOf,
  changesBetween,
  checkWitnesses,
  resultOf,
  snapshotRows,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

describe('record_results', () => {
  test('closes calls in the order given, and starts the next ones', async () => {
    const calls = [0, 1, 2].map((ordinal) => callOf('requested', { ordinal }));
    const held = await answered(store, calls);
    const [first, second, third] = calls as [(typeof calls)[0], (typeof calls)[0], (typeof calls)[0]];
    const before = await snapshotRows(store.db);
    const progress = {
      results: [resultOf(second, { durationMs: 1.5 }), resultOf(first, { status: 'failed' })],
      start: [third.id],
    };
    expect(await recordResults(store.db, held, progress)).toMatchObject({ outcome: 'recorded' });
    const after = await snapshotRows(store.db);
    const { entry, event, tool_call, ...others } = changesBetween(before, after);
    expect(entry).toMatchObject([
      { '+': { position: 3, call_id: 'call_1', status: 'succeeded' } },
      { '+': { position: 4, call_id: 'call_0', status: 'failed' } },
    ]);
    expect(tool_call).toHaveLength(3);
    expect(tool_call).toContainEqual({
      '~': third.id,
      status: ['requested', 'started'],
      started_at: [null, 'time'],
    });
    expect(event).toEqual(['tool.completed', 'tool.completed', 'tool.started']);
    expect(others).toEqual({ tree: [{ '~': held.sessionId, last_seq: [11, 14] }] });
    expect(await recordResults(store.db, held, progress)).toMatchObject({ outcome: 'recorded' });
    expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
  });

  test('keeps what a result notes of files beside it, for those who read the log', async () => {
    const [first, second] = [0, 1].map((ordinal) => callOf('requested', { ordinal })) as [NewCall, NewCall];
    const held = await answered(store, [first, second]);
    const noted = { seen: [['a', 'v'], ['b']], ignored: [] } as const;
    const results = [resultOf(first, { noted }), resultOf(second)];
    await recordResults(store.db, held, { results, start: [] });
    expect(
      (await readEntries(store.db, held.sessionId, 2)).map((entry) => 'noted' in entry && entry.noted),
    ).toEqual([noted, false]);
  });

  test('neither starts nor closes what a person has not allowed, and starts nothing that was denied', async () => {
    const asked = callOf('awaiting_approval', { ordinal: 0 });
    const denied = callOf('requested', { ordinal: 1, denial: 'plan mode' });
    const held = await answered(store, [asked, denied]);
    const before = await snapshotRows(store.db);
    await recordResults(store.db, held, { results: [resultOf(asked)], start: [asked.id, denied.id] });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('is fenced for an attempt that does not hold the turn', async () => {
    const call = callOf();
    const held = await answered(store, [call]);
    const before = await snapshotRows(store.db);
    const progress = { results: [resultOf(call)], start: [] };
    expect(await recordResults(store.db, { ...held, attemptId: newId() }, progress)).toEqual({
      outcome: 'fenced',
    });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });
});
