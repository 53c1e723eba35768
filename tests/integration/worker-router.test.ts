import { describe, expect, test } from 'vitest';
import { sentenceOf } from '../../src/api/why-sentence.ts';
import type { Profile, Router } from '../../src/core/profile.ts';
import { modelsInOrder } from '../../src/core/router.ts';
import { createLog } from '../../src/log.ts';
import { createModels } from '../../src/model/providers.ts';
import { readWaitingTasks } from '../../src/store/witnesses.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { withPoints } from '../support/points.ts';
import {
  call,
  cut,
  error,
  hang,
  type Script,
  say,
  sequence,
  usage,
} from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';
import { workerTools } from '../support/worker-tools.ts';

const world = useWorld({ kind: 'postgres' });
const [PRIMARY, SPARE] = ['env/primary', 'env/spare'];
const ROUTER: Router = { strategy: 'fallback', fallbacks: [{ model: SPARE, weight: 1 }] };
const routed = { model: PRIMARY, router: ROUTER };

/** One script per model. */
function by(scripts: Readonly<Record<'primary' | 'spare', Script>>): Script {
  return (request) => scripts[request.model as 'primary' | 'spare'](request);
}

/** Two turns that read, and the end. */
const works: Script = ({ answers }) => (answers < 2 ? call('look', { text: 'x' }) : say('Done.'));

const asked = ({ sessionId }: Task) => world.model.requestsOf(sessionId).map(({ model }) => model);
const times = (count: number, model: string): string[] => Array(count).fill(model);

