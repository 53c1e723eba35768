import type { BytePath } from './byte-path.ts';
import type { Directory, FileNode } from './file-node.ts';
import { newDirectory } from './snapshot-tree.ts';

/** What git writes without a reference going anywhere: looking at a status, or staging a file, is enough. */
const PASSING = new Set([
  'objects',
  'index',
  'COMMIT_EDITMSG',
  'FETCH_HEAD',
  'ORIG_HEAD',
  'gc.pid',
  'gc.log',
]);

export interface BlobStore {
  read(hash: string): Buffer;
  write(content: Buffer): string;
}

/** Whether more of a `.git` differs than what git rewrites in passing. */
export function historyDiffers(
  a: FileNode | undefined,
  b: FileNode | undefined,
  same: typeof Object.is,
): boolean {
  if (a?.type !== 'directory' || b?.type !== 'directory') return !same(a, b);
  return !same(withoutPassing(a), withoutPassing(b));
}

function withoutPassing(git: Directory): Directory {
  return { type: 'directory', children: new Map([...git.children].filter(([name]) => !PASSING.has(name))) };
}

/**
 * Two histories that both went on: that of `ours` stays as it is, with the objects of `theirs` beside its own, and a reference to where
 * `theirs` was, so that nothing is lost and the agent can merge it (`git merge <reference>`). Returns the reference too, where
 * `theirs` has a commit.
 */
export function joinHistories(
  { ours, theirs, label }: { ours: Directory; theirs: Directory; label: string },
  blobs: BlobStore,
): { git: Directory; reference: string | undefined } {
  const head = headOf(theirs, blobs);
  const git = withObjects(ours, theirs);
  if (head === undefined) return { git, reference: undefined };
  const hash = blobs.write(Buffer.from(`${head}\n`));
  const refs = directoryIn(ours, 'refs');
  const own = directoryIn(refs, 'capybara');
  const withRef = new Map(own.children).set(label, { type: 'file', mode: '100644', hash });
  const withOwn = new Map(refs.children).set('capybara', { type: 'directory', children: withRef });
  git.children.set('refs', { type: 'directory', children: withOwn });
  return { git, reference: `refs/capybara/${label}` };
}

/** A repository as it is, with the objects of another beside its own. */
export function withObjects(git: Directory, other: Directory): Directory {
  const objects = union(directoryIn(git, 'objects'), directoryIn(other, 'objects'));
  return { type: 'directory', children: new Map(git.children).set('objects', objects) };
}

function directoryIn(directory: Directory, name: BytePath): Directory {
  const found = directory.children.get(name);
  return found?.type === 'directory' ? found : newDirectory();
}

/** Names of objects and packs say what they hold: what has the same name is the same. */
function union(ours: Directory, theirs: Directory): Directory {
  const children = new Map(ours.children);
  for (const [name, node] of theirs.children) {
    const own = children.get(name);
    if (own === undefined) children.set(name, node);
    else if (own.type === 'directory' && node.type === 'directory') children.set(name, union(own, node));
  }
  return { type: 'directory', children };
}

/** The commit that is checked out; undefined where there is none, or it is written in a way that is not known here. */
export function headOf(git: Directory, blobs: Pick<BlobStore, 'read'>): string | undefined {
  const head = textAt(git, ['HEAD'], blobs)?.trim() ?? '';
  const [, branch] = /^ref: (refs\/[^\n]+)$/.exec(head) ?? [];
  if (branch === undefined) return commitIn(head);
  const loose = commitIn(textAt(git, branch.split('/'), blobs)?.trim() ?? '');
  if (loose !== undefined) return loose;
  const packed = textAt(git, ['packed-refs'], blobs)?.split('\n') ?? [];
  return commitIn(packed.find((line) => line.endsWith(` ${branch}`))?.split(' ')[0] ?? '');
}

function commitIn(text: string): string | undefined {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text) ? text : undefined;
}

function textAt(
  git: Directory,
  parts: readonly BytePath[],
  blobs: Pick<BlobStore, 'read'>,
): string | undefined {
  let node: FileNode | undefined = git;
  for (const part of parts) node = node?.type === 'directory' ? node.children.get(part) : undefined;
  return node?.type === 'file' && node.mode !== '120000'
    ? blobs.read(node.hash).toString('latin1')
    : undefined;
}
