/** An API whose data directory, or what hosts share, lies on a small disk that is full. */
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { PACK_MEDIA } from '../../src/api/wire.ts';
import { openSnapshots, SEARCH_PATH } from '../../src/workspace/snapshots/open-snapshots.ts';
import { ShadowGit } from '../../src/workspace/snapshots/shadow-git.ts';
import { uploadLimits } from '../../src/workspace/uploads/limits.ts';
import { readDirectory } from '../../src/workspace/uploads/sent-directory.ts';
import { openUploads } from '../../src/workspace/uploads/uploads.ts';
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts';
import { startTestApi, type TestApi } from './api-harness.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const MIB = 1024 * 1024;
const DETAIL =
  'The disk that this server keeps files on is full: nothing was changed. Once whoever runs it has made room there, send the request again.';

describe.runIf(process.getuid?.() === 0)('a full disk', () => {
  const place = mkdtempSync(join(tmpdir(), 'capybara-full-'));
  const small = join(place, 'small');
  const roomy = join(place, 'roomy');
  let disk: SmallDisk | undefined;
  let api: TestApi;
  let lines: { fields: object; message: string }[];

  beforeAll(() => {
    disk = mountSmallDisk(small, 16 * MIB);
  });
  beforeEach((context) => {
    if (disk === undefined) context.skip('only root can mount a small disk, and not in every container');
    lines = [];
  });
  afterEach(async () => {
    await api.deps.snapshots.close();
    await api.close();
    for (const directory of [small, roomy])
      for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true });
  });
  afterAll(() => {
    disk?.unmount();
    rmSync(place, { recursive: true });
  });

  async function serve({ own, shared }: { own: string; shared: string }): Promise<void> {
    mkdirSync(roomy, { recursive: true });
    api = await startTestApi(({ log }) => ({
      snapshots: openSnapshots({ directory: join(own, 'own'), shared: join(shared, 'shared') }),
      uploads: openUploads({ directory: join(own, 'own'), limits: uploadLimits(64) }),
      log: { ...log, error: (fields, message) => lines.push({ fields, message }) },
    }));
  }

  async function send(text: Buffer) {
    const work = join(roomy, 'work');
    mkdirSync(work, { recursive: true });
    writeFileSync(join(work, 'a'), text);
    const files = await readDirectory(work, {
      dataDir: join(roomy, 'client'),
      name: 'work',
      previous: undefined,
    });
    try {
      const { path } = await files.pack(undefined);
      const query = new URLSearchParams({ directory: '/work', snapshot: files.snapshot });
      return await api.ask('POST', `/v1/workspaces?${query}`, {
        raw: readFileSync(path) as Buffer<ArrayBuffer>,
        headers: { 'content-type': PACK_MEDIA },
      });
    } finally {
      await files.close();
    }
  }

  function fill(): string {
    const filler = join(small, 'filler');
    const { bavail, bsize } = statfsSync(small);
    writeFileSync(filler, Buffer.alloc(bavail * bsize));
    return filler;
  }

  const refusal = { status: 507, json: { code: 'disk_full', detail: DETAIL } };
  const line = { message: 'a request was refused: the disk is full', fields: { path: '/v1/workspaces' } };

  test('refuses an upload with a line in the log, and keeps nothing of it', async () => {
    await serve({ own: small, shared: roomy });
    const filler = fill();
    expect(await send(Buffer.from('one\n'))).toMatchObject(refusal);
    expect(lines).toMatchObject([line]);
    expect(readdirSync(join(small, 'own'))).toEqual([]);
    rmSync(filler);
    expect((await send(Buffer.from('one\n'))).status).toBe(201);
  });

  test('that fills while an upload is taken in is told alike', async () => {
    await serve({ own: small, shared: roomy });
    expect(await send(randomBytes(20 * MIB))).toMatchObject(refusal);
    expect(lines).toMatchObject([line]);
  });

  test('where hosts share snapshots is told by git, and alike', async () => {
    await serve({ own: roomy, shared: small });
    mkdirSync(join(small, 'shared'));
    fill();
    expect(await send(Buffer.alloc(MIB, 'y'))).toMatchObject(refusal);
    expect(lines).toMatchObject([line]);
  });

  test('is what a snapshot, and git over snapshots, fails with', async () => {
    await serve({ own: small, shared: roomy });
    const git = new ShadowGit(join(small, 'git'), { searchPath: SEARCH_PATH, timeoutMs: 60_000 });
    git.open();
    const path = join(roomy, 'files');
    mkdirSync(path);
    writeFileSync(join(path, 'a'), Buffer.alloc(MIB, 'z'));
    fill();
    const full = { name: 'SnapshotError', code: 'disk_full' };
    const store = api.deps.snapshots.of('lineage');
    const files = { roots: [{ name: 'files', path, writable: true }] };
    await expect(store.take(files)).rejects.toMatchObject(full);
    const input = Buffer.alloc(MIB, 'z');
    expect(() => git.run(['hash-object', '-w', '--stdin'], { input })).toThrow(expect.objectContaining(full));
  });
});
