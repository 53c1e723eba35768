/**
 * `npm run bench [-- --quick]`: what a turn costs beside the model, on both queue backends, with fsync on. Prints a table and
 * writes bench/results/TIME.json. The same work side by side; nothing here is a test.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../src/embedded/postgres.ts';
import { migrate } from '../src/store/migrate.ts';
import { startRedis } from '../tests/support/redis.ts';
import { describeMachine } from './machine.ts';
import { measureBackend, type Row, type Sizes } from './measure.ts';
import { measureStart } from './startup.ts';

const FULL: Sizes = { turns: 500, turnsTogether: 40, submits: 50, inFlight: 200 };
const QUICK: Sizes = { turns: 100, turnsTogether: 10, submits: 10, inFlight: 200 };
const sizes = process.argv.includes('--quick') ? QUICK : FULL;

const place = mkdtempSync(join(tmpdir(), 'capybara-bench-'));
try {
  const before = describeMachine();
  const rows = [...(await measureBackends()), ...(await measureStart(place, sizes.submits / 5))];
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
    const onPostgres = await measureBackend('postgres', env, sizes);
    if (redis === undefined) return onPostgres;
    return [...onPostgres, ...(await measureBackend('redis', { ...env, REDIS_URL: redis.url }, sizes))];
  } finally {
    await redis?.stop();
    await postgres.stop();
  }
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
