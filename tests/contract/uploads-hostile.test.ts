/** What is no snapshot is refused, whoever wrote it, and nothing of it is kept. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import { MANIFEST_BYTES } from '../../src/workspace/uploads/check-snapshot.ts';
import { type UploadLimits, uploadLimits } from '../../src/workspace/uploads/limits.ts';
import { TREE_BYTES, TREES_BYTES } from '../../src/workspace/uploads/pack-reader.ts';
import { receive } from '../../src/workspace/uploads/receive.ts';
import { UploadError } from '../../src/workspace/uploads/upload-error.ts';
import { openUploads, type UploadsOptions } from '../../src/workspace/uploads/uploads.ts';
import { filesAt, readTree, type Tree } from './snapshots-harness.ts';
import {
  blobOf,
  type Entry,
  MANIFEST,
  nameOf,
  objectHeader,
  type PackObject,
  packOf,
  snapshotOf,
  treeOf,
  unique,
} from './uploads-harness.ts';

vi.setConfig({ testTimeout: 120_000 });

/** CAPYBARA_TEST_EVERY_POINT=1 changes five times as many bytes; the fuzz begins elsewhere in each run. */
const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';

let base: string;
let store: string;
let snapshots: Snapshots;

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-uploads-')));
  store = join(base, 'store');
  snapshots = openSnapshots({ directory: store });
});
afterEach(async () => {
  await snapshots.close();
  rmSync(base, { recursive: true });
});

const limitsOf = (change: Partial<UploadLimits>) => ({ ...uploadLimits(64), ...change });

function take(
  { pack, snapshot }: { pack: Buffer; snapshot: string },
  {
    lineage = 'mine',
    continues = false,
    ...options
  }: Partial<UploadsOptions> & { lineage?: string; continues?: boolean } = {},
): Promise<void> {
  const uploads = openUploads({ directory: store, limits: uploadLimits(64), ...options });
  return uploads.receive(Readable.from([pack]), { snapshot, lineage, continues });
}

const git = { searchPath: process.env.PATH ?? '', timeoutMs: 60_000 };

/** What the thread of an upload does, here: to start one costs more than to refuse most of what comes. */
async function look(
  { pack, snapshot }: { pack: Buffer; snapshot: string },
  limits = uploadLimits(64),
): Promise<void> {
  const directory = mkdtempSync(join(base, 'incoming-'));
  writeFileSync(join(directory, 'pack'), pack);
  const receipt = { directory, snapshot, store: join(store, 'mine.git'), continues: false, limits, git };
  await receive(receipt).finally(() => rmSync(directory, { recursive: true }));
}

const inStore = () => (existsSync(store) ? readdirSync(store) : []);

async function isRefused(
  upload: { pack: Buffer; snapshot: string },
  code: string,
  looked: Promise<void> = look(upload),
): Promise<void> {
  const refused = await looked.catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(UploadError);
  expect(refused).toMatchObject({ code });
  expect(inStore()).toEqual([]);
}

const hello = blobOf('hello\n');
const plain = () => snapshotOf({ main: treeOf(['100644', 'a', hello]), below: [hello], manifest: MANIFEST });

test('what is one is taken, and restored', async () => {
  await take(plain());
  const copy = join(base, 'copy');
  mkdirSync(copy);
  await snapshots.of('mine').restore(filesAt(copy), plain().snapshot);
  expect(readTree(copy)).toEqual({ a: { type: 'file', content: 'hello\n' } });
});

