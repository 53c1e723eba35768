/**
 * Once per run: one Postgres, and in it a database with Capybara's schema that every test file copies (`database.ts`). `npm test`
 * has it in a temporary directory, `npm run test:containers` in a container.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { TestProject } from 'vitest/node';
import { startPostgres } from '../../src/embedded/postgres.ts';
import { migrate } from '../../src/store/migrate.ts';
import { bundle, bundleCli } from './bundle.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The run's Postgres: database `postgres`. */
    readonly postgresUrl: string;
    /** For temporary files: each test file gets a directory below it. */
    readonly runTmpDir: string;
    /** `worker-child.mjs` and `cli/bin/run.mjs`. */
    readonly programsDir: string;
    /** A data directory whose Postgres was stopped, with Capybara's schema: to be copied. */
    readonly usedDataDir: string;
  }
}

export const TEMPLATE_DATABASE = 'capybara_template';

export interface RunPostgres {
  /** Of a superuser; database `postgres`. */
  readonly url: string;
  stop(): Promise<void>;
}

export default function setup(project: TestProject): Promise<() => Promise<void>> {
  return prepareRun(project, (dataDir) => startPostgres({ dataDir, log: () => {}, fsync: false }));
}

/** Hands the tests of a run what they share; returns what takes it away again. */
export async function prepareRun(
  project: TestProject,
  startServer: (dataDir: string) => Promise<RunPostgres>,
): Promise<() => Promise<void>> {
  const runDir = mkdtempSync(join(tmpdir(), 'capybara-test-'));
  // Tests as root start programs as other users, who have to reach their files.
  chmodSync(runDir, 0o711);
  const runTmpDir = join(runDir, 't');
  mkdirSync(runTmpDir);
  chmodSync(runTmpDir, 0o1777);
  // Shared by the run's processes, of which there are a thousand, and their threads: to compile is most of what a start costs.
  process.env.NODE_COMPILE_CACHE = join(runTmpDir, 'node-compile-cache');
  const dataDir = mkdtempSync(join(placeOfPostgres(runDir), `${DATA}${process.pid}-`));
  const postgres = await startServer(dataDir);
  const tearDown = async () => {
    await postgres.stop();
    for (const path of [dataDir, runDir]) rmSync(path, { recursive: true, force: true });
  };
  try {
    const used = useDataDir(join(dataDir, 'used'));
    await Promise.all([createTemplate(postgres.url), bundlePrograms(runDir), used]);
  } catch (error) {
    await tearDown();
    throw error;
  }
  project.provide('postgresUrl', postgres.url);
  project.provide('runTmpDir', runTmpDir);
  project.provide('programsDir', join(runDir, PROGRAMS));
  project.provide('usedDataDir', join(dataDir, 'used'));
  return tearDown;
}

const IN_MEMORY = '/dev/shm';
const ROOM_BYTES = 4 * 1024 ** 3;
/** Before the pid of the run that it belongs to. */
const DATA = 'capybara-test-postgres-';

/** In memory where there is room: to copy a database on a disk takes longer than most of what is tested in it. */
function placeOfPostgres(runDir: string): string {
  if (!existsSync(IN_MEMORY)) return runDir;
  for (const name of readdirSync(IN_MEMORY).filter(isLeftOver))
    rmSync(join(IN_MEMORY, name), { recursive: true, force: true });
  const { bavail, bsize } = statfsSync(IN_MEMORY);
  return bavail * bsize < ROOM_BYTES ? runDir : IN_MEMORY;
}

/** Of a run that was killed: memory is not to fill up with those. */
function isLeftOver(name: string): boolean {
  const [, pid] = name.startsWith(DATA) ? (/-(\d+)-[^-]*$/.exec(name) ?? []) : [];
  return pid !== undefined && !existsSync(`/proc/${pid}`);
}

const PROGRAMS = 'programs';

async function bundlePrograms(runDir: string): Promise<void> {
  const directory = join(runDir, PROGRAMS);
  mkdirSync(directory);
  symlinkSync(join(import.meta.dirname, '../../node_modules'), join(directory, 'node_modules'));
  await bundle({ 'worker-child': join(import.meta.dirname, 'worker-child.ts') }, directory);
  await bundleCli(join(directory, 'cli'));
}

async function useDataDir(dataDir: string): Promise<void> {
  const postgres = await startPostgres({ dataDir, log: () => {}, fsync: false });
  try {
    await migrate(postgres.url, { log: () => {} });
  } finally {
    await postgres.stop();
  }
}

async function createTemplate(url: string): Promise<void> {
  const client = new Client(url);
  await client.connect();
  await client.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
  await client.end();
  const template = new URL(url);
  template.pathname = `/${TEMPLATE_DATABASE}`;
  await migrate(template.href, { log: () => {} });
}
