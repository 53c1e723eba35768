import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../../src/log.ts';
import type { Model } from '../../src/model/model.ts';
import { createModels, type Models } from '../../src/model/providers.ts';
import { openDatabase } from '../../src/store/database.ts';
import { raw, say } from '../support/scripted-model/scripted-model.ts';
import { useWorld } from '../support/worker.ts';

describe('an error of Capybara’s own', () => {
  const world = useWorld({ kind: 'postgres' });

  /** Breaks the contract of `stream`: ends without its last event. */
  function broken(before: () => Promise<void> = async () => {}): Models {
    const model: Model = {
      name: 'env/broken',
      takesImages: false,
      info: {},
      async *stream() {
        await before();
        yield* [];
      },
    };
    return { resolve: () => model, list: () => [] };
  }

  test('counts as a loss: the turn is tried again, then its task fails, and the worker lives', async () => {
    const worker = await world.startWorker({ models: broken(), takeoverBackoffMs: [0, 1] });
    const task = await world.submit();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'crash_loop' });
    expect(await world.attempts(task)).toEqual(['lost', 'lost', 'lost']);
    await worker.stop();
    await world.startWorker();
    expect(await world.taskEnds(await world.submit())).toMatchObject({ status: 'succeeded' });
  });

  test('is also a statement that never ends: its turn is given up, and its task can be cancelled or fails', async () => {
    const db = openDatabase({ url: world.url, log: silentLog, statementTimeoutMs: 300 });
    await world.db.pool.query(`
      CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
      CREATE TRIGGER never BEFORE INSERT ON usage FOR EACH ROW WHEN (NEW.outcome = 'recorded') EXECUTE FUNCTION never()`);
    const worker = await world.startWorker({ db, takeoverBackoffMs: [0] });
    const [task, cancelled] = [await world.submit(), await world.submit()];
    await world.model.waitForRequest(({ sessionId }) => sessionId === cancelled.sessionId);
    await world.cancel(cancelled);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'crash_loop' });
    expect(await world.task(cancelled.taskId)).toMatchObject({ status: 'cancelled' });
    expect(await world.attempts(task)).toEqual(['lost', 'lost']);
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(2);
    await worker.stop();
    await world.db.pool.query('DROP TRIGGER never ON usage');
    await db.close();
  });

  test('that could not be booked at once is booked by a sweep', async () => {
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const models = broken(async () => {
      asked.resolve();
      await gate.promise;
    });
    await world.startWorker({ models, takeoverBackoffMs: [] });
    const task = await world.submit();
    await asked.promise;
    const locker = new Client(world.url);
    await locker.connect();
    await locker.query('BEGIN');
    await locker.query('SELECT FROM session WHERE id = $1 FOR UPDATE', [task.sessionId]);
    gate.resolve();
    await world.until('giving up was tried', async () => {
      const [row] = await world.db.sql<{ calls: number }>`
        SELECT count(*)::int AS calls FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%take_over_turn%'`;
      return (row?.calls ?? 0) > 0;
    });
    await locker.query('COMMIT');
    await locker.end();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'crash_loop' });
  });
});

describe('a call of Messages without id and name', () => {
  const world = useWorld({ kind: 'postgres' });

  test('is one that fails, paid once, and the session goes on', async () => {
    const models = createModels({ anthropic: { baseUrl: world.model.url } });
    await world.startWorker({ models });
    const block = { type: 'tool_use', input: {} };
    const events = [
      { type: 'message_start', message: { model: 'm-1', usage: { input_tokens: 3, output_tokens: 1 } } },
      ...[0, 1].map((index) => ({ type: 'content_block_start', index, content_block: block })),
      { type: 'content_block_start', index: 2, content_block: { type: 'text' } },
      { type: 'message_delta', delta: { stop_reason: 'tool_use' } },
      { type: 'message_stop' },
    ];
    const body = events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
    const odd = raw((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(body);
    });
    const task = await world.submit({ script: ({ answers }) => (answers === 0 ? odd : say('Done.')) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.attempts(task)).toEqual(['settled', 'settled']);
    expect(await world.calls(task)).toEqual([' failed', ' failed']);
    expect(world.model.requestsOf(task.sessionId)[1]?.lastToolResults.map(({ text }) => text)).toEqual(
      Array(2).fill(expect.stringMatching(/^Error: UnknownTool: there is no tool ''/)),
    );
  });
});