describe('an entry', () => {
  const inside = treeOf(['100644', 'b', hello]);
  const entries: readonly (readonly [string, readonly Entry[]])[] = [
    ["named '..'", [['40000', '..', inside]]],
    ["named '.'", [['100644', '.', hello]]],
    ['without a name', [['100644', '', hello]]],
    ['with a slash', [['100644', 'a/../../b', hello]]],
    ['with an absolute path', [['100644', '/etc/passwd', hello]]],
    ['of version control among the files', [['40000', '.git', inside]]],
    ['of version control, spelled otherwise, among the files', [['40000', '.GIT ', inside]]],
    ['of a name that is too long', [['100644', 'n'.repeat(256), hello]]],
    [
      'that stands twice',
      [
        ['100644', 'a', hello],
        ['100644', 'a', hello],
      ],
    ],
    [
      'that is a file and a directory',
      [
        ['100644', 'a', hello],
        ['40000', 'a', inside],
      ],
    ],
    [
      'out of order',
      [
        ['100644', 'b', hello],
        ['100644', 'a', hello],
      ],
    ],
    ['of mode 100664', [['100664', 'a', hello]]],
    ['of mode 0100644', [['0100644', 'a', hello]]],
    ['of mode 104755', [['104755', 'a', hello]]],
    ['that is a repository elsewhere', [['160000', 'a', nameOf(hello)]]],
    ['that is a directory and says it is a file', [['100644', 'a', inside]]],
    ['that is a file and says it is a directory', [['40000', 'a', hello]]],
  ];
  test.each(entries)('%s is refused', async (_, all) => {
    const refused = await look(
      snapshotOf({ main: treeOf(...all), below: [hello, inside], manifest: MANIFEST }),
    ).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: expect.stringMatching(/^(malformed|incomplete)$/) });
    expect(inStore()).toEqual([]);
  });

  test.each([
    ['without a target', ''],
    ['with a NUL in its target', 'a\0b'],
    ['with a target that is too long', 'x'.repeat(4096)],
  ])('that is a link %s is refused', async (_, target) => {
    const link = blobOf(target);
    await isRefused(
      snapshotOf({ main: treeOf(['120000', 'a', link]), below: [link], manifest: MANIFEST }),
      'malformed',
    );
  });

  test('that is a link as long as one may be is taken', async () => {
    const link = blobOf('x'.repeat(4095));
    const long = treeOf(['120000', 'a', link], ['100644', 'n'.repeat(255), hello]);
    await take(snapshotOf({ main: long, below: [link, hello], manifest: MANIFEST }));
  });
});

describe('a snapshot', () => {
  const main = treeOf(['100644', 'a', hello]);
  const broken: readonly (readonly [string, Parameters<typeof snapshotOf>[0]])[] = [
    ['with an entry of its own', { main, top: [['40000', 'other', main]] }],
    ['without its manifest in JSON', { main, manifest: '{' }],
    ['with a manifest of another form', { main, manifest: { ...MANIFEST, format: 2 } }],
    ['with a manifest that says more', { main, manifest: { ...MANIFEST, more: 1 } }],
    ['with a manifest that is spelled otherwise', { main, manifest: '{"kept":{},"format":1,"leftOut":{}}' }],
    ['that keeps a path above it', { main, manifest: { ...MANIFEST, kept: { main: ['../a'] } } }],
    ['that keeps an absolute path', { main, manifest: { ...MANIFEST, kept: { main: ['/etc'] } } }],
    ['that keeps a path of another root', { main, manifest: { ...MANIFEST, kept: { other: ['a'] } } }],
    ['that leaves out a path above it', { main, manifest: { ...MANIFEST, leftOut: { main: ['a/../..'] } } }],
    ['with metadata that is none', { main, metadata: treeOf(['100644', '=a', hello]) }],
    ['with metadata without its mark', { main, metadata: treeOf(['40000', '.git', main]) }],
    [
      'with metadata of a directory that is not there',
      { main, metadata: treeOf(['40000', '=b', treeOf()]), below: [treeOf()] },
    ],
    ["with metadata that is '..'", { main, metadata: treeOf(['40000', '=..', main]) }],
  ];
  test.each(broken)('%s is refused', async (_, parts) => {
    const manifest = parts.manifest ?? MANIFEST;
    await isRefused(
      snapshotOf({ ...parts, manifest, below: [hello, main, ...(parts.below ?? [])] }),
      'malformed',
    );
  });

  test('of two roots, of none, or of another is refused', async () => {
    for (const names of [['main', 'more'], [], ['other']]) {
      const files = treeOf(...names.map((name): Entry => ['40000', name, main]));
      const said = blobOf(JSON.stringify(MANIFEST));
      const root = treeOf(
        ['40000', 'files', files],
        ['100644', 'manifest', said],
        ['40000', 'metadata', treeOf()],
      );
      const objects = [root, files, said, treeOf(), ...(names.length > 0 ? [main, hello] : [])];
      await isRefused({ snapshot: nameOf(root), pack: packOf(unique(objects)) }, 'malformed');
    }
  });

  test('that is a file, or not there, is refused', async () => {
    await isRefused({ snapshot: nameOf(hello), pack: packOf([hello]) }, 'incomplete');
    await isRefused({ snapshot: '0'.repeat(40), pack: packOf([hello]) }, 'incomplete');
  });

  test('of which something is missing, or with which something else comes, is refused', async () => {
    const { snapshot, objects } = plain();
    // Git knows the tree of nothing by itself.
    const nothing = treeOf();
    for (const missing of objects.filter(
      (each) => 'raw' in each || each.content.length > nothing.content.length,
    )) {
      await isRefused({ snapshot, pack: packOf(objects.filter((each) => each !== missing)) }, 'incomplete');
    }
    await isRefused({ snapshot, pack: packOf([...objects, blobOf('more')]) }, 'malformed');
    await isRefused({ snapshot, pack: packOf([...objects, treeOf(['100644', 'x', hello])]) }, 'malformed');
  });

  test('of somebody else is not had by naming it', async () => {
    await take(plain(), { lineage: 'theirs' });
    const { snapshot, objects } = plain();
    const upload = { snapshot, pack: packOf([]) };
    await expect(take(upload)).rejects.toMatchObject({ code: 'incomplete' });
    await expect(take({ snapshot, pack: packOf(objects.slice(0, 1)) })).rejects.toMatchObject({
      code: 'incomplete',
    });
    expect(inStore()).toEqual(['theirs.git']);
    expect(await snapshots.of('mine').has(snapshot)).toBe(false);
    // Who has it may name it again.
    await take(upload, { lineage: 'theirs', continues: true });
  });

  test('is not built on what an upload left that was refused', async () => {
    await take(plain());
    const extra = blobOf('extra');
    const { snapshot, objects } = plain();
    const refused = take({ snapshot, pack: packOf([...objects, extra]) }, { continues: true });
    await expect(refused).rejects.toMatchObject({ code: 'malformed' });
    const next = snapshotOf({ main: treeOf(['100644', 'a', extra]), manifest: MANIFEST });
    await expect(take(next, { continues: true })).rejects.toMatchObject({ code: 'incomplete' });
  });
});

