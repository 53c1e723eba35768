import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import type { Prices } from '../../src/core/provider.ts';
import { raiseLimits, reserveMore } from '../../src/store/accounts.ts';
import { cancelTask, resolveApproval } from '../../src/store/tasks.ts';
import {
  claimTurn,
  type Held,
  handBackTurn,
  type RecordedAnswer,
  recordAnswer,
  retryTurn,
  settleTurn,
} from '../../src/store/turns.ts';
import { readTasks } from '../../src/store/views-tasks.ts';
import { expiredTasks, takeOverTurn } from '../../src/store/workers.ts';
import {
  addWorker,
  answerOf,
  BACKOFF_MS,
  callOf,
  checkWitnesses,
  claim,
  claimOf,
  lose,
  parked,
  resultOf,
  running,
  type Submitted,
  snapshotRows,
  submit,
  useStore,
  type Wanted,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

const PRICES: Prices = { input: 3, output: 15, cachedInput: 0.3, cacheWrite: 3.75 };
const LONG: Prices = { ...PRICES, long: { above: 100, input: 6, output: 22, cachedInput: 0.6 } };
const ACCOUNTS = { answer: 1_000, prices: PRICES };
const failure = { code: 'overloaded', message: 'Busy.' };
const money = { accounts: ACCOUNTS, limits: { usd: '0.03' } } satisfies Wanted;
/** What a first request is reserved for: 1,000 tokens of an answer. */
const FIRST = '0.015';

function used(change: Partial<RecordedAnswer['usage']> = {}): RecordedAnswer {
  const answer = answerOf();
  return { ...answer, usage: { ...answer.usage, prices: PRICES, ...change } };
}

async function accounts({ sessionId }: Pick<Submitted, 'sessionId'>) {
  const [tree] = await store.db.sql`
    SELECT tokens_used::int AS tokens, tokens_reserved::int AS "tokensReserved", trim_scale(usd_used)::text AS usd,
           trim_scale(usd_reserved)::text AS "usdReserved" FROM tree WHERE root_id = ${sessionId}`;
  return tree;
}

async function booked({ taskId }: Pick<Submitted, 'taskId'>) {
  return store.db.sql`
    SELECT outcome, model, input, trim_scale(usd)::text AS usd, prices FROM usage WHERE task_id = ${taskId} ORDER BY created_at`;
}

async function stateOf({ taskId }: Pick<Submitted, 'taskId'>) {
  const [task] = await store.db.sql`
    SELECT t.status, t.waiting_on AS on, t.error_code AS code, u.status AS turn, u.at_limit AS "atLimit"
      FROM task t JOIN turn u ON u.task_id = t.id WHERE t.id = ${taskId} ORDER BY u.number DESC LIMIT 1`;
  return task;
}

const usageOf = async ({ taskId: id }: Submitted) =>
  (await readTasks(store.db, { teamId: store.teamId, id }, 1)).rows[0]?.usage;

describe('what an answer costs', () => {
  test.each<[string, Partial<RecordedAnswer['usage']>, string]>([
    ['its tokens', { input: 1_001, output: 7 }, '0.003108'],
    ['less for what was read from a cache', { input: 1_000, cached: 900, output: 0 }, '0.00057'],
    [
      'more for what was written to one',
      { input: 1_000, cached: 100, cacheWritten: 800, output: 0 },
      '0.00333',
    ],
    ['no more than its input', { input: 10, cached: 99, cacheWritten: 99, output: 0 }, '0.000003'],
    ['its tokens, where a request is not long', { input: 100, output: 7, prices: LONG }, '0.000405'],
    [
      'more of all of a request that is long',
      { input: 101, cached: 51, cacheWritten: 20, output: 7, prices: LONG },
      '0.0004846',
    ],
    [
      'a part of a micro-dollar, exactly',
      { input: 1, output: 0, prices: { input: 0.075, output: 0 } },
      '0.000000075',
    ],
    ['nothing where the model costs nothing', { prices: { input: 0, output: 0 } }, '0'],
    [
      'as input, where a cache has no price',
      { input: 10, cached: 5, output: 0, prices: { input: 2, output: 0 } },
      '0.00002',
    ],
  ])('is %s', async (_, usage, usd) => {
    const held = await running(store);
    await recordAnswer(store.db, held, used(usage));
    expect(await booked(held)).toMatchObject([{ usd, prices: usage.prices ?? PRICES }]);
    expect(await accounts(held)).toMatchObject({ usd });
  });

  test('is not known where the price is not: told as that, not as nothing', async () => {
    const held = await running(store);
    await recordAnswer(store.db, held, used({ prices: null }));
    expect(await booked(held)).toMatchObject([{ usd: null, prices: null }]);
    expect(await usageOf(held)).toMatchObject([
      { model: 'test/scripted', usd: null, unpriced: 1 },
      { model: null, usd: null, unpriced: 1 },
    ]);
  });

  test('stays what it was when the price changes, and sums up to the last digit', async () => {
    const held = await running(store, { accounts: ACCOUNTS });
    const call = callOf();
    const asking = answerOf([call]);
    const cheap = { input: 0.1, output: 0.2 };
    await recordAnswer(store.db, held, { ...asking, usage: { ...asking.usage, prices: PRICES } });
    const nextTurnId = newId();
    await settleTurn(store.db, held, { results: [resultOf(call)], end: { kind: 'continue' }, nextTurnId });
    await recordAnswer(store.db, await claim(store.db, nextTurnId), used({ prices: cheap }));
    expect((await booked(held)).map(({ usd }) => usd)).toEqual(['0.000105', '0.000002']);
    expect(await usageOf(held)).toMatchObject([
      { usd: '0.000107' },
      { model: null, usd: '0.000107', requests: 2 },
    ]);
  });
});

describe('a reservation of money', () => {
  test('of a long request is made by what that costs', async () => {
    const held = await running(store, { ...money, accounts: { answer: 10, prices: LONG } });
    const reserve = (input: number) =>
      reserveMore(store.db, held, { input, output: 10, prices: LONG, nextTurnId: newId() });
    await reserve(100);
    expect(await accounts(held)).toMatchObject({ usdReserved: '0.000525' });
    await reserve(101);
    expect(await accounts(held)).toMatchObject({ usdReserved: '0.000826' });
  });

  test('is made by the claim, and replaced by what the answer cost', async () => {
    const held = await running(store, money);
    expect(await accounts(held)).toMatchObject({ tokensReserved: 1_000, usd: '0', usdReserved: FIRST });
    await recordAnswer(store.db, held, used());
    expect(await accounts(held)).toMatchObject({ tokensReserved: 0, usd: '0.000105', usdReserved: '0' });
  });

  test.each<[string, (held: Held) => Promise<unknown>]>([
    [
      'a retry',
      (held) => retryTurn(store.db, held, { delayMs: 0, failure, spent: true, nextTurnId: newId() }),
    ],
    [
      'a worker that stops',
      (held) => handBackTurn(store.db, held, { results: [], spent: true, nextTurnId: newId() }),
    ],
    [
      'a loss',
      (held) => takeOverTurn(store.db, held, { backoffMs: BACKOFF_MS, nextTurnId: newId(), own: true }),
    ],
    [
      'an end',
      (held) => {
        const end = { kind: 'finish', status: 'failed', ...failure, spent: true } as const;
        return settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
      },
    ],
  ])('counts as spent where nobody heard what the request cost: %s', async (_, end) => {
    const held = await running(store, money);
    await end(held);
    expect(await accounts(held)).toEqual({ tokens: 1_000, tokensReserved: 0, usd: FIRST, usdReserved: '0' });
    const row = { outcome: 'unknown', model: 'test/scripted', input: 1_000, usd: FIRST, prices: PRICES };
    expect(await booked(held)).toEqual([row]);
    expect(await usageOf(held)).toMatchObject([
      { model: 'test/scripted', isLost: true, usd: FIRST },
      { model: null, isLost: true, requests: 1 },
    ]);
  });

  test('is released where the request cost nothing', async () => {
    const [one, other] = [await running(store, money), await running(store, money)];
    await retryTurn(store.db, one, { delayMs: 0, failure, spent: false, nextTurnId: newId() });
    await handBackTurn(store.db, other, { results: [], spent: false, nextTurnId: newId() });
    const nothing = { tokens: 0, tokensReserved: 0, usd: '0', usdReserved: '0' };
    expect([await accounts(one), await accounts(other)]).toEqual([nothing, nothing]);
  });

  test('of the next request is for what the turn sent, got and found', async () => {
    const held = await running(store, { accounts: ACCOUNTS });
    const call = callOf();
    await recordAnswer(store.db, held, answerOf([call], { input: 400, output: 100 }));
    const nextTurnId = newId();
    const end = { kind: 'continue', added: 250 } as const;
    await settleTurn(store.db, held, { results: [resultOf(call)], end, nextTurnId });
    const { outcome } = await claim(store.db, nextTurnId);
    expect(outcome).toMatchObject({ turn: { reserved: { tokens: 1_750, resent: 750, answer: 1_000 } } });
    // 750 at the price of writing a cache, the dearest, and 1,000 of an answer.
    expect(await accounts(held)).toMatchObject({ usdReserved: '0.0178125' });
  });

  test.each([
    ['0.015', 'claimed'],
    ['0.014999', 'ended'],
  ])('usd: of $%s, a request that may cost $0.015 is %s', async (usd, outcome) => {
    const task = await submit(store, { accounts: ACCOUNTS, limits: { usd } });
    expect(await claimTurn(store.db, claimOf(task.turnId, await addWorker(store.db)))).toMatchObject({
      outcome,
    });
    if (outcome === 'claimed') return;
    const [row] = await store.db
      .sql`SELECT error_code AS code, error_message AS message FROM task WHERE id = ${task.taskId}`;
    const message = `The session has spent $0 of its $${usd}, and the next turn might cost more than is left. Give the next task a higher limit with --limit usd=N.`;
    expect(row).toEqual({ code: 'limit_usd', message });
  });

  test('sixty-four sessions of one tree that begin at once never pass a limit together', async () => {
    const wanted = { accounts: ACCOUNTS, limits: { usd: '0.3', tokens: 1_000_000 } };
    const submitted = await Promise.all(Array.from({ length: 64 }, () => submit(store, wanted)));
    const root = submitted[0]?.sessionId ?? '';
    const ids = `{${submitted.map(({ sessionId }) => sessionId).join(',')}}`;
    await store.db
      .sql`UPDATE session SET root_id = ${root}, parent_id = ${root}, depth = 1 WHERE id = ANY(${ids}::uuid[]) AND id <> ${root}`;
    await store.db.sql`UPDATE tree SET children = ${submitted.length - 1} WHERE root_id = ${root}`;
    await store.db.sql`UPDATE task SET root_id = ${root} WHERE session_id = ANY(${ids}::uuid[])`;
    await store.db.sql`UPDATE turn SET root_id = ${root} WHERE session_id = ANY(${ids}::uuid[])`;
    const workerId = await addWorker(store.db);
    const claims = submitted.map(({ turnId }) => claimOf(turnId, workerId));
    const outcomes = await Promise.all(claims.map((each) => claimTurn(store.db, each)));
    const claimed = claims.filter((_, index) => outcomes[index]?.outcome === 'claimed');
    expect(claimed).toHaveLength(20);
    await Promise.all(claimed.map((held) => recordAnswer(store.db, held, used())));
    expect(await accounts({ sessionId: root })).toMatchObject({
      usd: '0.0021',
      usdReserved: '0',
      tokensReserved: 0,
    });
  });
});

describe('a request that needs more than its claim foresaw', () => {
  const need = (input: number, change: object = {}) => ({
    ...{ input, output: 1_000, prices: PRICES, nextTurnId: newId() },
    ...change,
  });

  test.each([
    [4_000, 'reserved', { tokensReserved: 5_000, usdReserved: '0.03' }],
    [4_001, 'ended', { tokensReserved: 0, usdReserved: '0' }],
  ])('of %i tokens is %s: its limit is $0.03', async (input, outcome, reserved) => {
    const held = await running(store, money);
    expect(await reserveMore(store.db, held, need(input))).toMatchObject({ outcome });
    expect(await accounts(held)).toEqual({ tokens: 0, usd: '0', ...reserved });
  });

  test('is reserved once, never less, and by its prices from then on', async () => {
    const held = await running(store, { accounts: ACCOUNTS, limits: { tokens: 9_000 } });
    const dearer = need(100, { prices: { input: 10, output: 20 } });
    for (const _ of [0, 1]) await reserveMore(store.db, held, dearer);
    await reserveMore(store.db, held, need(1));
    expect(await accounts(held)).toMatchObject({ tokensReserved: 1_100, usdReserved: '0.021' });
    await handBackTurn(store.db, held, { results: [], spent: true, nextTurnId: newId() });
    expect(await accounts(held)).toMatchObject({ tokens: 1_100, usd: '0.021' });
  });

  test('is nobody’s who has lost the turn, or has its answer', async () => {
    const [lost, answered] = [await running(store, money), await running(store, money)];
    await handBackTurn(store.db, lost, { results: [], spent: false, nextTurnId: newId() });
    await recordAnswer(store.db, answered, used());
    const before = await snapshotRows(store.db);
    for (const held of [lost, answered])
      expect(await reserveMore(store.db, held, need(1))).toEqual({ outcome: 'fenced' });
    expect(await snapshotRows(store.db)).toEqual(before);
  });
});

describe('a task that waits at its limits', () => {
  const AT = { limits: { usd: '0.01', tokens: 9_000, onLimit: 'park' }, accounts: ACCOUNTS } satisfies Wanted;
  const raise = ({ taskId }: Submitted, limits: object) =>
    raiseLimits(store.db, { teamId: store.teamId, taskId, limits });

  async function waiting(wanted: Wanted = AT): Promise<Submitted> {
    const task = await submit(store, wanted);
    const outcome = await claimTurn(store.db, claimOf(task.turnId, await addWorker(store.db)));
    expect(outcome).toMatchObject({ outcome: 'parked', wake: null });
    return task;
  }

  test('holds nothing, says so, and goes on once the limit is raised', async () => {
    const task = await waiting();
    expect(await stateOf(task)).toEqual({
      status: 'waiting',
      on: 'budget',
      code: null,
      turn: 'parked',
      atLimit: 'usd',
    });
    expect(await accounts(task)).toEqual({ tokens: 0, tokensReserved: 0, usd: '0', usdReserved: '0' });
    const events = await store.db
      .sql`SELECT type, data FROM event WHERE root_id = ${task.sessionId} ORDER BY seq OFFSET 2`;
    expect(events.map(({ type }) => type)).toEqual([
      ...['task.started', 'limit.reached', 'turn.parked', 'task.waiting', 'agent.state_changed'],
    ]);
    expect(events[1]?.data).toEqual({
      code: 'limit_usd',
      message: expect.stringContaining('spent $0 of its $0.01'),
    });
    expect(await raise(task, { usd: '0.015' })).toMatchObject({
      outcome: 'raised',
      wake: { turnId: task.turnId, wake: 2 },
    });
    const { outcome } = await claim(store.db, task.turnId);
    expect(outcome).toMatchObject({ outcome: 'claimed', turn: { number: 1 } });
  });

  test('waits on, where what was raised is not what is missing', async () => {
    const task = await waiting();
    await raise(task, { tokens: 10_000 });
    await claimTurn(store.db, claimOf(task.turnId, await addWorker(store.db)));
    expect(await stateOf(task)).toMatchObject({ on: 'budget', atLimit: 'usd' });
  });

  test('is cancelled like any other', async () => {
    const task = await waiting();
    const { teamId } = store;
    await cancelTask(store.db, { teamId, taskId: task.taskId, nextTurnId: newId() });
    expect(await stateOf(task)).toMatchObject({ status: 'cancelled', turn: 'cancelled', atLimit: null });
  });

  test('in the middle of a turn gives back what was reserved', async () => {
    const held = await running(store, { ...AT, limits: { ...AT.limits, usd: '0.015' } });
    const need = { input: 1, output: 1_000, prices: PRICES, nextTurnId: newId() };
    expect(await reserveMore(store.db, held, need)).toMatchObject({ outcome: 'parked' });
    expect(await accounts(held)).toMatchObject({ tokens: 0, tokensReserved: 0, usdReserved: '0' });
    expect(await stateOf(held)).toMatchObject({ on: 'budget', turn: 'parked', atLimit: 'usd' });
  });

  test('turns: the next one waits, and the one before it is done', async () => {
    const held = await running(store, { limits: { turns: 1, onLimit: 'park' } });
    const call = callOf();
    await recordAnswer(store.db, held, answerOf([call]));
    const end = { kind: 'finish', status: 'failed', code: 'limit_turns', message: 'All used.' } as const;
    const settle = { results: [resultOf(call)], end, nextTurnId: newId() };
    expect(await settleTurn(store.db, held, settle)).toMatchObject({
      outcome: 'settled',
      taskStatus: 'waiting',
      wake: null,
    });
    expect(await stateOf(held)).toMatchObject({ on: 'budget', turn: 'parked', atLimit: 'turns' });
    await raise(held, { turns: 2 });
    const { outcome } = await claim(store.db, settle.nextTurnId);
    expect(outcome).toMatchObject({ turn: { number: 2, turnLimit: 2 } });
  });

  test('seconds: the turn waits as it is, and more of them count from when they were given', async () => {
    const held = await running(store, { limits: { seconds: 60, onLimit: 'park' } });
    await store.db
      .sql`UPDATE task SET deadline_at = clock_timestamp() - interval '1 h' WHERE id = ${held.taskId}`;
    const end = { kind: 'finish', status: 'failed', code: 'limit_seconds', message: 'Late.' } as const;
    await settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
    expect(await stateOf(held)).toMatchObject({ on: 'budget', turn: 'parked', atLimit: 'seconds' });
    expect(await expiredTasks(store.db, 100)).not.toContain(held.taskId);
    await raise(held, { seconds: 100 });
    const { outcome } = await claim(store.db, held.turnId);
    expect(outcome).toMatchObject({ turn: { number: 1, secondsLeft: expect.closeTo(40, -1) } });
  });

  test('seconds: an answer to its question while it waits does not wake it', async () => {
    const asked = await parked(store, { limits: { seconds: 60, onLimit: 'park' } });
    await resolveApproval(store.db, { ...store, approvalId: asked.approvalId, decision: 'allowed' });
    await store.db
      .sql`UPDATE task SET deadline_at = clock_timestamp() - interval '1 h' WHERE id = ${asked.taskId}`;
    await claimTurn(store.db, claimOf(asked.turnId, asked.workerId));
    expect(await stateOf(asked)).toMatchObject({ on: 'budget', atLimit: 'seconds' });
  });

  test('is given nothing lower, and nothing once it has ended', async () => {
    const task = await submit(store, money);
    const other = await submit(store, { limits: { turns: 5 } });
    expect(await raise(task, { usd: '0.029999' })).toEqual({
      outcome: 'not_higher',
      limit: 'usd',
      allowed: '0.03',
    });
    expect(await raise(other, { turns: 4 })).toMatchObject({
      outcome: 'not_higher',
      limit: 'turns',
      allowed: '5',
    });
    expect(await raise(other, { tokens: 9 })).toMatchObject({
      outcome: 'not_higher',
      limit: 'tokens',
      allowed: null,
    });
    expect(await raise(task, { usd: null })).toMatchObject({ outcome: 'raised' });
    await cancelTask(store.db, { teamId: store.teamId, taskId: task.taskId, nextTurnId: newId() });
    expect(await raise(task, { turns: 99 })).toEqual({ outcome: 'ended', status: 'cancelled' });
    const strange = { teamId: newId(), taskId: task.taskId, limits: { turns: 99 } };
    expect(await raiseLimits(store.db, strange)).toEqual({ outcome: 'not_found' });
  });
});

test('a worker that is lost after the answer has cost its task nothing more', async () => {
  const held = await running(store, money);
  await recordAnswer(store.db, held, used());
  await lose(store.db, held.workerId);
  await takeOverTurn(store.db, held, { backoffMs: BACKOFF_MS, nextTurnId: newId(), own: false });
  const again = await claim(store.db, held.turnId);
  const end = { kind: 'finish', status: 'succeeded', resultPosition: 2 } as const;
  await settleTurn(store.db, again, { results: [], end, nextTurnId: newId() });
  expect(await accounts(held)).toEqual({ tokens: 15, tokensReserved: 0, usd: '0.000105', usdReserved: '0' });
});
