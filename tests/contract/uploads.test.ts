/** A directory that is sent arrives byte for byte, and only what is new of it is sent. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { Snapshots } from '../../src/workspace/snapshots/snapshots.ts';
import { uploadLimits } from '../../src/workspace/uploads/limits.ts';
import { readDirectory, type SentDirectory } from '../../src/workspace/uploads/sent-directory.ts';
import { openUploads, type Uploads } from '../../src/workspace/uploads/uploads.ts';
import { git } from '../support/cli.ts';
import { emptyDirectory, filesAt, readTree, type Tree, trees, writeTree } from './snapshots-harness.ts';

vi.setConfig({ testTimeout: 180_000 });

let base: string;
let work: string;
let copy: string;
let store: string;
let snapshots: Snapshots;
let uploads: Uploads;

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-uploads-')));
  [work, copy, store] = [join(base, 'work'), join(base, 'copy'), join(base, 'store')];
  mkdirSync(work);
  mkdirSync(copy);
  snapshots = openSnapshots({ directory: store });
  uploads = openUploads({ directory: store, limits: uploadLimits(64) });
});
afterEach(async () => {
  await snapshots.close();
  rmSync(base, { recursive: true });
});

interface Sent {
  readonly snapshot: string;
  readonly bytes: number;
  readonly leftOut: SentDirectory['leftOut'];
}

/** As a client sends it: what the server does not have of it, where it has `before`. */
async function send(lineage: string, before?: string): Promise<Sent> {
  const options = { dataDir: join(base, 'client'), name: 'work', previous: before };
  const files = await readDirectory(work, options);
  try {
    const { path, bytes } = await files.pack(before);
    const { snapshot, leftOut } = files;
    const body = Readable.from([readFileSync(path)]);
    await uploads.receive(body, { snapshot, lineage, continues: before !== undefined });
    return { snapshot, bytes, leftOut };
  } finally {
    await files.close();
  }
}

async function comesBack({ snapshot }: Sent, lineage: string, tree: Tree): Promise<void> {
  emptyDirectory(copy);
  await snapshots.of(lineage).restore(filesAt(copy), snapshot);
  expect(readTree(copy)).toEqual(tree);
}

