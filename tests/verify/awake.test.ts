import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { afterAwake } from '../../src/verify/awake.ts';

const standStill = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

test('calls once the time has been run, and not while it is called off', async () => {
  let calls = 0;
  afterAwake(200, () => (calls += 1));
  afterAwake(200, () => (calls += 100))();
  await expect.poll(() => calls).toBe(1);
  await delay(250);
  expect(calls).toBe(1);
});

test('time in which the process stood still does not count', async () => {
  let calls = 0;
  const off = afterAwake(500, () => (calls += 1));
  standStill(1_500);
  // Whatever was due meanwhile runs now, and once more what that made due.
  await delay(1);
  await delay(1);
  expect(calls).toBe(0);
  off();
});
