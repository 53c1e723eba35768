/** What nobody needs any more goes from a worker's host, and all that anybody can ask for stays. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { newId } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import { createPostgresQueueBackend } from '../../src/queue/postgres.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { findBrokenInvariants } from '../../src/store/invariants.ts';
import { forgetUploads, readUpload, recordUpload, useUpload } from '../../src/store/uploads.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { DEFAULT_KEEP, type KeepTiming, Pruner } from '../../src/worker/pruner.ts';
import { checkoutHost } from '../../src/worker/session-files.ts';
import { startWorker } from '../../src/worker/worker.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import { call, hang, say } from '../support/scripted-model/scripted-model.ts';
import { uuid } from './api-harness.ts';
import { openShop, SHOP_TIMEOUT_MS, type Shop, write } from './session-harness.ts';

vi.setConfig({ testTimeout: SHOP_TIMEOUT_MS, hookTimeout: SHOP_TIMEOUT_MS });

const { filesMs, uploadsMs, graceMs } = DEFAULT_KEEP;
const MINUTE_MS = 60_000;

let it: Shop;
let place: string;
let snapshots: Snapshots;
const warnings: string[] = [];

beforeAll(async () => {
  it = await openShop();
  place = mkdtempSync(join(tmpdir(), 'capybara-pruning-'));
  snapshots = openSnapshots({ directory: join(it.dataDir, 'snapshots') });
});
afterAll(async () => {
  await snapshots.close();
  await it.close();
  rmSync(place, { recursive: true });
});
afterEach(async () => {
  expect(await findBrokenInvariants(it.db)).toEqual([]);
});

/** One round of a worker on this host. */
async function round(timing: Partial<KeepTiming> = {}, shared?: string): Promise<void> {
  const { dataDir, db } = it;
  const checkouts = checkoutHost({ snapshots, sandbox: {}, log: silentLog }, { dataDir });
  const log = { ...silentLog, warn: (_: unknown, text: string) => warnings.push(text) } as typeof silentLog;
  const parts = { db, log, dataDir, checkouts, shared, cacheBytes: 1, workerId: () => newId() };
  await new Pruner(parts, { rest: 0, ...timing }).round();
}

async function rowOf(sessionId: string): Promise<{ id: string; lineage: string }> {
  const [row] = await it.db.sql<{ id: string; lineage: string }>`
    SELECT w.id, w.lineage FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${uuid('session', sessionId)}`;
  if (row === undefined) throw new Error('no workspace');
  return row;
}

/** All that happened to a session becomes older. */
async function age(sessionId: string, ms: number): Promise<void> {
  const id = uuid('session', sessionId);
  await it.db.sql`UPDATE session SET created_at = created_at - ${ms} * interval '1 ms' WHERE id = ${id}`;
  await it.db.sql`
    UPDATE task SET created_at = created_at - ${ms} * interval '1 ms', ended_at = ended_at - ${ms} * interval '1 ms' WHERE session_id = ${id}`;
}

function ageStore(lineage: string, ms: number): void {
  const directory = join(it.dataDir, 'snapshots', `${lineage}.git`);
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const then = new Date(statSync(path).mtimeMs - ms);
    if (entry.isFile()) utimesSync(path, then, then);
  }
}

const placesOf = (id: string) =>
  readdirSync(join(it.dataDir, 'workspaces', id)).filter((name) => /^(place|old)-/.test(name));

const twoWrites = [write('a', '1\n'), write('a', '2\n'), say('Written.')];

