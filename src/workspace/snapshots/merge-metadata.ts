import type { BytePath } from './byte-path.ts';
import { type Directory, type FileNode, type StoredFile, sameNode } from './file-node.ts';
import {
  type BlobStore,
  contentName,
  contentOf,
  fileAt,
  headOf,
  type Reference,
  referencesOf,
} from './git-refs.ts';
import { newDirectory } from './snapshot-tree.ts';

/**
 * What says nothing of a history, or is asked for in another way: git writes some of it when it is only asked for a status, the others
 * follow from the references, and where those are kept is git's own affair.
 */
const PASSING = new Set(
  'objects index COMMIT_EDITMSG FETCH_HEAD ORIG_HEAD gc.pid gc.log refs packed-refs logs modules'.split(' '),
);
/** Copies of what is elsewhere. */
const COPIES = /^refs\/(remotes|prefetch)\//;

export interface Repositories {
  readonly base: FileNode | undefined;
  readonly ours: Directory;
  readonly theirs: Directory;
}

export interface MergedRepository {
  readonly git: Directory;
  /** Repositories, of this one and its submodules, in which both went on. Paths from this one. */
  readonly conflicts: readonly {
    readonly path: readonly BytePath[];
    readonly reference: BytePath | undefined;
  }[];
}

interface MergeTools {
  readonly blobs: BlobStore;
  /** Names what is kept of `theirs`: letters, digits, `_`, `-`. */
  readonly label: string;
}

/**
 * A `.git` of which both sides changed something, or `theirs` alone. What only one side went on with is that side's, whole: a half of each
 * fits nothing. The objects of both are there in any case.
 */
export function mergeRepository(three: Repositories, tools: MergeTools): MergedRepository {
  const { git, joined } = mergeHistories(three, tools);
  const modules = mergeModules(
    {
      base: three.base?.type === 'directory' ? three.base.children.get('modules') : undefined,
      ours: three.ours.children.get('modules'),
      theirs: three.theirs.children.get('modules'),
    },
    tools,
  );
  const inner = modules.conflicts.map((each) => ({ ...each, path: ['modules', ...each.path] }));
  const children = new Map(git.children);
  if (modules.node === undefined) children.delete('modules');
  else children.set('modules', modules.node);
  return {
    git: { type: 'directory', children },
    conflicts: [...(joined === undefined ? [] : [{ path: [], ...joined }]), ...inner],
  };
}

/** `joined`: both went on. */
interface MergedHistory {
  readonly git: Directory;
  readonly joined?: { readonly reference: BytePath | undefined };
}

function mergeHistories(three: Repositories, tools: MergeTools): MergedHistory {
  const { base, ours, theirs } = three;
  const isAsBefore = (side: Directory) =>
    base?.type === 'directory' && isSameHistory(base, side, tools.blobs);
  if (!sameNode(base, ours)) {
    if (isAsBefore(theirs)) return { git: withObjects(ours, theirs) };
    if (!isAsBefore(ours)) return joinHistories(three, tools);
  }
  return { git: withReferences(withObjects(withoutLocks(theirs), ours), three, tools) };
}

function isSameHistory(a: Directory, b: Directory, blobs: BlobStore): boolean {
  if (!sameNode(withoutPassing(a), withoutPassing(b))) return false;
  const [one, other] = [referencesOf(a, blobs), referencesOf(b, blobs)];
  return (
    one.size === other.size && [...one].every(([name, { content }]) => other.get(name)?.content === content)
  );
}

function withoutPassing(git: Directory): Directory {
  const left = [...git.children].filter(([name]) => !PASSING.has(name) && !name.endsWith('.lock'));
  const children = new Map(left);
  const info = new Map(directoryIn(git, 'info').children);
  // What `git gc` writes for servers that know nothing of git.
  info.delete('refs');
  children.set('info', { type: 'directory', children: info });
  return { type: 'directory', children };
}

/** With one to each commit that a reference of `ours` leads to, and of which `theirs` does not even say that it was there. */
function withReferences(
  git: Directory,
  { ours, theirs }: Repositories,
  { blobs, label }: MergeTools,
): Directory {
  const left = referencesOf(theirs, blobs);
  const contents = new Set([...left.values()].map(({ content }) => content));
  const logged = (path: readonly BytePath[]) => {
    const log = fileAt(theirs, ['logs', ...path]);
    return log === undefined ? '' : blobs.read(log.hash).toString('latin1');
  };
  let kept = git;
  for (const [name, { content, packed }] of referencesOf(ours, blobs)) {
    if (contents.has(content) || COPIES.test(name)) continue;
    const commit = packed ?? blobs.read(content).toString('latin1').trim();
    if ([['HEAD'], name.split('/')].some((path) => logged(path).includes(commit))) continue;
    const at = `refs/capybara/${label}.before.${name.slice('refs/'.length)}`;
    kept = withFile(kept, at.split('/'), {
      type: 'file',
      mode: '100644',
      hash: blobs.write(contentOf(commit)),
    });
  }
  return kept;
}

/**
 * Two histories that both went on: that of `ours` stays as it is, with references to where those of `theirs` were, and how they came
 * there, so that nothing is lost and the agent can merge it (`git merge <reference>`). Returns the one of what was checked out, or the
 * first; undefined where `theirs` has no commit of its own.
 */
