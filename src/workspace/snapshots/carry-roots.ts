/** Carries what differs between two snapshots into the roots of a person's workspace. */
import { type BytePath, PathSet, textOf } from './byte-path.ts';
import { type Carried, carryRoot } from './carry.ts';
import type { KnownSnapshots } from './known-snapshots.ts';
import type { ShadowGit } from './shadow-git.ts';
import { checkName } from './snapshot-error.ts';
import { newDirectory } from './snapshot-tree.ts';
import type { CarryRequest, KeptPath, RootPath, WorkspaceFiles } from './snapshots.ts';
import { openRoot, writableRoots } from './walked-files.ts';

interface Store {
  readonly git: ShadowGit;
  readonly known: KnownSnapshots;
  /** Of one file. */
  readonly maxBytes: number;
}

/** `written`, `found`: as what they are recorded with. */
interface CarriedRoots {
  readonly kept: readonly KeptPath[];
  readonly metadata: readonly RootPath[];
  readonly written: readonly RootPath[];
  readonly found: readonly RootPath[];
}

export function carryFiles(
  { git, known, maxBytes }: Store,
  files: WorkspaceFiles,
  { from, to, label = 'theirs' }: CarryRequest,
): CarriedRoots {
  checkName('label', label);
  const [old, wanted] = [known.learn(from), known.learn(to, from)];
  const [before, after] = [from, to].map((snapshot) => known.summary(snapshot).manifest.kept);
  const roots = writableRoots(files).map((root) => {
    const at = openRoot(root);
    const trees = { from: old.get(root.name) ?? newDirectory(), to: wanted.get(root.name) ?? newDirectory() };
    try {
      const carried = carryRoot(at, { ...trees, label, maxBytes }, git);
      return told(root.name, carried, { before: before?.[root.name], after: after?.[root.name] });
    } finally {
      at.close();
    }
  });
  const all = <Key extends keyof CarriedRoots>(key: Key) => roots.flatMap((root) => [...root[key]]);
  return {
    kept: all('kept') as readonly KeptPath[],
    metadata: all('metadata'),
    written: all('written'),
    found: all('found'),
  };
}

interface Counting {
  readonly before: readonly BytePath[] | undefined;
  readonly after: readonly BytePath[] | undefined;
}

/** Ignored files that count from now on: those of `to`, and what stands in the place of one is a person's. */
function told(
  root: string,
  { kept, metadata }: Carried,
  { before = [], after = [] }: Counting,
): CarriedRoots {
  const known = new PathSet(before);
  const counting = new PathSet(after.filter((path) => !known.has(path)));
  const stood = new PathSet(kept.map(({ path }) => path));
  const besides = kept.flatMap(({ path, keptAt }) =>
    keptAt !== undefined && counting.has(path) ? [keptAt] : [],
  );
  const pathIn = (path: BytePath): RootPath => ({ root, path: textOf(path) });
  return {
    kept: kept.map(({ path, keptAt }) => ({
      ...pathIn(path),
      ...(keptAt !== undefined && { keptAt: textOf(keptAt) }),
    })),
    metadata: metadata.map(pathIn),
    written: [...counting.paths.filter((path) => !stood.has(path)), ...besides].map(pathIn),
    found: counting.paths.filter((path) => stood.has(path)).map(pathIn),
  };
}