describe('the working directory of a session', () => {
  test('goes when nobody has worked on it for long, and comes back as it was', async () => {
    const { sessionId } = await it.run('Write twice.', twoWrites);
    const { id } = await rowOf(sessionId);
    await age(sessionId, filesMs - MINUTE_MS);
    await round();
    expect(await it.read(sessionId, 'a')).toBe('2\n');
    await age(sessionId, MINUTE_MS);
    await round();
    expect(placesOf(id)).toEqual([]);
    expect(existsSync(join(it.dataDir, 'scratch', id))).toBe(false);
    await it.run('Read it.', [call('read_file', { path: 'a' }), write('b', 'x'), say('Read.')], {
      sessionId,
    });
    expect(it.lastSeen(sessionId).join('\n')).toMatch(/tool: .*2\n/);
    expect(await it.read(sessionId, 'b')).toBe('x');
  });

  test('stays while a task of it goes on, and while somebody is at it', async () => {
    const { sessionId } = await it.run('Write twice again.', twoWrites);
    const release = Promise.withResolvers<void>();
    const running = it.run('Wait.', [[hang(release.promise), write('c', 'on')], say('Done.')], { sessionId });
    await it.model.waitForRequest(({ messages }) => messages.at(-1)?.text === 'Wait.');
    await age(sessionId, 2 * filesMs);
    await round();
    expect(await it.read(sessionId, 'a')).toBe('2\n');
    release.resolve();
    await running;
    await age(sessionId, 2 * filesMs);
    const { id } = await rowOf(sessionId);
    const [name = ''] = placesOf(id);
    const self = {
      ...checkoutHost({ snapshots, sandbox: {}, log: silentLog }, { dataDir: it.dataDir }).self,
    };
    writeFileSync(join(it.dataDir, 'workspaces', id, name, 'owner-99'), JSON.stringify(self));
    await round();
    expect(placesOf(id)).toEqual([name]);
    const elsewhere = { ...self, host: 'this host, before it was started anew', pid: 1 };
    writeFileSync(join(it.dataDir, 'workspaces', id, name, 'owner-99'), JSON.stringify(elsewhere));
    await round();
    expect(placesOf(id)).toEqual([]);
  });

  test('stays where nobody has the snapshot of it', async () => {
    const { sessionId } = await it.run('Write twice for long.', twoWrites);
    const { id, lineage } = await rowOf(sessionId);
    await age(sessionId, 2 * filesMs);
    rmSync(join(it.dataDir, 'snapshots', `${lineage}.git`, 'objects', 'pack'), { recursive: true });
    await round();
    expect(placesOf(id)).toHaveLength(1);
  });

  test('of one that was deleted goes at once, and its snapshots once they are old enough', async () => {
    const { sessionId } = await it.run('Write twice and go.', twoWrites);
    const { id, lineage } = await rowOf(sessionId);
    const store = join(it.dataDir, 'snapshots', `${lineage}.git`);
    await round();
    expect(placesOf(id)).toHaveLength(1);
    expect((await it.ask('DELETE', `/v1/sessions/${sessionId}`)).status).toBe(200);
    await round();
    expect([placesOf(id), existsSync(join(it.dataDir, 'scratch', id))]).toEqual([[], false]);
    expect(existsSync(store)).toBe(true);
    for (let looks = 0; looks < 2 && existsSync(store); looks += 1) {
      ageStore(lineage, graceMs);
      await round();
    }
    expect(existsSync(store)).toBe(false);
  });

  test('of a person’s own is never touched', async () => {
    const path = mkdtempSync(join(place, 'user-'));
    const { sessionId } = await it.run('Write mine.', twoWrites, { workspace: { kind: 'local', path } });
    await age(sessionId, 2 * filesMs);
    await round();
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('2\n');
    expect((await it.ask('DELETE', `/v1/sessions/${sessionId}`)).status).toBe(200);
    await round();
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('2\n');
  });
});

describe('the snapshots of a session', () => {
  test('stay as far as a row may lead to them; one whose commit never came goes', async () => {
    const { sessionId } = await it.run('Write twice and stay.', twoWrites);
    const fork = (await it.ask('POST', `/v1/sessions/${sessionId}/fork`, { body: { turn: 1 } })).json.id;
    await it.run('In the fork.', [write('b', 'fork\n'), say('Done.')], { sessionId: fork });
    const { lineage } = await rowOf(sessionId);
    const lost = mkdtempSync(join(place, 'lost-'));
    writeFileSync(join(lost, 'a'), 'never committed');
    const store = snapshots.of(lineage);
    const { id } = await store.take({ roots: [{ name: 'main', path: lost, writable: true }] });
    for (let looks = 0; looks < 2; looks += 1) {
      ageStore(lineage, graceMs);
      expect(await store.has(id)).toBe(true);
      await round();
    }
    expect(await store.has(id)).toBe(false);
    expect((await it.ask('POST', `/v1/sessions/${sessionId}/merge`, { body: { from: fork } })).status).toBe(
      201,
    );
    for (const [turn, content] of [
      [1, '1\n'],
      [2, '2\n'],
    ] as const) {
      expect((await it.ask('POST', `/v1/sessions/${sessionId}/revert`, { body: { turn } })).status).toBe(201);
      await it.run('Look.', [call('bash', { command: 'cat a; touch c' }), say('Seen.')], { sessionId });
      expect(await it.read(sessionId, 'a')).toBe(content);
    }
  });

  test('that no row names go whole, but for those of another database', async () => {
    const lineage = newId();
    const lost = mkdtempSync(join(place, 'lost-'));
    await snapshots.of(lineage).take({ roots: [{ name: 'main', path: lost, writable: true }] });
    const directory = join(it.dataDir, 'snapshots', `${lineage}.git`);
    const database = join(it.dataDir, 'snapshots', 'database');
    const ours = readFileSync(database, 'utf8');
    writeFileSync(database, newId());
    for (let looks = 0; looks < 3; looks += 1) {
      ageStore(lineage, graceMs);
      await round();
    }
    expect(existsSync(directory)).toBe(true);
    expect(warnings.at(-1)).toContain('belong to another database');
    writeFileSync(database, ours);
    for (let looks = 0; looks < 2; looks += 1) {
      expect(existsSync(directory)).toBe(true);
      ageStore(lineage, graceMs);
      await round();
    }
    expect(existsSync(directory)).toBe(false);
  });
});