const text = (content: string) => ({ type: 'file', content }) as const;
const thousand = () => {
  for (let index = 0; index < 1_000; index += 1) {
    const directory = join(work, `part-${index % 50}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `file-${index}.ts`), `export const value${index} = ${index};\n`.repeat(40));
  }
};

describe('a directory that is sent', () => {
  test('arrives byte for byte, whatever is in it', async () => {
    let number = 0;
    await fc.assert(
      fc.asyncProperty(trees, trees, async (tree, later) => {
        number += 1;
        const lineage = `lineage-${number}`;
        emptyDirectory(work);
        writeTree(work, tree);
        const first = await send(lineage);
        await comesBack(first, lineage, readTree(work));
        emptyDirectory(work);
        writeTree(work, later);
        await comesBack(await send(lineage, first.snapshot), lineage, readTree(work));
      }),
      { numRuns: 8 },
    );
  });

  test('arrives with what was not committed, what is not tracked, and its repository', async () => {
    writeTree(work, { 'a.txt': text('one\n'), '.gitignore': text('cache\n') });
    git(work, 'init', '--quiet', '--initial-branch=main');
    git(work, 'add', '--all');
    git(work, 'commit', '--quiet', '--message', 'Begin');
    writeTree(work, {
      'a.txt': text('two\n'),
      new: text('\0\xff'),
      'sub/a b': text('x'),
      cache: text('not sent'),
    });
    const sent = await send('repository');
    const { cache: _, ...tree } = readTree(work);
    await comesBack(sent, 'repository', tree);
    expect(git(copy, 'status', '--porcelain')).toBe(' M a.txt\n?? new\n?? sub/\n');
    expect(git(copy, 'log', '--format=%s')).toBe('Begin\n');
  });

  test('arrives though it is large, and though a file of it is', async () => {
    const large = Buffer.alloc(5 * 1024 * 1024 + 7);
    for (let at = 0; at + 4 <= large.length; at += 4) large.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
    writeFileSync(join(work, 'large'), large);
    writeFileSync(join(work, 'zeros'), Buffer.alloc(20 * 1024 * 1024));
    writeFileSync(join(work, 'empty'), '');
    await comesBack(await send('large'), 'large', readTree(work));
  });

  test('is sent with the rules of its project, though it ignores them', async () => {
    writeTree(work, { '.gitignore': text('.capybara\n'), '.capybara/config.yaml': text('permissions:\n') });
    writeTree(work, { '.capybara/cache': text('not sent') });
    const { snapshot } = await send('rules');
    const read = (path: string, maxBytes = 100) =>
      snapshots.of('rules').read(snapshot, { root: 'main', path, maxBytes });
    expect(Buffer.from((await read('.capybara/config.yaml')) ?? '').toString()).toBe('permissions:\n');
    expect(await read('.capybara/cache')).toBeUndefined();
    expect(await read('.capybara/config.yaml', 13)).toHaveLength(13);
    await expect(read('.capybara/config.yaml', 12)).rejects.toMatchObject({ code: 'no_file' });
    await expect(read('.capybara')).rejects.toMatchObject({ code: 'no_file' });
    await expect(read('.gitignore/x')).rejects.toMatchObject({ code: 'no_file' });
  });

  test('with nothing in it arrives so', async () => {
    await comesBack(await send('nothing'), 'nothing', {});
  });
});

describe('what is sent', () => {
  test('is little where little has changed', async () => {
    thousand();
    const first = await send('incremental');
    writeFileSync(join(work, 'part-7', 'file-7.ts'), 'export const value7 = 8;\n');
    const second = await send('incremental', first.snapshot);
    expect(first.bytes).toBeGreaterThan(60_000);
    expect(second.bytes).toBeLessThan(6_000);
    await comesBack(second, 'incremental', readTree(work));
  });

  test('is all of it where the client has lost what it sent before', async () => {
    thousand();
    const first = await send('lost');
    rmSync(join(base, 'client'), { recursive: true });
    writeFileSync(join(work, 'more'), 'more');
    const again = await send('lost', first.snapshot);
    expect(again.bytes).toBeGreaterThan(first.bytes);
    await comesBack(again, 'lost', readTree(work));
  });

  test('may be sent twice, and twice at once', async () => {
    thousand();
    const first = await send('twice');
    writeFileSync(join(work, 'more'), 'more');
    const [one, other] = await Promise.all([send('twice', first.snapshot), send('twice', first.snapshot)]);
    expect(one).toEqual(other);
    await comesBack(other, 'twice', readTree(work));
    expect(readdirSync(store).filter((name) => name !== 'twice.git')).toEqual([]);
  });

  test('leaves nothing of itself among the files, nor beside what is kept', async () => {
    writeTree(work, { a: text('a') });
    const before = readTree(work);
    await send('clean');
    expect(readTree(work)).toEqual(before);
    expect(readdirSync(store)).toEqual(['clean.git']);
    expect(readdirSync(join(base, 'client', 'sent'))).toEqual(['work.git']);
  });
});

test('what was left by whoever died while sending, or taking in, goes after a day', async () => {
  const [sent, packs] = [join(base, 'client', 'sent'), ['sending-0a.pack', 'sending-0b.pack']];
  for (const directory of [sent, store]) mkdirSync(directory, { recursive: true });
  for (const name of packs) writeFileSync(join(sent, name), '');
  for (const name of ['incoming-0a', 'incoming-0b']) mkdirSync(join(store, name));
  const yesterday = Date.now() / 1000 - 25 * 60 * 60;
  for (const path of [join(sent, 'sending-0a.pack'), join(store, 'incoming-0a')])
    utimesSync(path, yesterday, yesterday);
  await send('later');
  expect(readdirSync(sent).toSorted()).toEqual(['sending-0b.pack', 'work.git']);
  await vi.waitFor(() => expect(readdirSync(store).toSorted()).toEqual(['incoming-0b', 'later.git']));
});

test.each([
  ['/', 'system directory'],
  ['/usr', 'system directory'],
  ['/etc', 'system directory'],
])('%s is not even looked at', async (directory, why) => {
  const options = { dataDir: join(base, 'client'), name: 'never', previous: undefined };
  await expect(readDirectory(directory, options)).rejects.toThrow(why);
  expect(readdirSync(base)).not.toContain('client');
});
