/**
 * Half a seeded minute of `capybara verify` on each backend: real processes that are killed, stopped, cut off and restarted under
 * load. CAPYBARA_TEST_SEED runs another seed, CAPYBARA_TEST_MINUTES longer.
 */
import { afterAll, describe, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { prove } from '../../src/verify/main.ts';

const SEED = Number(process.env.CAPYBARA_TEST_SEED ?? 1);
const MINUTES = Number(process.env.CAPYBARA_TEST_MINUTES ?? 0.5);
/** Few: what costs processor time here are the processes that start again, and every session adds to that. */
const SESSIONS = Math.ceil(14 * MINUTES);
/** Beside the minutes: starting, settling after the last fault, stopping. */
const REST_MS = 180_000;

const over = new AbortController();
afterAll(() => over.abort());

// Together: most of a minute is waiting for time to pass.
describe.concurrent.each(['postgres', 'redis'] as const)('on %s', (backend) => {
  const what = `${MINUTES} minutes of faults lose nothing and double nothing (seed ${SEED})`;
  test(what, { timeout: MINUTES * 60_000 + REST_MS }, async ({ expect }) => {
    const { REDIS_URL } = process.env;
    const { config } = loadConfig({ env: REDIS_URL === undefined ? {} : { REDIS_URL }, home: '/nowhere' });
    const proof = await prove({
      ...{ seed: SEED, minutes: MINUTES, sessions: SESSIONS, backend, config },
      signal: over.signal,
      onProgress: () => {},
    });
    if (proof === undefined) {
      console.log('SKIPPED: chaos on redis needs Redis (no redis-server on the PATH, no REDIS_URL)');
      return;
    }
    const wrong = proof.rows.filter((row) => row.mustBeZero && row.value > 0);
    expect(wrong.map(({ name, details }) => ({ name, details }))).toEqual([]);
    const value = (name: string) => proof.rows.find((row) => row.name === name)?.value ?? 0;
    expect(value('tasks finished')).toBe(value('tasks accepted') + value('tasks delegated'));
    expect(value('tasks delegated')).toBeGreaterThan(0);
    expect(value('tasks finished')).toBeGreaterThanOrEqual(SESSIONS);
    expect(value('faults')).toBeGreaterThan(5);
  });
});
