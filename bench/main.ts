/**
 * `npm run bench [-- --quick] [-- --only turns,submits,cost,takeover,tails,delegates,tree,start,cli,files,commands,models,merge,mcp]`: what Capybara costs beside the model, on both
 * queue backends, with fsync on. Prints a table and writes bench/results/TIME.json. The same work side by side; nothing here
 * is a test.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { startPostgres } from '../src/embedded/postgres.ts';
import { migrate } from '../src/store/migrate.ts';
import { startRedis } from '../tests/support/redis.ts';
import { measureCommands } from './commands.ts';
import { measureCost } from './cost.ts';
import { measureDelegates } from './delegates.ts';
import { measureFiles } from './files.ts';
import { describeMachine } from './machine.ts';
import { measureMcp } from './mcp.ts';
import { measureMerge } from './merge.ts';
import { measureModels, measureStreams } from './models.ts';
import { measureCli, measureStart } from './startup.ts';
import { measureSubmits } from './submits.ts';
import { measureTails } from './tails.ts';
import { measureTakeover } from './takeover.ts';
import { measureTree } from './tree.ts';
import { measureTurns } from './turns.ts';
import { type Row, startUnder, type Under } from './under.ts';

const FULL = {
  turns: { turns: 500, turnsTogether: 40, submits: 50, inFlight: 200, commands: 200 },
  files: { files: [1_000, 10_000, 50_000], times: 60 },
  commands: 300,
  mcp: 1_000,
  delegates: 100,
  merge: { files: 5_000, children: 20, changes: 10 },
  models: { answers: 100, entries: 2_000, streams: 200 },
  tails: { tails: 1_000, seconds: 20, staySeconds: 600 },
  ...{ longSession: 2_000, kills: 200, submitSeconds: 20, treeTurns: 50, starts: 10, typed: 20 },
};
const QUICK = {
  turns: { turns: 100, turnsTogether: 10, submits: 10, inFlight: 200, commands: 40 },
  files: { files: [1_000], times: 20 },
  commands: 50,
  mcp: 200,
  delegates: 20,
  merge: { files: 1_000, children: 5, changes: 10 },
  models: { answers: 20, entries: 2_000, streams: 200 },
  tails: { tails: 1_000, seconds: 5, staySeconds: 20 },
  ...{ longSession: 500, kills: 10, submitSeconds: 3, treeTurns: 10, starts: 2, typed: 20 },
};
const { values } = parseArgs({ options: { quick: { type: 'boolean' }, only: { type: 'string' } } });
const sizes = values.quick ? QUICK : FULL;
const wanted = (part: string) => values.only === undefined || values.only.split(',').includes(part);

const place = mkdtempSync(join(tmpdir(), 'capybara-bench-'));
try {
  const before = describeMachine();
  const rows = await measureBackends();
  if (wanted('files')) rows.push(...(await measureFiles(place, sizes.files)));
  if (wanted('commands')) rows.push(...(await measureCommands(place, sizes.commands)));
  if (wanted('mcp')) rows.push(...(await measureMcp(place, sizes.mcp)));
  if (wanted('merge')) rows.push(...(await measureMerge(place, sizes.merge)));
  if (wanted('models')) rows.push(...(await measureModels(sizes.models)));
  if (wanted('cli')) rows.push(...measureCli(place, sizes.typed));
  if (wanted('start')) rows.push(...(await measureStart(place, sizes.starts)));
  report(rows, { before, after: describeMachine() });
} finally {
  rmSync(place, { recursive: true, force: true });
}

async function measureBackends(): Promise<Row[]> {
  const postgres = await startPostgres({ dataDir: join(place, 'postgres'), log: () => {} });
  const redis = await startRedis('bench');
  const env = { DATABASE_URL: postgres.url, CAPYBARA_DATA_DIR: join(place, 'data') };
  try {
    await migrate(postgres.url, { log: () => {} });
    const rows = await measureOn('postgres', env);
    if (redis !== undefined) rows.push(...(await measureOn('redis', { ...env, REDIS_URL: redis.url })));
    if (wanted('tree')) rows.push(...(await measureTree(postgres.url, sizes.treeTurns)));
    return rows;
  } finally {
    await redis?.stop();
    await postgres.stop();
  }
}

async function measureOn(
  backend: string,
  env: Readonly<Record<string, string>> & { DATABASE_URL: string },
): Promise<Row[]> {
  const { DATABASE_URL: url } = env;
  const part = async (name: string, measure: (under: Under) => Promise<Row[]>, ...args: string[]) => {
    if (!wanted(name)) return [];
    // Postgres clears up after one part while the next is measured, unless it has to before.
    await execute(url, 'VACUUM (ANALYZE)');
    await execute(url, 'CHECKPOINT');
    const under = await startUnder(backend, env, ...args);
    return measure(under).finally(() => under.stop());
  };
  return [
    ...(await part('turns', (under) => measureTurns(under, sizes.turns))),
    ...(await counted(url, () => part('cost', (under) => measureCost(under, url, sizes.longSession)))),
    ...(await part('tails', (under) => measureTails(under, sizes.tails))),
    ...(await part('submits', (under) => measureSubmits(under, sizes.submitSeconds), 'api')),
    ...(await part('delegates', (under) => measureDelegates(under, url, sizes.delegates))),
    ...(await part('models', (under) => measureStreams(under, sizes.models.streams))),
    ...(await part('takeover', (under) => measureTakeover(under, url, sizes.kills), 'api')),
  ];
}

/** While Postgres counts how often each transition is called, for connections that begin then: what is timed goes without. */
async function counted<T>(url: string, act: () => Promise<T>): Promise<T> {
  const database = new URL(url).pathname.slice(1);
  await execute(url, `ALTER DATABASE ${database} SET track_functions = 'pl'`);
  try {
    return await act();
  } finally {
    await execute(url, `ALTER DATABASE ${database} RESET track_functions`);
  }
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new Client(url);
  await client.connect();
  await client.query(sql);
  await client.end();
}

function report(rows: readonly Row[], machine: object): void {
  const digits = (value: number | undefined) =>
    value === undefined ? '' : value.toFixed(value < 100 ? 1 : 0);
  const table = rows.map((row) => ({
    backend: row.backend,
    what: row.what,
    unit: row.unit,
    n: row.n,
    p50: digits(row.p50),
    p99: digits(row.p99),
  }));
  console.log(JSON.stringify(machine, undefined, 2));
  console.table(table);
  const results = join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const file = join(results, `${new Date().toISOString().replaceAll(':', '-')}.json`);
  writeFileSync(file, `${JSON.stringify({ machine, sizes, rows }, undefined, 2)}\n`);
  console.log(`written to ${file}`);
}
