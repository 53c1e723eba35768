import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PathSet, textOf } from './byte-path.ts';
import type { Directory } from './file-node.ts';
import { joinFound } from './found-files.ts';
import type { BlobStore } from './git-refs.ts';
import type { KnownSnapshots } from './known-snapshots.ts';
import {
  type MergeConflict,
  type MergeTexts,
  mergeDirectories,
  type TextMerge,
} from './merge-directories.ts';
import type { ShadowGit } from './shadow-git.ts';
import { checkName } from './snapshot-error.ts';
import type { Manifest } from './snapshot-tree.ts';
import type { Merged, MergeRequest } from './snapshots.ts';

type Roots = ReadonlyMap<string, Directory>;

interface MergeTools {
  readonly git: ShadowGit;
  readonly blobs: BlobStore;
  readonly label: string;
}

/** The files of `ours` with what `theirs` changed since `base`. */
export function mergeSnapshots(
  { git, known }: { readonly git: ShadowGit; readonly known: KnownSnapshots },
  { base, ours, theirs, label = 'theirs' }: MergeRequest,
): Merged {
  checkName('label', label);
  const three = { base: known.learn(base), ours: known.learn(ours, base), theirs: known.learn(theirs, base) };
  const writer = known.writer();
  const blobs = {
    read: (hash: string) => git.blob(hash),
    write: (content: Buffer) => writer.put('blob', content),
  };
  try {
    const { roots, conflicts } = mergeRoots(three, { git, blobs, label });
    const manifest = mergeManifests(known.summary(ours).manifest, known.summary(theirs).manifest);
    const id = known.write({ roots, manifest }, writer);
    known.keep(id, roots);
    return { id, conflicts };
  } finally {
    writer.discard();
  }
}

/** Root by root, as far as `ours` has them. */
function mergeRoots(
  { base, ours, theirs }: { readonly base: Roots; readonly ours: Roots; readonly theirs: Roots },
  { git, blobs, label }: MergeTools,
): { roots: Map<string, Directory>; conflicts: Merged['conflicts'] } {
  const mergeTexts: MergeTexts = (files) => mergeTextsWith(files, { git, blobs, label });
  const merged = [...ours].map(([name, directory]) => {
    const three = { base: base.get(name), ours: directory, theirs: theirs.get(name) ?? base.get(name) };
    return { name, ...mergeDirectories(three, { mergeTexts, blobs, label }) };
  });
  return {
    roots: new Map(merged.map(({ name, root }) => [name, root])),
    conflicts: merged.flatMap(({ name, conflicts }) => conflicts.map((each) => conflictIn(name, each))),
  };
}

/** What git-merge-file(1) exits with: the number of conflicts, and more for what it cannot merge. */
const CONFLICT_CODES = Array.from({ length: 128 }, (_, code) => code);

/** Undefined where git says that they are no texts. */
function mergeTextsWith(
  { base, ours, theirs }: Parameters<MergeTexts>[0],
  { git, blobs, label }: MergeTools,
): TextMerge | undefined {
  const directory = mkdtempSync(join(git.directory, 'merge-'));
  try {
    const found = git.blobsTogether([ours, theirs, ...(base === undefined ? [] : [base])]);
    const contents = [found[0], found[2] ?? Buffer.alloc(0), found[1]] as Buffer[];
    if (contents.some((content) => content.includes(0))) return undefined;
    const paths = ['ours', 'base', 'theirs'].map((name) => join(directory, name));
    paths.forEach((path, index) => {
      writeFileSync(path, contents[index] as Buffer);
    });
    const labels = ['ours', 'base', label].flatMap((name) => ['-L', name]);
    const args = ['merge-file', '-p', ...labels, ...paths];
    const clean = git.run([...args], { mayFail: true });
    const merged = clean ?? git.run(args, { accepts: CONFLICT_CODES, mayFail: true });
    return merged && { hash: blobs.write(merged), conflicts: clean === undefined };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function conflictIn(root: string, { path, kind, keptAt }: MergeConflict): Merged['conflicts'][number] {
  return { root, path: textOf(path), kind, ...(keptAt !== undefined && { keptAt: textOf(keptAt) }) };
}

/** What either side keeps of ignored files is kept; what was left out is so where `ours` is. */
function mergeManifests(ours: Manifest, theirs: Manifest): Manifest {
  const names = [...new Set([...Object.keys(ours.kept), ...Object.keys(theirs.kept)])].sort();
  const kept = names.map((name) => [
    name,
    new PathSet([...(ours.kept[name] ?? []), ...(theirs.kept[name] ?? [])]).paths,
  ]);
  const found = joinFound(ours.found, theirs.found);
  return { format: 1, kept: Object.fromEntries(kept), leftOut: ours.leftOut, ...found };
}