test('a copy of a database removes nothing of what belongs to its original, here or where it is shared', async () => {
  const steps = [call('bash', { command: 'echo 1 > a' }), say('Done.')];
  const { sessionId } = await it.run('Begin.', steps, { workspace: { kind: 'empty' } });
  const { lineage } = await rowOf(sessionId);
  const newer = mkdtempSync(join(place, 'newer-'));
  writeFileSync(join(newer, 'a'), 'what the original has recorded since');
  const store = snapshots.of(lineage);
  const { id } = await store.take({ roots: [{ name: 'main', path: newer, writable: true }] });
  await round();
  const [here, shared] = [join(it.dataDir, 'snapshots'), mkdtempSync(join(place, 'shared-'))];
  const ours = readFileSync(join(here, 'database'), 'utf8');
  const original = `${ours.split(' ')[0]} 1/2`;
  const looks = async (where?: string) => {
    for (let look = 0; look < 3; look += 1) {
      ageStore(lineage, graceMs);
      await round({}, where);
    }
  };
  writeFileSync(join(shared, 'database'), original);
  await looks(shared);
  writeFileSync(join(here, 'database'), original);
  await looks();
  expect(await store.has(id)).toBe(true);
  expect(warnings.at(-1)).toContain('a copy of');
  writeFileSync(join(here, 'database'), ours);
  await looks();
  expect(await store.has(id)).toBe(false);
});

describe('an upload', () => {
  const uploaded = async (ms: number) => {
    const row = { id: newId(), lineage: newId(), snapshot: '0'.repeat(40), directory: '/d', ...it.me };
    await recordUpload(it.db, row);
    await it.db.sql`UPDATE upload SET used_at = used_at - ${ms} * interval '1 ms' WHERE id = ${row.id}`;
    return row;
  };

  test('is forgotten when nothing began with it for long; one that a session began with stays', async () => {
    const [old, young, again, used] = [
      await uploaded(uploadsMs + MINUTE_MS),
      await uploaded(uploadsMs - MINUTE_MS),
      await uploaded(uploadsMs + MINUTE_MS),
      await uploaded(uploadsMs + MINUTE_MS),
    ];
    expect(await useUpload(it.db, again)).toMatchObject({ id: again.id });
    await it.db.sql`
      INSERT INTO workspace (id, team_id, kind, source, lineage, base, head)
      VALUES (${newId()}, ${it.me.teamId}, 'upload', ${{ uploadId: used.id, directory: '/d' }}, ${used.lineage}, ${used.snapshot}, ${used.snapshot})`;
    await round();
    expect(await readUpload(it.db, old)).toBeUndefined();
    expect(await useUpload(it.db, old)).toBeUndefined();
    for (const each of [young, again, used])
      expect(await readUpload(it.db, each)).toMatchObject({ id: each.id });
  });

  test('is kept as long as a session waits for its roots to be put together', async () => {
    const sent = await uploaded(uploadsMs + MINUTE_MS);
    const { directory, lineage, snapshot } = sent;
    const root = {
      name: 'docs',
      access: 'read',
      kind: 'upload',
      uploadId: sent.id,
      directory,
      lineage,
      snapshot,
    };
    const id = newId();
    await it.db.sql`
      INSERT INTO workspace (id, team_id, kind, source, lineage)
      VALUES (${id}, ${it.me.teamId}, 'roots', ${{ roots: [{ name: 'out', access: 'write', kind: 'empty' }, root] }}, ${newId()})`;
    await round();
    expect(await readUpload(it.db, sent)).toMatchObject({ id: sent.id });
    await it.db.sql`UPDATE workspace SET base = ${snapshot}, head = ${snapshot} WHERE id = ${id}`;
    await round();
    expect(await readUpload(it.db, sent)).toBeUndefined();
  });

  test('is forgotten a few at a time', async () => {
    for (let number = 0; number < 3; number += 1) await uploaded(uploadsMs + MINUTE_MS);
    expect(await forgetUploads(it.db, { unusedMs: uploadsMs, limit: 2 })).toBe(2);
    expect(await forgetUploads(it.db, { unusedMs: uploadsMs, limit: 2 })).toBe(1);
  });
});

test('a worker prunes by itself, again and again, and stops in the middle of it when it is told to', async () => {
  const { db, bus, databaseUrl, dataDir, deps } = it;
  const backend = createPostgresQueueBackend({ url: databaseUrl, log: silentLog });
  const sandbox = createUnconfinedSandbox({ environment: {} });
  const worker = await startWorker({
    ...{ db, bus, backend, directUrl: databaseUrl, models: deps.models, log: silentLog, version: 'test' },
    ...{ tools: createRegistry([]), dataDir, concurrency: 1, keep: { everyMs: 20, rest: 0 } },
    sandbox,
  });
  for (let times = 0; times < 2; times += 1) {
    const row = { id: newId(), lineage: newId(), snapshot: '0'.repeat(40), directory: '/d', ...it.me };
    await recordUpload(db, row);
    await db.sql`UPDATE upload SET used_at = used_at - interval '1 year' WHERE id = ${row.id}`;
    await vi.waitFor(async () => expect(await readUpload(db, row)).toBeUndefined(), 10_000);
  }
  await worker.stop();
  await sandbox.close();
  await backend.close();
});
