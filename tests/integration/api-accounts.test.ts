import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Task, TeamUsage, Why } from '../../src/api/wire.ts';
import { newId } from '../../src/clock.ts';
import { createModels } from '../../src/model/providers.ts';
import { claimTurn } from '../../src/store/turns.ts';
import { usageQuery } from '../../src/store/usage.ts';
import { HandWorker, startTestApi, type TestApi, USAGE, uuid } from './api-harness.ts';

let it: TestApi;
let worker: HandWorker;
const PRICES = { input: 2, output: 10, cachedInput: 0.5 };

beforeAll(async () => {
  const models = { m: {}, priced: { prices: PRICES } };
  it = await startTestApi(() => ({
    models: createModels({ openai: { apiKey: 'sk-none', models } }, { model: 'openai/m' }),
  }));
  worker = await new HandWorker(it.db).register();
});
afterAll(() => it.close());

const post = (limits: object, model = 'openai/priced') =>
  it.ask('POST', '/v1/tasks', { body: { prompt: 'x', model, limits } });
const patch = (id: string, limits: object) => it.ask('PATCH', `/v1/tasks/${id}`, { body: { limits } });

async function claimFirst({ sessionId }: Task) {
  const [turn] = await it.db.sql<{
    id: string;
  }>`SELECT id FROM turn WHERE session_id = ${uuid('session', sessionId)}`;
  const claim = {
    turnId: turn?.id ?? '',
    attemptId: newId(),
    workerId: worker.id,
    reserve: 4_096,
    nextTurnId: newId(),
  };
  return claimTurn(it.db, claim);
}

describe('a limit of money', () => {
  test.each([
    [2.5, '2.5'],
    ['0.000001', '0.000001'],
    [1e-6, '0.000001'],
    [1_000_000, '1000000'],
  ])('of %j is kept as %s', async (usd, shown) => {
    const { status, json } = await post({ usd });
    expect([status, Task.parse(json).limits.usd]).toEqual([201, shown]);
  });

  test.each([0, -1, '', 'much', '1e3', 0.0000001, 1_000_001])('of %j is refused', async (usd) => {
    const { status, json } = await post({ usd });
    expect([status, json.code]).toEqual([400, 'invalid_request']);
    expect(json.detail).toContain('limits.usd: expected US dollars above 0');
  });

  test('needs a model whose price is known, and says where to set it', async () => {
    const { status, json } = await post({ usd: 1 }, 'openai/m');
    expect([status, json.code]).toEqual([400, 'price_unknown']);
    expect(json.detail).toContain('the price of openai/m is not known: set models."openai/m".prices');
    expect((await post({ tokens: 1_000 }, 'openai/m')).status).toBe(201);
  });
});

describe('a task that waits at a limit', () => {
  test('says so, is told why, and goes on once it is raised', async () => {
    const task = Task.parse((await post({ usd: 0.01, onLimit: 'park' })).json);
    expect(await claimFirst(task)).toMatchObject({ outcome: 'parked' });
    const waiting = Task.parse((await it.ask('GET', `/v1/tasks/${task.id}`)).json);
    expect(waiting).toMatchObject({ status: 'waiting', waitingOn: 'budget', limits: { onLimit: 'park' } });
    const why = Why.parse((await it.ask('GET', `/v1/sessions/${task.sessionId}/why`)).json);
    expect(why.tasks).toMatchObject([
      { kind: 'budget', evidence: { turn: 1, limit: 'usd', used: '0', allowed: '0.01' } },
    ]);
    expect(why.tasks[0]?.sentence).toBe(
      'Turn 1 waits for a higher limit: the session has spent $0 of its $0.01, and the next turn might cost more than is left. ' +
        `Raise it with \`capybara tasks resume ${task.id} --limit usd=N\`.`,
    );
    const raised = await patch(task.id, { usd: 5 });
    expect([raised.status, Task.parse(raised.json).limits.usd]).toEqual([200, '5']);
    expect(await claimFirst(task)).toMatchObject({
      outcome: 'claimed',
      turn: { reserved: { prices: PRICES } },
    });
  });

  test('takes nothing lower, nothing unknown, and nothing once it has ended', async () => {
    const { id } = await it.submit({ limits: { turns: 5 } });
    const says = async (limits: object) => {
      const { status, json } = await patch(id, limits);
      return [status, json.code, json.detail];
    };
    expect(await says({ turns: 4 })).toEqual([
      ...[400, 'limit_not_higher'],
      "A limit can only become higher: expected more than the task's limits.turns (it is 5).",
    ]);
    expect((await says({ patience: 4 })).slice(0, 2)).toEqual([400, 'invalid_request']);
    await it.ask('POST', `/v1/tasks/${id}/cancel`);
    expect((await says({ turns: 6 })).slice(0, 2)).toEqual([409, 'task_ended']);
    const other = await it.addPerson('strangers', 'Sue');
    expect(
      (await it.ask('PATCH', `/v1/tasks/${id}`, { body: { limits: {} }, key: other.apiKey })).status,
    ).toBe(404);
  });
});

