import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import type { WorkspaceFiles } from '../../src/workspace/snapshots/snapshots.ts';

/** Paths are bytes in latin1, so that any name can be one. */
export type Tree = Record<string, TreeFile>;
export type TreeFile =
  | { type: 'file'; content: string; executable?: boolean }
  | { type: 'link'; to: string }
  | { type: 'directory' };

export function filesAt(path: string): WorkspaceFiles {
  return { roots: [{ name: 'main', path, writable: true }] };
}

export function at(root: string, path: string): Buffer {
  return Buffer.from(path === '' ? root : `${root}/${path}`, 'latin1');
}

export function writeTree(root: string, tree: Tree): void {
  mkdirSync(root, { recursive: true });
  for (const [path, file] of Object.entries(tree)) {
    const target = at(root, path);
    if (dirname(path) !== '.') mkdirSync(at(root, dirname(path)), { recursive: true });
    if (file.type === 'directory') mkdirSync(target, { recursive: true });
    else if (file.type === 'link') symlinkSync(Buffer.from(file.to, 'latin1'), target);
    else {
      writeFileSync(target, Buffer.from(file.content, 'latin1'));
      if (file.executable) chmodSync(target, 0o755);
    }
  }
}

/** Everything below, directories too, so that an empty one counts. */
export function readTree(root: string, within = ''): Tree {
  const found: Tree = {};
  for (const name of readdirSync(at(root, within), { encoding: 'latin1' })) {
    const path = within === '' ? name : `${within}/${name}`;
    const stats = lstatSync(at(root, path));
    if (stats.isSymbolicLink()) {
      found[path] = { type: 'link', to: readlinkSync(at(root, path), { encoding: 'latin1' as never }) };
    } else if (stats.isDirectory()) {
      found[path] = { type: 'directory' };
      Object.assign(found, readTree(root, path));
    } else {
      const content = readFileSync(at(root, path)).toString('latin1');
      found[path] = { type: 'file', content, ...((stats.mode & 0o100) !== 0 && { executable: true }) };
    }
  }
  return found;
}

export function emptyDirectory(root: string): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
}

/** Names that a shell, git or a careless path join would stumble over. */
const names = fc
  .oneof(
    fc.constantFrom('a', 'b', 'c', 'd.txt', 'e'),
    fc.constantFrom(
      '-n',
      '.git',
      '.GIT',
      '.Git',
      'git~1',
      '.git ',
      '.hg',
      '.gitmodules',
      '.gitattributes',
      '=x',
      'a b',
      'a\nb',
      'a\tb',
    ),
    fc.constantFrom(
      '\xff\xfe',
      '\xc3\xa9',
      'e\xcc\x81',
      '\\',
      '"',
      "'",
      '...',
      '~',
      'files',
      'metadata',
      'manifest',
      '.g\xe2\x80\x8cit',
    ),
    fc.string({
      unit: fc
        .integer({ min: 1, max: 255 })
        .filter((code) => code !== 47)
        .map((code) => String.fromCharCode(code)),
      minLength: 1,
      maxLength: 12,
    }),
    fc.constant('n'.repeat(255)),
  )
  .filter((name) => name !== '.' && name !== '..');

const contents = fc.oneof(
  fc.constantFrom('', 'one\n', 'two\n', 'a\r\nb\r\n', '$Id$\n', '\xef\xbb\xbfbom', '\0\x01\xff'),
  fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 200,
  }),
);

const treeFiles: fc.Arbitrary<TreeFile> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record(
      { type: fc.constant('file' as const), content: contents, executable: fc.constant(true) },
      { requiredKeys: ['type', 'content'] },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('link' as const),
      to: fc.constantFrom('a', '/etc', '../..', 'nowhere', '.', '\xff'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'directory' as const }) },
);

/** Trees in which no file stands where a directory has to. */
export const trees: fc.Arbitrary<Tree> = fc
  .array(fc.tuple(fc.array(names, { minLength: 1, maxLength: 4 }), treeFiles), { maxLength: 12 })
  .map((entries) => {
    const tree: Tree = {};
    for (const [parts, file] of entries) {
      const path = parts.join('/');
      const above = parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('/'));
      const blocked = above.some((each) => tree[each] !== undefined && tree[each].type !== 'directory');
      const inUse = Object.keys(tree).some((each) => each === path || each.startsWith(`${path}/`));
      if (!blocked && !inUse) tree[path] = file;
    }
    return tree;
  });
