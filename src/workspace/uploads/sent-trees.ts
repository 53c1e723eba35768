import type { ShadowGit } from '../snapshots/shadow-git.ts';
import { SnapshotError } from '../snapshots/snapshot-error.ts';
import type { UploadLimits } from './limits.ts';
import { malformed, tooLarge, UploadError } from './upload-error.ts';

const HASH_BYTES = 20;
/** Above a root: the snapshot, and its part (`files`, `metadata`). */
const LEVELS_ABOVE = 2;
/** Of one entry in a listing: mode, type, name of the object, separators. */
const LISTED_BYTES = 54;

export interface TreeEntry {
  readonly kind: 'tree' | 'file' | 'link';
  /** Bytes. */
  readonly nameLength: number;
  readonly hash: string;
}

/** Every tree and blob that a snapshot leads to, once, however often it stands somewhere. */
export interface Trees {
  readonly entries: ReadonlyMap<string, readonly TreeEntry[]>;
  readonly blobs: ReadonlySet<string>;
  /** Those of the blobs that are links. */
  readonly links: ReadonlySet<string>;
}

const KINDS: Readonly<Record<string, TreeEntry['kind']>> = {
  '40000': 'tree',
  '100644': 'file',
  '100755': 'file',
  '120000': 'link',
};

/** Reads the trees level by level. Throws `UploadError`: where one is missing, or there are more than the limits say. */
export function readTrees(git: ShadowGit, snapshot: string, limits: UploadLimits): Trees {
  const entries = new Map<string, readonly TreeEntry[]>();
  const [blobs, links] = [new Set<string>(), new Set<string>()];
  let level = new Set([snapshot]);
  let count = 0;
  for (let depth = -LEVELS_ABOVE; level.size > 0; depth += 1) {
    if (depth > limits.depth) throw tooDeep(limits);
    const next = new Set<string>();
    eachTree(git, [...level], (hash, content) => {
      const found = parseTree(content);
      count += found.length;
      if (count > limits.entries)
        throw tooLarge(`has ${count} files and directories or more`, limits.entries);
      entries.set(hash, found);
      for (const { kind, hash: inner } of found) {
        if (kind === 'tree') next.add(inner);
        else blobs.add(inner);
        if (kind === 'link') links.add(inner);
      }
    });
    // What stood higher too is known already; that it stands deeper as well, `measure` finds.
    level = new Set([...next].filter((hash) => !entries.has(hash)));
  }
  return { entries, blobs, links };
}

function eachTree(
  git: ShadowGit,
  hashes: readonly string[],
  use: (hash: string, content: Buffer) => void,
): void {
  try {
    git.trees(hashes, (hash, content) => {
      if (content === undefined) throw malformed(`the directory ${hash} is too long`);
      use(hash, content);
    });
  } catch (error) {
    if (!(error instanceof SnapshotError) || error.code !== 'missing_object') throw error;
    throw new UploadError(
      'incomplete',
      'The upload names a directory that was not sent and is not in the upload before it: send all of the directory.',
    );
  }
}

/** `mode SP name NUL hash`, again and again. What else could be wrong with one is seen when its snapshot is written again. */
function parseTree(content: Buffer): TreeEntry[] {
  const entries: TreeEntry[] = [];
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const end = content.indexOf(0, at);
    const next = end + 1 + HASH_BYTES;
    const kind = KINDS[content.toString('latin1', at, Math.min(space, at + 10))];
    if (space < 0 || end < space || next > content.length || kind === undefined) {
      throw malformed('an entry of a directory cannot be read');
    }
    const hash = content.toString('hex', end + 1, next);
    entries.push({ kind, nameLength: end - space - 1, hash });
    at = next;
  }
  return entries;
}

export interface Measured {
  /** Files, links and directories, and what a snapshot has above them. */
  readonly entries: number;
  /** Of files and links. */
  readonly bytes: number;
  /** Of a listing of all paths. */
  readonly paths: number;
  /** Levels of directories below. */
  readonly height: number;
}

const NO_TREE: Measured = { entries: 0, bytes: 0, paths: 0, height: -1 };

/**
 * What a snapshot is when it is written out, where the same directory may stand a million times. Each is looked at once: a few
 * kilobytes of trees can stand for more files than there are disks. Throws `UploadError` where it is too deep.
 */
export function measure(
  trees: Trees,
  { snapshot, sizes, limits }: { snapshot: string; sizes: ReadonlyMap<string, number>; limits: UploadLimits },
): Measured {
  const known = new Map<string, Measured>();
  const visit = (hash: string, depth: number): Measured => {
    const before = known.get(hash);
    if (before !== undefined) return before;
    if (depth > limits.depth) throw tooDeep(limits);
    const total = { entries: 0, bytes: 0, paths: 0, height: 0 };
    for (const { kind, hash: inner, nameLength } of trees.entries.get(hash) ?? []) {
      const below = kind === 'tree' ? visit(inner, depth + 1) : { ...NO_TREE, bytes: sizes.get(inner) ?? 0 };
      total.entries += 1 + below.entries;
      total.bytes += below.bytes;
      total.paths += LISTED_BYTES + below.paths + (1 + below.entries) * (nameLength + 1);
      total.height = Math.max(total.height, below.height + 1);
    }
    known.set(hash, total);
    return total;
  };
  const measured = visit(snapshot, -LEVELS_ABOVE);
  if (measured.height > limits.depth + LEVELS_ABOVE) throw tooDeep(limits);
  return measured;
}

function tooDeep({ depth }: UploadLimits): UploadError {
  return tooLarge(`has more than ${depth} levels of directories`, depth);
}