describe('what a team has used', () => {
  /** Two sessions of one person: $0.000345 and an unknown price. */
  async function spender() {
    const person = await it.addPerson(`spenders ${newId()}`, 'Ann');
    const submit = async () =>
      Task.parse((await it.ask('POST', '/v1/tasks', { body: { prompt: 'x' }, key: person.apiKey })).json);
    const [one, other] = [await submit(), await submit()];
    const held = await worker.claim(uuid('session', one.sessionId));
    await worker.answer(held, { usage: { ...USAGE, prices: PRICES, latencyMs: 40, firstTokenMs: 10 } });
    await worker.finish(uuid('session', other.sessionId));
    const read = async (query: string) => {
      const { status, json } = await it.ask('GET', `/v1/usage${query}`, { key: person.apiKey });
      if (status !== 200) throw new Error(json.detail);
      return TeamUsage.parse(json);
    };
    return { one, other, read };
  }

  test('is told by model, task, session, user and day, with the whole beside it', async () => {
    const { one, other, read } = await spender();
    const { total, data } = await read('');
    const all = { requests: 2, input: 200, cached: 120, output: 40, usd: '0.00031', unpriced: 1 };
    expect(total).toMatchObject({
      ...all,
      latencyMs: { p50: 5, p95: 40 },
      firstTokenMs: { p50: 2, p95: 10 },
    });
    expect(data).toMatchObject([{ key: 'openai/m', name: null, ...all }]);
    const keys = async (by: string) => (await read(`?by=${by}`)).data.map(({ key }) => key);
    expect(await keys('task')).toEqual([other.id, one.id]);
    expect(await keys('session')).toEqual([other.sessionId, one.sessionId]);
    expect(await keys('user')).toEqual(['Ann']);
    expect(await keys('day')).toEqual([new Date().toISOString().slice(0, 10)]);
    expect((await read('?by=session')).data[0]).toMatchObject({ name: 'x', usd: null, unpriced: 1 });
  });

  test('comes in pages, each with the whole', async () => {
    const { one, other, read } = await spender();
    const first = await read('?by=task&limit=1');
    const second = await read(`?by=task&limit=1&cursor=${first.nextCursor}`);
    expect([first, second].map(({ data, total }) => [data[0]?.key, total.requests])).toEqual([
      [other.id, 2],
      [one.id, 2],
    ]);
    expect(second.nextCursor).toBeNull();
  });

  test('is that of a time: its beginning is in it, its end is not', async () => {
    const { read } = await spender();
    const requests = async (query: string) => (await read(query)).total.requests;
    const [day, next] = [0, 1].map((days) =>
      new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10),
    );
    expect(await requests(`?since=${day}&until=${next}`)).toBe(2);
    expect(await requests(`?until=${day}`)).toBe(0);
    expect(await requests(`?since=${next}T00:00:00Z`)).toBe(0);
    await expect(read(`?since=${next}&until=${day}`)).rejects.toThrow(
      `since (${next}) must be before until (${day}).`,
    );
    await expect(read('?since=yesterday')).rejects.toThrow('expected a day such as 2026-01-31');
  });

  test('is found by an index where little of much is asked for', async () => {
    const text = usageQuery('day')
      .replace('$1', `'${newId()}'`)
      .replace('$5', '9')
      .replaceAll(/\$\d/g, 'NULL');
    const client = await it.db.pool.connect();
    try {
      await client.query('BEGIN; SET LOCAL enable_seqscan = off');
      const { rows } = await client.query(`EXPLAIN ${text}`);
      const plan = rows.map((row) => String(row['QUERY PLAN'])).join('\n');
      // The planner knows nothing of the rows: which of the two serves better they say.
      expect(plan).toMatch(/Index Scan using usage_(team_id_)?created_at_idx/);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });
});
