/** How long starts take: of `capybara up` until the line that says where it runs, and of commands from beginning to end. */
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { quantile } from './statistics.ts';
import { type Row, spread } from './under.ts';

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

/** As it is installed: from `dist`, with the manifest. Compiled code is kept from the first start on. */
const RUN = new URL('../bin/run.js', import.meta.url).pathname;
const BUILD = new URL('../scripts/build.ts', import.meta.url).pathname;
/** What a person types, and what a shell asks at Tab. */
const TYPED = [
  ['--help'],
  ['--version'],
  ['tasks', 'list', '--help'],
  ['config', 'show'],
  ['__complete', 'bash', 'tasks', ''],
];

/** How long commands take that ask nobody anything. */
export function measureCli(place: string, times: number): Row[] {
  execFileSync(process.execPath, [BUILD, '--noCheck'], { stdio: 'inherit' });
  const env = { PATH: process.env.PATH, HOME: place };
  const once = (args: readonly string[]) => {
    const began = performance.now();
    execFileSync(process.execPath, [RUN, ...args], { env, cwd: place, stdio: 'ignore' });
    return performance.now() - began;
  };
  return TYPED.map((args) => {
    once(args);
    const took = Array.from({ length: times }, () => once(args));
    return spread(`capybara ${args.join(' ')}`.trim(), { backend: 'none' }, took);
  });
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