describe('what a snapshot ignores', () => {
  const rules = blobOf('a\nd/\n');
  const ignoring = (...entries: Entry[]) => ({
    main: treeOf(['100644', '.gitignore', rules], ...entries),
    below: [rules, hello],
  });
  const keeping = (...kept: string[]) => ({ ...MANIFEST, kept: { main: kept } });

  test('is no part of it, or no restore could end', async () => {
    await isRefused(snapshotOf({ ...ignoring(['100644', 'a', hello]), manifest: MANIFEST }), 'malformed');
    await isRefused(
      snapshotOf({ ...ignoring(['40000', 'd', treeOf()]), manifest: keeping('d/x') }),
      'malformed',
    );
  });

  test('is part of it where it is kept', async () => {
    const inside = treeOf(['100644', 'x', hello]);
    const parts = ignoring(['100644', 'a', hello], ['40000', 'd', inside]);
    const below = [rules, hello, inside];
    const upload = snapshotOf({ ...parts, below, manifest: keeping('a', 'd/x') });
    await take(upload);
    const copy = join(base, 'copy');
    mkdirSync(copy);
    await snapshots.of('mine').restore(filesAt(copy), upload.snapshot);
    expect(readTree(copy)).toMatchObject({ a: { content: 'hello\n' }, 'd/x': { content: 'hello\n' } });
  });
});

