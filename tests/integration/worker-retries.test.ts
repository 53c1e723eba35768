import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log.ts';
import { createModels } from '../../src/model/providers.ts';
import { runWorker } from '../../src/worker/main.ts';
import { call, cut, error, hang, raw, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { useWorld } from '../support/worker.ts';

describe('a model request that fails', () => {
  const world = useWorld({ kind: 'postgres' });
  const SLOW = { tries: 3, firstMs: 60_000, longestMs: 60_000 };

  test.each([
    ['429', [error(429)], 'rate_limited'],
    ['500', [error(500)], 'provider_unavailable'],
    ['529', [error(529)], 'provider_unavailable'],
    ['a cut stream', [say('Half an answer'), cut()], 'stream_cut'],
  ])('with %s is sent again when it is due, and the task goes on', async (_, step, code) => {
    await world.startWorker();
    const task = await world.submit({ script: ({ attempt }) => (attempt < 3 ? step : say('At last.')) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(3);
    expect(await world.attempts(task)).toEqual(['retry', 'retry', 'settled']);
    const answers = (await world.entries(task)).filter((entry) => entry.kind === 'assistant');
    expect(answers.map((entry) => entry.parts)).toEqual([[{ type: 'text', text: 'At last.' }]]);
    const failures = await world.db.sql`
      SELECT failure->>'code' AS code FROM attempt a JOIN turn u ON u.id = a.turn_id
       WHERE u.task_id = ${task.taskId} AND failure IS NOT NULL`;
    expect(failures).toEqual([{ code }, { code }]);
  });

  test('waits as a row: no slot is held, and another session runs meanwhile', async () => {
    await world.startWorker({ concurrency: 1, retry: SLOW });
    const waiting = await world.submit({ script: () => error(503) });
    await world.taskIs(waiting, { status: 'waiting', waiting_on: 'retry' });
    const other = await world.submit();
    expect(await world.taskEnds(other)).toMatchObject({ status: 'succeeded' });
    const [turn] = await world.db.sql`
      SELECT status, attempt_id, retries, due_at > clock_timestamp() + interval '30 s' AS later
        FROM turn WHERE id = ${waiting.turnId}`;
    expect(turn).toEqual({ status: 'ready', attempt_id: null, retries: 1, later: true });
    await world.requestCancel(waiting);
  });

  test('is sent again when the provider said, where that is later', async () => {
    await world.startWorker({ retry: { tries: 3, firstMs: 1, longestMs: 1 } });
    const task = await world.submit({ script: () => error(429, { retryAfter: 100 }) });
    await world.taskIs(task, { status: 'waiting', waiting_on: 'retry' });
    const [turn] = await world.db.sql<{ seconds: number }>`
      SELECT extract(epoch FROM due_at - clock_timestamp())::float8 AS seconds FROM turn WHERE id = ${task.turnId}`;
    expect(turn?.seconds).toBeGreaterThan(90);
    expect(turn?.seconds).toBeLessThan(126);
    await world.requestCancel(task);
  });

  test('fails the task after three tries, with what the provider said', async () => {
    await world.startWorker();
    const task = await world.submit({ script: () => error(500, { message: 'out of llamas' }) });
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'provider_unavailable',
      error_message: 'Provider env could not answer (500): out of llamas.',
    });
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(3);
  });

  test.each([
    ['cut off', cut(), 'stream_cut', 3],
    ['broken off by a 529', error(529), 'provider_unavailable', 3],
    ['broken off by a 429', error(429), 'rate_limited', 3],
    ['broken off by a 400', error(400), 'bad_request', 1],
  ])('is booked as spent where its answer was %s, also at the last try', async (_, end, code, times) => {
    await world.startWorker();
    const task = await world.submit({ script: () => [say('Half an answer'), end] });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: code });
    expect(await world.usage(task)).toEqual(Array(times).fill('unknown'));
  });

  test.each([500, 429, 400])('is not booked where it was refused with %i', async (status) => {
    await world.startWorker();
    const task = await world.submit({ script: () => error(status) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed' });
    expect(await world.usage(task)).toEqual([]);
  });

  test('is none where the answer was whole before: it is asked for once, and booked as counted', async () => {
    await world.startWorker();
    const body = [
      { choices: [{ delta: { content: 'Done.' }, finish_reason: 'stop' }] },
      { choices: [], usage: { prompt_tokens: 1000, completion_tokens: 500 } },
      { error: { code: 500, message: 'late' } },
    ].map((data) => `data: ${JSON.stringify(data)}\n\n`);
    const task = await world.submit({
      script: () =>
        raw((response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.end(body.join(''));
        }),
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(1);
    const usage = await world.db.sql`
      SELECT outcome, input, output FROM usage WHERE session_id = ${task.sessionId}`;
    expect(usage).toEqual([{ outcome: 'recorded', input: 1000, output: 500 }]);
  });

  test('is sent once where the answer has no end, and booked', async () => {
    const models = createModels({ env: { baseUrl: world.model.baseUrl } }, { answerBytes: 1024 * 1024 });
    await world.startWorker({ models });
    const text = 'x'.repeat(1024 * 1024);
    const task = await world.submit({ script: () => [say(text), say('x'), hang()] });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'answer_too_long' });
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(1);
    expect(await world.usage(task)).toEqual(['unknown']);
  });

  test('counts its tries from the last answer', async () => {
    await world.startWorker();
    const task = await world.submit({
      script: (request) => {
        if (request.attempt < 3) return error(500);
        return request.answers === 2 ? say('Done.') : call('look', { text: 'x' });
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(9);
  });

  test('is not sent again where asking again cannot help', async () => {
    await world.startWorker();
    const task = await world.submit({ script: () => error(401) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'provider_auth' });
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(1);
  });

  test('because nobody answers there is tried three times', async () => {
    const models = createModels({ env: { baseUrl: 'http://127.0.0.1:1/v1' } });
    await world.startWorker({ models });
    const task = await world.submit();
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'provider_unreachable',
      error_message: expect.stringContaining('could not be reached at http://127.0.0.1:1/v1'),
    });
    expect(await world.attempts(task)).toEqual(['retry', 'retry', 'failed']);
  });

  test('because no provider is configured fails the task with what to do', async () => {
    await world.startWorker({ models: createModels({}) });
    const task = await world.submit();
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'no_provider',
      error_message: expect.stringContaining('set ANTHROPIC_API_KEY'),
    });
  });

  test('because the workspace is gone fails the task with what to do', async () => {
    await world.startWorker();
    const task = await world.submit({ path: '/nowhere/at/all', script: sequence([say('Hm.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'bad_workspace' });
    expect(world.model.requestsOf(task.sessionId)).toEqual([]);
  });
});

describe('a task with a limit of one second', () => {
  const world = useWorld({ kind: 'postgres' });
  const limited = { limits: { seconds: 1 } };
  const atLimit = {
    status: 'failed',
    error_code: 'limit_seconds',
    error_message: expect.stringContaining('--limit seconds=N'),
  };

  test('succeeds within it', async () => {
    await world.startWorker();
    const task = await world.submit({ limits: { seconds: 30 } });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
  });

  test('fails while the model answers', async () => {
    await world.startWorker();
    const task = await world.submit({ ...limited, script: () => [say('Half'), hang()] });
    const request = await world.model.waitForRequest(({ sessionId }) => sessionId === task.sessionId);
    expect(await world.taskEnds(task)).toMatchObject(atLimit);
    await world.until('the connection closes', async () => request.outcome === 'abandoned');
  });

  test('fails while a call runs', async () => {
    await world.startWorker();
    const task = await world.submit({ ...limited, script: () => call('endless_change') });
    expect(await world.taskEnds(task)).toMatchObject(atLimit);
    expect((await world.entries(task)).at(-1)).toMatchObject({
      status: 'interrupted',
      parts: [{ text: 'stopped early\n[interrupted: the task reached its time limit]' }],
    });
  });

  test('fails while it waits to try again, and while it waits for a person', async () => {
    await world.startWorker({ retry: { tries: 3, firstMs: 60_000, longestMs: 60_000 } });
    const retrying = await world.submit({ ...limited, script: () => error(500) });
    const asking = await world.submit({
      ...limited,
      mode: 'safe',
      permissions: { rules: [{ decision: 'ask', tool: 'note' }] },
      script: () => call('note', { text: 'x' }),
    });
    await world.taskIs(asking, { status: 'waiting' });
    expect(await world.taskEnds(retrying)).toMatchObject(atLimit);
    expect(await world.taskEnds(asking)).toMatchObject(atLimit);
    expect(world.noted(asking)).toEqual([]);
  });
});

describe('the settings of a worker', () => {
  const world = useWorld({ kind: 'postgres' });

  test('say how long an answer may take to begin, and how often it is asked for', async () => {
    const env = {
      ...{
        DATABASE_URL: world.url,
        CAPYBARA_DATA_DIR: world.dir,
        CAPYBARA_MODEL_ENDPOINT: world.model.baseUrl,
        CAPYBARA_SANDBOX: 'off',
      },
      ...{ CAPYBARA_MODEL_FIRST_TOKEN_SECONDS: '1', CAPYBARA_MODEL_TRIES: '1' },
    };
    const { config } = loadConfig({ env, cwd: world.dir, home: world.dir });
    const worker = await runWorker(config, silentLog);
    const task = await world.submit({ script: () => hang(), tools: [] });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'provider_timeout' });
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(1);
    await worker.stop();
  });
});
