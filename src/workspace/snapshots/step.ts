/** Files that are known to be what one snapshot says become what the next says: nothing but what differs is looked at. */
import { type BytePath, PathSet } from './byte-path.ts';
import { type Directory, type FileNode, sameNode } from './file-node.ts';
import type { KnownSnapshots } from './known-snapshots.ts';
import { restoreRoot } from './restore.ts';
import type { ShadowGit } from './shadow-git.ts';
import { newDirectory } from './snapshot-tree.ts';
import type { WorkspaceFiles } from './snapshots.ts';
import { openRoot, type Summary, writableRoots } from './walked-files.ts';

export interface Step {
  readonly from: string;
  readonly to: string;
  /** What a walk found that was of `from`. */
  readonly walked: ReadonlyMap<string, Directory>;
}

/** What a walk would find now; undefined, with nothing done, where all files have to be looked at. */
export function stepFiles(
  { git, known }: { readonly git: ShadowGit; readonly known: KnownSnapshots },
  files: WorkspaceFiles,
  { from, to, walked }: Step,
): Map<string, Directory> | undefined {
  if (!areRulesSame(known.summary(from), known.summary(to))) return undefined;
  const [old, wanted] = [known.learn(from), known.learn(to, from)];
  const roots = writableRoots(files);
  if (roots.some(({ name }) => ignoreFilesDiffer(old.get(name), wanted.get(name)))) return undefined;
  const { leftOut } = known.summary(to).manifest;
  return new Map(
    roots.map((root) => {
      const { name } = root;
      const trees = {
        actual: walked.get(name) ?? newDirectory(),
        wanted: wanted.get(name) ?? newDirectory(),
      };
      const at = openRoot(root);
      try {
        restoreRoot(at, { ...trees, leftOut: new PathSet(leftOut[name] ?? []), isKnown: true }, git);
      } finally {
        at.close();
      }
      return [name, foundAfter(trees)];
    }),
  );
}

/** Version control says what is tracked, and so no cache; the manifest which caches are none. */
function areRulesSame(from: Summary, to: Summary): boolean {
  const rules = ({ metadata, manifest: { kept, leftOut } }: Summary) =>
    JSON.stringify([metadata, kept, leftOut]);
  return rules(from) === rules(to);
}

function ignoreFilesDiffer(from: FileNode | undefined, to: FileNode | undefined): boolean {
  if (sameNode(from, to)) return false;
  const [old, wanted] = [childrenOf(from), childrenOf(to)];
  return [...new Set([...old.keys(), ...wanted.keys()])].some((name) => {
    const [one, other] = [old.get(name), wanted.get(name)];
    return name === '.gitignore' ? !sameNode(one, other) : ignoreFilesDiffer(one, other);
  });
}

/** Of files that are as they were also how they looked. */
function foundAfter({
  actual,
  wanted,
}: {
  readonly actual: Directory;
  readonly wanted: Directory;
}): Directory {
  const found = newDirectory();
  for (const [name, node] of actual.children)
    if (node.type === 'left_out' && !wanted.children.has(name)) found.children.set(name, node);
  for (const [name, node] of wanted.children) {
    const old = actual.children.get(name);
    if (sameNode(old, node) && old !== undefined) found.children.set(name, old);
    else if (node.type !== 'directory') found.children.set(name, node);
    else {
      const inner = { actual: old?.type === 'directory' ? old : newDirectory(), wanted: node };
      found.children.set(name, foundAfter(inner));
    }
  }
  return { ...found, ...(actual.partial && { partial: true }), ...(wanted.trees && { trees: wanted.trees }) };
}

function childrenOf(node: FileNode | undefined): ReadonlyMap<BytePath, FileNode> {
  return node?.type === 'directory' ? node.children : new Map();
}
