import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { type Bucket, takeRequest } from '../../src/store/rates.ts';
import { cancelTask } from '../../src/store/tasks.ts';
import { claimTurn, recordAnswer, retryTurn, settleTurn } from '../../src/store/turns.ts';
import { admitTurns } from '../../src/store/workers.ts';
import {
  addWorker,
  answerOf,
  changesBetween,
  checkWitnesses,
  claimOf,
  forgetSessions,
  running,
  snapshotRows,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
type Running = Awaited<ReturnType<typeof running>>;

afterEach(async () => {
  expect(await checkWitnesses(store.db)).toEqual([]);
  await forgetSessions(store.db);
});

/** Within a second and a half: the machine may be busy. */
const about = (ms: number) => expect.closeTo(ms, -3.5);
const FEW: Bucket = { name: 'env@0', requestsPerMinute: 3 };
const take = (held: Running, bucket = FEW) => takeRequest(store.db, held, bucket);
const failure = { code: 'provider_limit', message: 'Wait.' };
const wait = (held: Running, delayMs = 0) =>
  retryTurn(store.db, held, { delayMs, failure, spent: false, retries: 0, nextTurnId: newId() });

/** Held turns of as many sessions. */
async function turns(count: number, reserve = 100): Promise<Running[]> {
  const held: Running[] = [];
  for (let index = 0; index < count; index += 1) held.push(await running(store, { reserve }));
  return held;
}

/** The turn once more, under a new attempt. */
async function again(held: Running): Promise<Running> {
  await store.db.sql`UPDATE turn SET due_at = NULL WHERE id = ${held.turnId} AND status = 'ready'`;
  await admitTurns(store.db, 100);
  const claim = claimOf(held.turnId, await addWorker(store.db), 100);
  expect((await claimTurn(store.db, claim)).outcome).toBe('claimed');
  return { ...held, attemptId: claim.attemptId };
}

/** As if so many seconds had passed. */
const pass = (seconds: number) => store.db.sql`
  UPDATE rate_bucket SET requests_full_at = requests_full_at - make_interval(secs => ${seconds}),
    tokens_full_at = tokens_full_at - make_interval(secs => ${seconds}),
    paused_until = paused_until - make_interval(secs => ${seconds})`;

async function troubles(): Promise<unknown> {
  const { turnId } = await submit(store);
  const claimed = await claimTurn(store.db, claimOf(turnId, await addWorker(store.db)));
  return claimed.outcome === 'claimed' ? claimed.turn.troubles : claimed;
}

describe('take_request', () => {
  test('gives a minute’s requests at once, and the next one when there is room again', async () => {
    const [first, second, third, fourth] = (await turns(4)) as [Running, Running, Running, Running];
    for (const held of [first, second, third]) expect(await take(held)).toEqual({ outcome: 'taken' });
    const outcome = await take(fourth);
    expect(outcome).toEqual({ outcome: 'waits', ms: expect.any(Number), ahead: 0, paused: false });
    expect(outcome).toMatchObject({ ms: about(20_000) });
  });

  test('writes the bucket, the attempt and nothing else', async () => {
    const [held] = (await turns(1)) as [Running];
    const before = await snapshotRows(store.db);
    await take(held, { ...FEW, tokensPerMinute: 1_000 });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      attempt: [{ '~': held.attemptId, bucket: [null, 'env@0'], tokens_taken: [null, 100] }],
      rate_bucket: [
        {
          '+': {
            ...{ name: 'env@0', requests_per_minute: 3, tokens_per_minute: 1_000, paused_until: null },
            ...{ requests_full_at: 'time', tokens_full_at: 'time' },
          },
        },
      ],
    });
  });

  test('counts tokens: what is reserved, at most all that there are, and what was used instead once that is known', async () => {
    const bucket = { name: 'env@0', tokensPerMinute: 600 };
    const [large, small, next] = [...(await turns(1, 5_000)), ...(await turns(2, 100))] as [
      Running,
      Running,
      Running,
    ];
    expect(await take(large, bucket)).toEqual({ outcome: 'taken' });
    expect(await take(small, bucket)).toMatchObject({ ms: about(10_000), ahead: 0 });
    await wait(small);
    expect(await take(next, bucket)).toMatchObject({ ms: about(20_000), ahead: 1 });
    await wait(next);
    await recordAnswer(store.db, large, { ...answerOf(), note: { taken: 480 } });
    // 120 of the 600 were not used: there is room for the one, and nothing yet for the other.
    expect(await take(await again(small), bucket)).toEqual({ outcome: 'taken' });
    expect(await take(await again(next), bucket)).toMatchObject({ ms: about(8_000), ahead: 0 });
  });

  test('counts tokens exactly also where so many are allowed that one takes parts of a microsecond', async () => {
    const bucket = { name: 'env@0', tokensPerMinute: 40_000_000 };
    const [all, half] = (await Promise.all(
      [40_000_000, 20_000_000].map((reserve) => running(store, { reserve })),
    )) as [Running, Running];
    expect(await take(all, bucket)).toEqual({ outcome: 'taken' });
    expect(await take(half, bucket)).toMatchObject({ ms: about(30_000) });
  });

  test('lets nobody pass who came later, though they ask first', async () => {
    const [one, other, third, early, late] = (await turns(5)) as [
      Running,
      Running,
      Running,
      Running,
      Running,
    ];
    for (const held of [one, other, third]) await take(held);
    expect(await take(early)).toMatchObject({ outcome: 'waits', ahead: 0 });
    await wait(early);
    await pass(20);
    expect(await take(late)).toMatchObject({ outcome: 'waits', ms: about(20_000), ahead: 1 });
    await wait(late);
    expect(await take(await again(early))).toEqual({ outcome: 'taken' });
    await pass(20);
    expect(await take(await again(late))).toEqual({ outcome: 'taken' });
    expect(await store.db.sql`SELECT FROM rate_line`).toEqual([]);
  });

  test('waits for nobody who has ended, or does not come', async () => {
    const [one, other, third, ended, gone, last] = (await turns(6)) as Running[] as [
      Running,
      Running,
      Running,
      Running,
      Running,
      Running,
    ];
    for (const held of [one, other, third, ended, gone]) await take(held);
    for (const held of [ended, gone]) await wait(held, 60_000);
    await cancelTask(store.db, { teamId: store.teamId, taskId: ended.taskId, nextTurnId: newId() });
    await store.db.sql`
      UPDATE rate_line SET due_at = clock_timestamp() - interval '9 s' WHERE turn_id = ${gone.turnId}`;
    await pass(20);
    expect(await take(last)).toMatchObject({ outcome: 'waits', ahead: 1 });
    await wait(last);
    await store.db.sql`
      UPDATE rate_line SET due_at = clock_timestamp() - interval '11 s' WHERE turn_id = ${gone.turnId}`;
    expect(await take(await again(last))).toEqual({ outcome: 'taken' });
    // It goes before those that came after it, when it comes.
    await pass(20);
    expect(await take(await again(gone))).toEqual({ outcome: 'taken' });
  });

  test('has nobody stay away for more than a minute, since the line may get shorter', async () => {
    const bucket = { name: 'env@0', requestsPerMinute: 1 };
    const [one, other, third] = (await turns(3)) as [Running, Running, Running];
    await take(one, bucket);
    expect(await take(other, bucket)).toMatchObject({ ms: about(60_000) });
    expect(await take(third, bucket)).toEqual({ outcome: 'waits', ms: 60_000, ahead: 1, paused: false });
  });

  test('is fenced for an attempt that does not hold the turn', async () => {
    const [held] = (await turns(1)) as [Running];
    const before = await snapshotRows(store.db);
    expect(await take({ ...held, attemptId: newId() })).toEqual({ outcome: 'fenced' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('takes the limits of whoever asks: those of its settings', async () => {
    const [one, other] = (await turns(2)) as [Running, Running];
    const none = { name: 'env@0' };
    expect(await take(one, { ...none, requestsPerMinute: 1 })).toEqual({ outcome: 'taken' });
    expect(await take(other, { ...none, requestsPerMinute: 6 })).toMatchObject({
      ms: about(10_000),
    });
  });
});

describe('what a request has taught', () => {
  const name = 'env@0';

  test('is told with the next claim: a pause, and what cools down', async () => {
    const [one, other] = (await turns(2)) as [Running, Running];
    expect(await troubles()).toBeNull();
    const note = { paused: { name, ms: 5_000 }, cooled: { name: 'env/a@0', ms: 30_000 } };
    await retryTurn(store.db, one, { delayMs: 0, failure, spent: false, note, nextTurnId: newId() });
    const cooled = { name: 'env/a@0', strikes: 1, coolMs: about(30_000), pauseMs: 0 };
    const paused = { name, strikes: 0, coolMs: 0, pauseMs: about(5_000) };
    expect(await troubles()).toEqual([cooled, paused]);
    await pass(5);
    expect(await troubles()).toEqual([cooled]);
    await recordAnswer(store.db, other, { ...answerOf(), note: { healed: ['env/a@0'] } });
    expect(await troubles()).toBeNull();
  });

  test('is one strike however many learn it at once, the next when it was asked again, and forgotten after an hour', async () => {
    const [one, other, third] = (await turns(3)) as [Running, Running, Running];
    const end = {
      kind: 'finish',
      status: 'failed',
      code: 'x',
      message: 'No.',
      note: { cooled: { name, ms: 1_000 } },
    } as const;
    const fail = (held: Running) => settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
    await Promise.all([fail(one), fail(other)]);
    expect(await troubles()).toMatchObject([{ strikes: 1 }]);
    await store.db.sql`UPDATE model_health SET until = clock_timestamp() - interval '1 s'`;
    expect(await troubles()).toMatchObject([{ strikes: 1, coolMs: 0 }]);
    await fail(third);
    expect(await troubles()).toMatchObject([{ strikes: 2 }]);
    await store.db.sql`UPDATE model_health SET until = clock_timestamp() - interval '59 min'`;
    expect(await troubles()).toHaveLength(1);
    await store.db.sql`UPDATE model_health SET until = clock_timestamp() - interval '61 min'`;
    expect(await troubles()).toBeNull();
  });

  test('holds everyone up until a pause is over, and then lets them go at the pace of the limits', async () => {
    const [one, other, third] = (await turns(3)) as [Running, Running, Running];
    const note = { paused: { name, ms: 5_000 } };
    await take(one);
    await retryTurn(store.db, one, { delayMs: 5_000, failure, spent: false, note, nextTurnId: newId() });
    expect(await take(other)).toMatchObject({
      outcome: 'waits',
      ms: about(25_000),
      paused: true,
    });
    await wait(other);
    await pass(25);
    expect(await take(await again(other))).toEqual({ outcome: 'taken' });
    expect(await take(third)).toMatchObject({
      outcome: 'waits',
      ms: about(20_000),
      paused: false,
    });
  });

  test('is kept with whom the turn goes to next', async () => {
    const [held] = (await turns(1)) as [Running];
    const route = { model: 'b/two', passed: ['a/one'] };
    const retry = { delayMs: 0, failure: { ...failure, fallback: 'b/two' }, spent: false, retries: 0, route };
    await retryTurn(store.db, held, { ...retry, nextTurnId: newId() });
    await admitTurns(store.db, 100);
    const claimed = await claimTurn(store.db, claimOf(held.turnId, await addWorker(store.db)));
    expect(claimed).toMatchObject({ turn: { route, retries: 0 } });
  });
});
