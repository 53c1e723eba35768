/** How long `capybara up` takes from its start to the line that says where it runs. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { quantile } from './statistics.ts';
import type { Row } from './under.ts';

const DEV = new URL('../bin/dev.js', import.meta.url).pathname;

export async function measureStart(place: string, times: number): Promise<Row[]> {
  const first = await startOnce(place);
  const later: number[] = [];
  for (let index = 0; index < times; index++) later.push(await startOnce(place));
  const shared = { backend: 'postgres', unit: 'ms' };
  return [
    { ...shared, what: 'up to ready, first start (initdb)', n: 1, p50: first },
    {
      ...shared,
      what: 'up to ready, later starts',
      n: times,
      p50: quantile(later, 0.5),
      p99: quantile(later, 0.99),
    },
  ];
}

async function startOnce(place: string): Promise<number> {
  const began = performance.now();
  const child = spawn(process.execPath, [DEV, 'up', '--port', '0'], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, CAPYBARA_DATA_DIR: join(place, 'up') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', () => reject(new Error('up ended before it was ready')));
  });
  const tookMs = performance.now() - began;
  child.kill('SIGTERM');
  await gone;
  return tookMs;
}