function joinHistories({ base, ours, theirs }: Repositories, { blobs, label }: MergeTools): MergedHistory {
  const own = referencesOf(ours, blobs);
  const kept = newCommits({ base, ours, theirs }, { own, blobs });
  const name = freeReference(`refs/capybara/${label}`, { own, head: kept[0]?.content });
  const placed = kept.map(({ from, ...each }) => {
    const suffix = from === 'HEAD' ? '' : `.${from.slice('refs/'.length)}`;
    return { ...each, log: fileAt(theirs, ['logs', ...from.split('/')]), keptAt: `${name}${suffix}` };
  });
  let git = withObjects(ours, theirs);
  for (const { content, packed, log, keptAt } of placed) {
    const hash = packed === undefined ? content : blobs.write(contentOf(packed));
    git = withFile(git, keptAt.split('/'), { type: 'file', mode: '100644', hash });
    if (log !== undefined) git = withFile(git, ['logs', ...keptAt.split('/')], log);
  }
  return { git, joined: { reference: placed[0]?.keptAt } };
}

interface Known {
  /** The references of `ours`. */
  readonly own: ReadonlyMap<BytePath, Reference>;
  readonly blobs: BlobStore;
}

interface NewCommit extends Reference {
  /** `HEAD`, or a reference. */
  readonly from: BytePath;
}

/** Where references of `theirs` lead since `base`, and none of `ours`: first what is checked out. */
function newCommits({ base, ours, theirs }: Repositories, { own, blobs }: Known): NewCommit[] {
  const before = base?.type === 'directory' ? base : newDirectory();
  const contents = [...own.values()].map(({ content }) => content);
  const known = new Set([...contents, ...headsOf([before, ours], blobs).map(({ content }) => content)]);
  const old = referencesOf(before, blobs);
  const others = [...referencesOf(theirs, blobs)].filter(
    ([name, { content }]) => content !== old.get(name)?.content && !COPIES.test(name),
  );
  const candidates = [
    ...headsOf([theirs], blobs).map((head) => ({ from: 'HEAD', ...head })),
    ...others.map(([from, reference]) => ({ from, ...reference })),
  ];
  return candidates.filter(({ content }) => !known.has(content) && known.add(content));
}

function headsOf(repositories: readonly Directory[], blobs: BlobStore): Required<Reference>[] {
  const heads = repositories.map((each) => headOf(each, blobs));
  return heads.flatMap((head) => (head === undefined ? [] : [{ content: contentName(head), packed: head }]));
}

/** Another merge may have kept something under that name. */
function freeReference(
  wanted: BytePath,
  { own, head }: { readonly own: ReadonlyMap<BytePath, Reference>; readonly head: string | undefined },
): BytePath {
  const names = [...own.keys()];
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? wanted : `${wanted}-${number}`;
    const isFree = !own.has(name) && !names.some((each) => each.startsWith(`${name}.`));
    if (isFree || (head !== undefined && own.get(name)?.content === head)) return name;
  }
}

function withFile(
  directory: Directory,
  [name = '', ...rest]: readonly BytePath[],
  file: StoredFile,
): Directory {
  const old = directory.children.get(name);
  const node =
    rest.length === 0 ? file : withFile(old?.type === 'directory' ? old : newDirectory(), rest, file);
  return { type: 'directory', children: new Map(directory.children).set(name, node) };
}

/** What git left that was killed: nobody else has to wait for it. */
function withoutLocks(git: Directory): Directory {
  const children = [...git.children].flatMap(([name, node]): [BytePath, FileNode][] => {
    if (name.endsWith('.lock') && node.type === 'file') return [];
    return [[name, node.type === 'directory' && name === 'refs' ? withoutLocks(node) : node]];
  });
  return { type: 'directory', children: new Map(children) };
}

/** A repository as it is, with the objects of another beside its own. */
function withObjects(git: Directory, other: Directory): Directory {
  if (!other.children.has('objects')) return git;
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

interface Modules {
  readonly base: FileNode | undefined;
  readonly ours: FileNode | undefined;
  readonly theirs: FileNode | undefined;
}

/** Each submodule is a repository of its own, however deep its name. */
function mergeModules(
  { base, ours, theirs }: Modules,
  tools: MergeTools,
): { node: FileNode | undefined; conflicts: MergedRepository['conflicts'] } {
  if (ours?.type !== 'directory' || theirs?.type !== 'directory') {
    const isNew = ours === undefined && !sameNode(base, theirs);
    return { node: isNew ? theirs : ours, conflicts: [] };
  }
  if (sameNode(base, theirs)) return { node: ours, conflicts: [] };
  if (ours.children.has('HEAD') && theirs.children.has('HEAD')) {
    const { git, conflicts } = mergeRepository({ base, ours, theirs }, tools);
    return { node: git, conflicts };
  }
  const children = new Map<BytePath, FileNode>();
  const conflicts: MergedRepository['conflicts'][number][] = [];
  for (const name of new Set([...ours.children.keys(), ...theirs.children.keys()])) {
    const in_ = (node: FileNode | undefined) =>
      node?.type === 'directory' ? node.children.get(name) : undefined;
    const merged = mergeModules({ base: in_(base), ours: in_(ours), theirs: in_(theirs) }, tools);
    if (merged.node !== undefined) children.set(name, merged.node);
    conflicts.push(...merged.conflicts.map((each) => ({ ...each, path: [name, ...each.path] })));
  }
  return { node: { type: 'directory', children }, conflicts };
}
