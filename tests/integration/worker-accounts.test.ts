import { describe, expect, test } from 'vitest';
import { createModels } from '../../src/model/providers.ts';
import {
  call,
  cut,
  error,
  type Script,
  type Step,
  say,
  sequence,
  usage,
} from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';

/** US dollars for a million tokens, so a token costs so many micro-dollars. */
const PRICES = { input: 3, output: 15, cachedInput: 0.3 };
const TURNS = 6;

describe('what a session costs', () => {
  const world = useWorld({ kind: 'postgres' });
  const models = () =>
    createModels({ env: { baseUrl: world.model.baseUrl, models: { scripted: { prices: PRICES } } } });

  async function booked({ sessionId }: Task, outcome: string) {
    const [row] = await world.db.sql`
      SELECT count(*)::int AS requests, coalesce(sum(input), 0)::int AS input, coalesce(sum(output), 0)::int AS output,
             coalesce(sum(cached), 0)::int AS cached, trim_scale(sum(usd) * 1000000)::text AS "microDollars"
        FROM usage WHERE session_id = ${sessionId} AND outcome = ${outcome}`;
    return row;
  }

  test('is to the token and the micro-dollar what the server counted, whatever failed and was broken off', async () => {
    const counted = { requests: 0, input: 0, output: 0, cached: 0 };
    const answers: Script = ({ answers: before, attempt }): Step => {
      if (before === 1 && attempt === 1) return error(500);
      if (before === 2 && attempt === 1) return [say('Half an ans'), cut()];
      const counts = { input: 1_001 + 307 * before, output: 13 + before, cached: 257 * before };
      counted.requests += 1;
      counted.input += counts.input;
      counted.output += counts.output;
      counted.cached += counts.cached;
      const what = before + 1 === TURNS ? say('Done.') : call('look', { text: `${before}` });
      return [what, usage(counts)];
    };
    await world.startWorker({ models: models() });
    const task = await world.submit({ script: answers, accounts: { answer: null, prices: PRICES } });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const { input, output, cached } = counted;
    const microDollars = String((30 * (input - cached) + 3 * cached + 150 * output) / 10);
    expect(counted.requests).toBe(TURNS);
    expect(await booked(task, 'recorded')).toEqual({ ...counted, microDollars });
    // The one that was cut had begun: it is booked as all that was reserved for it.
    expect(await booked(task, 'unknown')).toMatchObject({ requests: 1, output: 0 });
  });

  test('under a limit no request is sent that was not reserved, and no answer gets more', async () => {
    await world.startWorker({ models: models() });
    const script = sequence([
      [call('look', { text: 'x' }), usage({ input: 300, output: 20 })],
      [say('Done.'), usage({ input: 330, output: 5 })],
    ]);
    const prompt = 'word '.repeat(4_000);
    const accounts = { answer: null, prices: PRICES };
    const task = await world.submit({ script, prompt, accounts, limits: { tokens: 20_000 } });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const [request] = world.model.requestsOf(task.sessionId, 1);
    expect(request?.body.max_tokens ?? request?.body.max_completion_tokens).toBe(4_096);
    const small = await world.submit({ script, prompt, accounts, limits: { tokens: 6_000 } });
    expect(await world.taskEnds(small)).toMatchObject({ status: 'failed', error_code: 'limit_tokens' });
    expect(world.model.requestsOf(small.sessionId, 1)).toHaveLength(0);
    expect(await world.attempts(small)).toEqual(['failed']);
  });

  test.each([
    ['nothing', { input: 0, output: 0 }],
    ['no input', { input: 0, output: 7 }],
    ['no output', { input: 7, output: 0 }],
  ])('is estimated where the server counts %s: no share is free for that', async (_, said) => {
    await world.startWorker({ models: models() });
    const script: Script = () => [
      say('One word after another. '.repeat(30)),
      usage({ ...said, cached: 0, reasoning: 0 }),
    ];
    const task = await world.submit({ script });
    await world.taskEnds(task);
    const { input, output } = (await booked(task, 'estimated')) ?? {};
    for (const [count, known] of [
      [input, said.input],
      [output, said.output],
    ])
      if (known === 0) expect(Number(count)).toBeGreaterThan(30);
      else expect(count).toBe(known);
  });
});