describe('a pack', () => {
  const whole = plain();
  const zipped = deflateSync(hello.content);
  const header = objectHeader(3, hello.content.length);
  const emptyBlock = Buffer.from([0, 0, 0, 0xff, 0xff]);
  const endless = Buffer.concat([
    Buffer.from([0x78, 1]),
    ...Array.from({ length: 100_000 }, () => emptyBlock),
  ]);
  const bad: readonly (readonly [string, () => Buffer])[] = [
    ['of nothing', () => Buffer.alloc(0)],
    ['of text', () => Buffer.from('hello, this is no pack at all; but it is longer than one has to be')],
    ['of another version', () => withByte(whole.pack, 7, 3)],
    ['with a wrong checksum', () => withByte(whole.pack, whole.pack.length - 1, 0)],
    ['that is cut short', () => whole.pack.subarray(0, whole.pack.length - 30)],
    ['that promises more objects', () => packOf(whole.objects, { count: whole.objects.length + 1 })],
    ['that promises fewer objects', () => packOf(whole.objects, { count: whole.objects.length - 1 })],
    ['that goes on behind', () => packOf(whole.objects, { trail: Buffer.from('more') })],
    ['with an object twice', () => packOf([...whole.objects, hello])],
    ['with a commit', () => packOf([...whole.objects, { raw: Buffer.concat([objectHeader(1, 6), zipped]) }])],
    [
      'with a delta',
      () =>
        packOf([...whole.objects, { raw: Buffer.concat([objectHeader(6, 6), Buffer.from([12]), zipped]) }]),
    ],
    [
      'with a delta to anything',
      () =>
        packOf([...whole.objects, { raw: Buffer.concat([objectHeader(7, 6), Buffer.alloc(20), zipped]) }]),
    ],
    [
      'with an object that is longer than it says',
      () => packOf([{ raw: Buffer.concat([objectHeader(3, 5), zipped]) }]),
    ],
    [
      'with an object that is shorter than it says',
      () => packOf([{ raw: Buffer.concat([objectHeader(3, 7), zipped]) }]),
    ],
    [
      'with an object that does not unpack',
      () => packOf([{ raw: Buffer.concat([header, Buffer.from('no zlib at all')]) }]),
    ],
    ['with an object that never ends', () => packOf([{ raw: Buffer.concat([header, endless]) }])],
    ['with a header that never ends', () => packOf([{ raw: Buffer.alloc(100, 0xff) }])],
    [
      'with a tree that is none',
      () => packOf([...whole.objects, { type: 'tree', content: Buffer.from('100644 a') }]),
    ],
  ];
  test.each(bad)('%s is refused', async (_, pack) => {
    await isRefused({ snapshot: whole.snapshot, pack: pack() }, 'malformed');
  });

  test('that promises four thousand million objects, or one without end, is refused before anything is made of it', async () => {
    await isRefused({ snapshot: whole.snapshot, pack: packOf([], { count: 0xffffffff }) }, 'too_large');
    const huge = { raw: Buffer.concat([objectHeader(3, 2 ** 50), zipped]) };
    await isRefused({ snapshot: whole.snapshot, pack: packOf([huge]) }, 'too_large');
  });

  test('whose large file is longer or shorter than it says is refused', async () => {
    const size = 3 * 1024 * 1024;
    const packed = deflateSync(Buffer.alloc(size, 1));
    for (const said of [size - 1, size + 1]) {
      const raw = Buffer.concat([objectHeader(3, said), packed]);
      await isRefused({ snapshot: whole.snapshot, pack: packOf([{ raw }]) }, 'malformed');
    }
    const cut = Buffer.concat([objectHeader(3, size), packed.subarray(0, packed.length / 2)]);
    await isRefused({ snapshot: whole.snapshot, pack: packOf([{ raw: cut }]) }, 'malformed');
  });

  test('with any byte changed, cut anywhere, is refused, or is what it was', async () => {
    let number = 0;
    const receiveAs = async (name: string, pack: Buffer) => {
      const directory = join(base, name);
      mkdirSync(directory);
      writeFileSync(join(directory, 'pack'), pack);
      const kept = join(base, `${name}.git`);
      const receipt = { directory, snapshot: whole.snapshot, store: kept, continues: false, git };
      const refused: unknown = await receive({ ...receipt, limits: uploadLimits(1) }).then(
        () => undefined,
        (error: unknown) => error,
      );
      return { kept, refused };
    };
    const objects = objectsIn((await receiveAs('whole', whole.pack)).kept);
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(255), fc.boolean(), async (place, byte, cuts) => {
        number += 1;
        const at = place % whole.pack.length;
        const changed = cuts ? whole.pack.subarray(0, at) : sealed(withByte(whole.pack, at, byte));
        const { kept, refused } = await receiveAs(`fuzz-${number}`, changed);
        // Such as the level of compression that zlib notes, or the bits behind its end: nobody reads them.
        if (refused === undefined) expect(objectsIn(kept)).toEqual(objects);
        else expect(refused).toBeInstanceOf(UploadError);
        expect(existsSync(kept)).toBe(refused === undefined);
      }),
      { numRuns: EVERY_POINT ? 300 : 60 },
    );
  });
});

function withByte(bytes: Buffer, at: number, byte: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = byte;
  return copy;
}