/** What an operator reads of it, from `warn` on. */
function listen() {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({
    level: 'warn',
    destination: { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  });
  return { log, lines };
}

async function answeredBy({ sessionId }: Task): Promise<unknown[]> {
  const rows = await world.db.sql`
    SELECT model FROM usage WHERE session_id = ${sessionId} AND outcome = 'recorded' ORDER BY created_at`;
  return rows.map(({ model }) => model);
}

async function retried({ sessionId }: Task): Promise<Record<string, unknown>[]> {
  const rows = await world.db.sql<{ data: Record<string, unknown> }>`
    SELECT data FROM event WHERE session_id = ${sessionId} AND type = 'turn.retried' ORDER BY seq`;
  return rows.map(({ data }) => data);
}

/** As if so many seconds had passed: of every bucket, and of everyone who waits. */
async function pass(seconds: number): Promise<void> {
  await world.db.sql`
    UPDATE rate_bucket SET requests_full_at = requests_full_at - make_interval(secs => ${seconds}),
      tokens_full_at = tokens_full_at - make_interval(secs => ${seconds}),
      paused_until = paused_until - make_interval(secs => ${seconds})`;
  await world.db
    .sql`UPDATE turn SET due_at = due_at - make_interval(secs => ${seconds}) WHERE status = 'ready'`;
}

describe('a turn whose model fails', () => {
  test('goes on with the fallback after three tries, in one line of the log, and later turns ask that one first', async () => {
    const { log, lines } = listen();
    await world.startWorker({ log });
    const task = await world.submit({ ...routed, script: by({ primary: () => error(529), spare: works }) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(asked(task)).toEqual([...times(3, 'primary'), ...times(3, 'spare')]);
    expect(await answeredBy(task)).toEqual(times(3, SPARE));
    const code = 'provider_unavailable';
    expect(lines).toMatchObject([{ level: 'warn', model: PRIMARY, fallback: SPARE, code, turn: 1 }]);
    const told = await retried(task);
    expect(told).toMatchObject([{ code }, { code }, { code, fallback: SPARE }]);
    expect(told.map(({ fallback }) => fallback)).toEqual([undefined, undefined, SPARE]);
  });

  test('asks it once when it has cooled down, and goes back to it when it answers', async () => {
    const { log, lines } = listen();
    await world.startWorker({ log, coolDown: { firstMs: 1, longestMs: 2 } });
    let failures = 4;
    const primary: Script = (request) => {
      failures -= 1;
      return failures >= 0 ? error(529) : works(request);
    };
    const task = await world.submit({ ...routed, script: by({ primary, spare: works }) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(asked(task)).toEqual([...times(3, 'primary'), 'spare', 'primary', 'spare', 'primary']);
    expect(await world.db.sql`SELECT FROM model_health`).toEqual([]);
    expect(lines).toHaveLength(1);
  });

  test.each([
    [401, 'provider_auth'],
    [402, 'provider_quota'],
    [404, 'model_not_found'],
  ])('with %i, which no wait mends, goes on with the fallback at once', async (status, code) => {
    await world.startWorker();
    const task = await world.submit({
      ...routed,
      script: by({ primary: () => error(status), spare: () => say('Done.') }),
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(asked(task)).toEqual(['primary', 'spare']);
    expect(await retried(task)).toMatchObject([{ code, fallback: SPARE }]);
  });

  test('because of what it is asked fails: the fallback is not asked', async () => {
    await world.startWorker();
    const task = await world.submit({ ...routed, script: () => error(400) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'bad_request' });
    expect(asked(task)).toEqual(['primary']);
  });

  test('and whose fallback fails ends with the reason, and with who had failed before', async () => {
    await world.startWorker();
    const script = by({ primary: () => error(401), spare: () => error(500, { message: 'out of llamas' }) });
    const task = await world.submit({ ...routed, script });
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'provider_unavailable',
      error_message:
        'Provider env could not answer (500): out of llamas. Before it this turn had given up env/primary.',
    });
    expect(asked(task)).toEqual(['primary', ...times(3, 'spare')]);
  });

  test('in the middle of an answer, each time, keeps no half of it and books what may have cost', async () => {
    await world.startWorker();
    const script = by({ primary: () => [say('Half an ans'), cut()], spare: () => say('Whole.') });
    const task = await world.submit({ ...routed, script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(asked(task)).toEqual([...times(3, 'primary'), 'spare']);
    const answers = (await world.entries(task)).filter(({ kind }) => kind === 'assistant');
    expect(answers.map(({ parts }) => parts)).toEqual([[{ type: 'text', text: 'Whole.' }]]);
    expect(await world.usage(task)).toEqual(['unknown', 'unknown', 'unknown', 'recorded']);
  });

  test('is not asked again by another worker: whom the turn has given up is in its row', async () => {
    await world.startWorker();
    let isBack = false;
    const spare: Script = () => (isBack ? say('Done.') : hang());
    const task = await world.submit({ ...routed, script: by({ primary: () => error(401), spare }) });
    await world.model.waitForRequest(
      ({ sessionId, model }) => sessionId === task.sessionId && model === 'spare',
    );
    isBack = true;
    await world.stopInProcess();
    await world.db.sql`DELETE FROM model_health`;
    await world.startWorker();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(asked(task)).toEqual(['primary', 'spare', 'spare']);
  });

  test('and that this worker does not know is passed over; where it knows none, the task says so', async () => {
    const models = createModels({
      env: { baseUrl: world.model.baseUrl },
      own: { kind: 'openai', apiKey: 'k' },
    });
    await world.startWorker({ models });
    const script = by({ primary: () => error(500), spare: () => say('Done.') });
    const task = await world.submit({ model: 'gone/primary', router: ROUTER, script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(asked(task)).toEqual(['spare']);
    const fallbacks = [{ model: 'lost/spare', weight: 1 }];
    const unknown = await world.submit({ model: 'gone/primary', router: { ...ROUTER, fallbacks } });
    expect(await world.taskEnds(unknown)).toMatchObject({
      error_code: 'unknown_model',
      error_message: expect.stringContaining('"gone/primary"'),
    });
  });
});

describe('models that are balanced', () => {
  const balanced: Router = { ...ROUTER, strategy: 'balance' };

  test('share the sessions, each of which stays with one, and leave it where that one is asked too often', async () => {
    await world.startWorker();
    const tasks = await Promise.all(
      Array.from({ length: 6 }, () =>
        world.submit({ model: PRIMARY, router: balanced, script: by({ primary: works, spare: works }) }),
      ),
    );
    for (const task of tasks) {
      await world.taskEnds(task);
      const [first = ''] = modelsInOrder({ model: PRIMARY, router: balanced } as Profile, task.sessionId);
      expect(await answeredBy(task)).toEqual(times(3, first));
    }
    const limited: Script = ({ model, sessionId = '' }) => {
      const [first = ''] = modelsInOrder({ model: PRIMARY, router: balanced } as Profile, sessionId);
      return first === `env/${model}` ? error(429, { retryAfter: 1 }) : say('Done.');
    };
    const task = await world.submit({ model: PRIMARY, router: balanced, script: limited });
    await world.until('it is asked to wait', async () => (await retried(task)).length > 0);
    await pass(10);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(new Set(asked(task)).size).toBe(2);
    expect(asked(task)).toHaveLength(2);
  });
});

describe('a provider’s key', () => {
  const limits = (more: { requestsPerMinute?: number; tokensPerMinute?: number }) => ({
    allowances: { env: { key: 'k', countsCached: true, ...more } },
  });
  const why = async ({ sessionId }: Task) => {
    const { rows } = await readWaitingTasks(world.db, sessionId, 1);
    return rows[0] && sentenceOf(rows[0]);
  };

  test('has one limit for two workers: who finds no room waits as a row, and goes in the order in which they came', async () => {
    await world.startWorker(limits({ requestsPerMinute: 3 }));
    await world.startWorker(limits({ requestsPerMinute: 3 }));
    const early = await Promise.all([1, 2, 3].map(() => world.submit()));
    for (const task of early) expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const late: Task[] = [];
    for (let count = 0; count < 3; count += 1) {
      const task = await world.submit();
      await world.taskIs(task, { status: 'waiting', waiting_on: 'retry' });
      late.push(task);
    }
    expect(late.flatMap(asked)).toEqual([]);
    expect(await why(late[2] as Task)).toMatch(
      /^Provider env is asked for 3 requests a minute at most, and 2 other turns are before this one: turn 1 goes on in (1 min )?\d+ s\.$/,
    );
    expect(await retried(late[0] as Task)).toMatchObject([{ code: 'provider_limit' }]);
    for (const [index, task] of late.entries()) {
      await pass(20);
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      for (const next of late.slice(index + 1)) expect(asked(next)).toEqual([]);
    }
  });

  test('counts the tokens that an answer used, not those that were kept for it', async () => {
    await world.startWorker(limits({ tokensPerMinute: 10_000 }));
    const script = sequence([[say('Done.'), usage({ input: 700, output: 60, cached: 500 })]]);
    const task = await world.submit({ script });
    await world.taskEnds(task);
    const [row] = await world.db.sql`
      SELECT a.tokens_taken::int AS taken, b.name, extract(epoch FROM b.tokens_full_at - a.ended_at) * 10000 / 60 < 770 AS fits
        FROM attempt a JOIN rate_bucket b ON b.name = a.bucket WHERE a.turn_id = ${task.turnId}`;
    expect(row).toEqual({ taken: 760, name: 'env@k', fits: true });
  });

  test('that was used too often slows everyone: no other session asks before its provider said', async () => {
    await world.startWorker();
    await world.startWorker();
    let isOver = false;
    const limited: Script = () => (isOver ? say('Done.') : error(429, { retryAfter: 100 }));
    const first = await world.submit({ script: limited });
    await world.taskIs(first, { status: 'waiting', waiting_on: 'retry' });
    const second = await world.submit({ script: limited });
    await world.taskIs(second, { status: 'waiting', waiting_on: 'retry' });
    expect(asked(second)).toEqual([]);
    expect(await why(second)).toMatch(
      /^Provider env has asked everyone who uses its key to wait: turn 1 goes on in \d+ (s|min)/,
    );
    isOver = true;
    await pass(130);
    for (const task of [first, second])
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(asked(second)).toHaveLength(1);
    const [turn] = await world.db.sql`SELECT retries FROM turn WHERE id = ${second.turnId}`;
    expect(turn).toEqual({ retries: 0 });
  });

  test('without a limit costs no statement', async () => {
    const points: string[] = [];
    const parts = {
      ...{
        db: world.db,
        backend: world.backend,
        models: createModels({ env: { baseUrl: world.model.baseUrl } }),
      },
      tools: createRegistry(workerTools(() => {})),
    };
    const wrapped = withPoints(parts, async (point) => void points.push(point));
    await world.startWorker({ ...wrapped, readGraceMs: 60_000 });
    const task = await world.submit({ script: works });
    await world.taskEnds(task);
    await world.stopInProcess();
    const steps = points.filter((point) => /^before \w+_\w+$/.test(point) && !/worker/.test(point));
    expect(steps).toEqual([1, 2, 3].flatMap(() => ['before claim_turn', 'before settle_turn']));
  });
});
