import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findBinaries } from '../../src/embedded/postgres-binaries.ts';

/** Neither root nor whoever runs the tests. */
const SOMEONE = { uid: 54321, gid: 54321 };
let directory: string;
let root: string;
let cache: string;

/** A package of two programs and one library, as npm unpacks it: without symbolic links. */
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'capybara-binaries-'));
  chmodSync(directory, 0o755);
  root = join(directory, 'package');
  cache = join(directory, 'cache');
  for (const name of ['bin', 'lib']) mkdirSync(join(root, 'native', name), { recursive: true });
  for (const name of ['initdb', 'postgres'])
    writeFileSync(join(root, 'native', 'bin', name), name, { mode: 0o755 });
  writeFileSync(join(root, 'package.json'), '{"version":"1.2.3"}');
  writeFileSync(join(root, 'native', 'lib', 'libpq.so.5.18'), 'library', { mode: 0o600 });
  linkInto('lib');
});
afterEach(() => rmSync(directory, { recursive: true }));

const find = (runAs?: typeof SOMEONE, sharedCache = cache) =>
  findBinaries({ runAs, ownCache: cache, root, sharedCache });

function linkInto(place: string): void {
  const links = [{ source: 'native/lib/libpq.so.5.18', target: join('native', place, 'libpq.so.5') }];
  writeFileSync(join(root, 'native', 'pg-symlinks.json'), JSON.stringify(links));
}

test('links the libraries that an install without scripts leaves out, once', () => {
  for (let round = 0; round < 2; round += 1) {
    expect(find().postgres).toBe(join(root, 'native', 'bin', 'postgres'));
  }
  expect(readFileSync(join(root, 'native', 'lib', 'libpq.so.5'), 'utf8')).toBe('library');
});

test('says so where the libraries cannot be linked, in the package or in a copy', () => {
  linkInto('absent');
  for (const runAs of [undefined, SOMEONE]) {
    expect(() => find(runAs)).toThrow(
      /^The embedded Postgres cannot be used \(it could not be copied to .*: its libraries cannot be linked\): mend that/,
    );
  }
});

test('copies the programs once to where the other user reaches them, whatever modes they had', () => {
  chmodSync(root, 0o700);
  const copies = [1, 2].map(() => find(SOMEONE));
  const copy = join(cache, `postgres-1.2.3-${process.arch}`, 'native');
  expect(copies.map(({ initdb }) => initdb)).toEqual(Array(2).fill(join(copy, 'bin', 'initdb')));
  expect(statSync(join(copy, 'bin', 'postgres')).mode & 0o777).toBe(0o755);
  expect(statSync(join(copy, 'lib', 'libpq.so.5')).mode & 0o777).toBe(0o644);
  expect(readdirSync(cache)).toEqual([`postgres-1.2.3-${process.arch}`]);
});

test('says so where even the copy is out of reach, or cannot be made', () => {
  chmodSync(root, 0o700);
  mkdirSync(join(directory, 'private'), { mode: 0o700 });
  expect(() => find(SOMEONE, join(directory, 'private', 'cache'))).toThrow(
    /\(the user with uid 54321, as whom it has to run, cannot reach .*set DATABASE_URL/,
  );
  expect(() => find(SOMEONE, join(root, 'package.json'))).toThrow(/could not be copied to/);
});