/** With the checksum that its bytes have: an attacker can count too. */
function sealed(pack: Buffer): Buffer {
  const body = pack.subarray(0, pack.length - 20);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

/** Their hashes, by what each holds. */
function objectsIn(store: string): string {
  const args = ['--git-dir', store, 'cat-file', '--batch-all-objects', '--batch-check'];
  execFileSync('git', ['--git-dir', store, 'fsck', '--strict', '--no-dangling'], { stdio: 'ignore' });
  return execFileSync('git', args, { encoding: 'utf8' });
}

describe('a bomb', () => {
  // In a thread, which has so much memory and no more.
  const isTooMuch = (bomb: { pack: Buffer; snapshot: string }) => isRefused(bomb, 'too_large', take(bomb));

  test('of directories that stand twice in each other is refused at once', async () => {
    let main = treeOf(['100644', 'a', hello]);
    const below: PackObject[] = [hello];
    for (let level = 0; level < 100; level += 1) {
      below.push(main);
      main = treeOf(['40000', 'x', main], ['40000', 'y', main]);
    }
    const bomb = snapshotOf({ main, below, manifest: MANIFEST });
    expect(bomb.pack.length).toBeLessThan(20_000);
    await isTooMuch(bomb);
  });

  test('of the same file again and again is refused', async () => {
    const mebibyte = blobOf(Buffer.alloc(1024 * 1024));
    const entries = Array.from(
      { length: 600 },
      (_, index): Entry => ['100644', String(1000 + index), mebibyte],
    );
    await isTooMuch(snapshotOf({ main: treeOf(...entries), below: [mebibyte], manifest: MANIFEST }));
  });

  test('of long names on long ways is refused', async () => {
    const name = 'n'.repeat(255);
    let main = treeOf(
      ...Array.from({ length: 4_000 }, (_, index): Entry => ['100644', String(10_000 + index), hello]),
    );
    const below: PackObject[] = [hello];
    for (let level = 0; level < 180; level += 1) {
      below.push(main);
      main = treeOf(['40000', name, main]);
    }
    await isTooMuch(snapshotOf({ main, below, manifest: MANIFEST }));
  });

  test('of levels, some of which stand at the top as well, is refused', async () => {
    const levels = [treeOf(['100644', 'a', hello])];
    for (let level = 1; level <= 300; level += 1) levels.push(treeOf(['40000', 'd', levels.at(-1) ?? '']));
    const entries = levels.map((tree, index): Entry => ['40000', String(1000 + index), tree]);
    await isTooMuch(snapshotOf({ main: treeOf(...entries), below: [hello, ...levels], manifest: MANIFEST }));
  });
});

describe('a limit', () => {
  const nested = treeOf(['40000', 'd', treeOf(['100644', 'b', hello])]);
  const small = () =>
    snapshotOf({
      main: treeOf(['100644', 'a', hello], ['40000', 'c', nested]),
      below: [hello, nested, treeOf(['100644', 'b', hello])],
      manifest: MANIFEST,
    });
  const bytes = JSON.stringify(MANIFEST).length + 2 * hello.content.length;
  test.each<[keyof UploadLimits, number]>([
    ['packBytes', small().pack.length],
    ['filesBytes', bytes],
    ['fileBytes', JSON.stringify(MANIFEST).length],
    // Three of the snapshot, the root, and four below it.
    ['entries', 8],
    ['depth', 2],
  ])('%s takes %i and not one less', async (name, limit) => {
    const within = (limits: UploadLimits) =>
      name === 'packBytes' ? take(small(), { limits }) : look(small(), limits);
    await isRefused(small(), 'too_large', within(limitsOf({ [name]: limit - 1 })));
    await within(limitsOf({ [name]: limit }));
  });

  test('pathBytes takes what all paths have, and not one less', async () => {
    const paths = ['files', 'files/main', 'files/main/a', 'manifest', 'metadata'];
    const listed = paths.reduce((sum, path) => sum + 54 + path.length + 1, 0);
    await isRefused(plain(), 'too_large', look(plain(), limitsOf({ pathBytes: listed - 1 })));
    await look(plain(), limitsOf({ pathBytes: listed }));
  });

  test('of objects, directories and manifests is told from what comes after it', async () => {
    const said = (upload: { pack: Buffer; snapshot: string }, limits = uploadLimits(64)) =>
      take(upload, { limits }).catch((error: Error) => error.message);
    const { snapshot } = plain();
    // Twice as many as entries, and four.
    expect(await said(plain(), limitsOf({ entries: 1 }))).toMatch(/ files and directories/);
    expect(await said({ snapshot, pack: packOf([], { count: 7 }) }, limitsOf({ entries: 1 }))).toMatch(
      / 7 objects/,
    );
    const tree = (size: number) => ({
      raw: Buffer.concat([objectHeader(2, size), deflateSync(Buffer.alloc(9))]),
    });
    expect(await said({ snapshot, pack: packOf([tree(TREE_BYTES)]) })).toMatch(/does not unpack/);
    expect(await said({ snapshot, pack: packOf([tree(TREE_BYTES + 1)]) })).toMatch(
      /a directory of 16777217 bytes/,
    );
    const large = Array.from({ length: TREES_BYTES / TREE_BYTES }, (_, index): PackObject => {
      // Packed once, and fast: they are sent twice.
      const packed = deflateSync(Buffer.alloc(TREE_BYTES, index), { level: 1 });
      return { raw: Buffer.concat([objectHeader(2, TREE_BYTES), packed]) };
    });
    expect(await said({ snapshot, pack: packOf(large) })).toMatch(/names a directory that was not sent/);
    expect(await said({ snapshot, pack: packOf([...large, treeOf(['100644', 'a', hello])]) })).toMatch(
      /unpacks to/,
    );
    expect(inStore()).toEqual([]);
    const withManifest = (bytes: number) => {
      const around = JSON.stringify({ ...MANIFEST, kept: { main: [''] } }).length;
      const kept = { main: ['x'.repeat(bytes - around)] };
      return snapshotOf({
        main: treeOf(['100644', 'a', hello]),
        below: [hello],
        manifest: { ...MANIFEST, kept },
      });
    };
    expect(await said(withManifest(MANIFEST_BYTES + 1))).toMatch(/a manifest of 16777217 bytes/);
    expect(await said(withManifest(MANIFEST_BYTES))).toBeUndefined();
  });

  test('checkMs ends what takes longer', async () => {
    await isRefused(plain(), 'too_large', take(plain(), { limits: limitsOf({ checkMs: 1 }) }));
  });

  test('idleMs ends what stands still', async () => {
    const uploads = openUploads({ directory: store, limits: limitsOf({ idleMs: 50 }) });
    const body = new PassThrough();
    body.write(plain().pack.subarray(0, 40));
    const taken = uploads.receive(body, { snapshot: plain().snapshot, lineage: 'mine', continues: false });
    await expect(taken).rejects.toMatchObject({ code: 'cut_off' });
    expect(inStore()).toEqual([]);
  });

  test('atOnce sends away who comes when others are there, and takes them later', async () => {
    const uploads = openUploads({ directory: store, limits: uploadLimits(1), atOnce: 1 });
    const body = new PassThrough();
    const request = { snapshot: plain().snapshot, lineage: 'mine', continues: false };
    const first = uploads.receive(body, request);
    await expect(uploads.receive(Readable.from([plain().pack]), request)).rejects.toMatchObject({
      code: 'busy',
    });
    body.end(plain().pack);
    await first;
    await uploads.receive(Readable.from([plain().pack]), request);
  });
});

test('an upload that is cut off leaves nothing', async () => {
  const uploads = openUploads({ directory: store, limits: uploadLimits(1) });
  const body = new PassThrough();
  body.write(plain().pack.subarray(0, 40));
  const taken = uploads.receive(body, { snapshot: plain().snapshot, lineage: 'mine', continues: false });
  body.destroy(new Error('the connection broke'));
  await expect(taken).rejects.toMatchObject({ code: 'cut_off' });
  expect(inStore()).toEqual([]);
});

test('what links lead to is not written by a restore', async () => {
  const victim = join(base, 'victim');
  mkdirSync(victim);
  writeFileSync(join(victim, 'a'), 'mine');
  const link = blobOf(victim);
  const first = snapshotOf({ main: treeOf(['120000', 'd', link]), below: [link], manifest: MANIFEST });
  const inside = treeOf(['100644', 'a', hello]);
  const second = snapshotOf({
    main: treeOf(['40000', 'd', inside]),
    below: [hello, inside],
    manifest: MANIFEST,
  });
  await take(first);
  await take(second, { continues: true });
  const copy = join(base, 'copy');
  mkdirSync(copy);
  const tree = async (snapshot: string): Promise<Tree> => {
    await snapshots.of('mine').restore(filesAt(copy), snapshot);
    return readTree(copy);
  };
  expect(await tree(first.snapshot)).toEqual({ d: { type: 'link', to: victim } });
  expect(await tree(second.snapshot)).toEqual({
    d: { type: 'directory' },
    'd/a': { type: 'file', content: 'hello\n' },
  });
  expect(readFileSync(join(victim, 'a'), 'utf8')).toBe('mine');
});
