import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Log, silentLog } from '../../src/log.ts';
import { inStages } from '../../src/worker/stages.ts';

function collecting(): { readonly log: Log; readonly stages: unknown[] } {
  const stages: unknown[] = [];
  return { stages, log: { ...silentLog, warn: ({ stage }) => void stages.push(stage) } };
}

test('stages run one after the other, and the one that takes long is named', async () => {
  const { log, stages } = collecting();
  const order: string[] = [];
  await inStages(
    log,
    {
      first: () => order.push('first'),
      second: async () => {
        while (stages.length < 2) await delay(1);
        order.push('second');
      },
      third: () => order.push('third'),
    },
    5,
  );
  expect(order).toEqual(['first', 'second', 'third']);
  expect(new Set(stages)).toEqual(new Set(['second']));
});

test('a stage that fails ends it, and nothing is said afterwards', async () => {
  const { log, stages } = collecting();
  const failing = inStages(log, { first: () => Promise.reject(new Error('no')), second: () => {} }, 5);
  await expect(failing).rejects.toThrow('no');
  await delay(20);
  expect(stages).toEqual([]);
});
