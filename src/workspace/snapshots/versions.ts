import type { BytePath } from './byte-path.ts';
import { EMPTY_TREE } from './diff.ts';
import type { ShadowGit } from './shadow-git.ts';
import type { ChangedVersions, Version } from './snapshots.ts';

const DIRECTORY = '040000';
const NONE = '000000';

interface Side {
  readonly mode: string;
  readonly hash: string;
}

interface Record {
  readonly path: BytePath;
  readonly from?: BytePath;
  readonly before: Side;
  readonly after: Side;
}

/**
 * What differs between two trees of one root, with what stood there before and what stands there after; of directories, those that
 * are new or gone. Undefined where it is more than `maxBytes` in all.
 */
export function versionsBetween(
  git: ShadowGit,
  { from, to }: { readonly from: string | undefined; readonly to: string | undefined },
  maxBytes: number,
): ChangedVersions[] | undefined {
  const trees = [from ?? EMPTY_TREE, to ?? EMPTY_TREE];
  if (trees[0] === trees[1]) return [];
  const args = ['diff-tree', '-r', '-t', '-M', '--no-rename-empty', '--raw', '--no-abbrev', '-z', ...trees];
  const records = recordsOf((git.run(args) as Buffer).toString('latin1'));
  const contents = contentsOf(git, records, maxBytes);
  if (contents === undefined) return undefined;
  const versionOf = ({ mode, hash }: Side): Version => ({
    mode: mode as Version['mode'],
    content: contents.get(hash) ?? Buffer.alloc(0),
  });
  return records.map(({ path, from: old, before, after }) => ({
    path,
    ...(old !== undefined && { from: old }),
    ...(before.mode !== NONE && { before: versionOf(before) }),
    ...(after.mode !== NONE && { after: versionOf(after) }),
  }));
}

/** From `--raw -z` (git-diff-tree(1)): `:MODE MODE HASH HASH STATUS`, a path, and of a file that moved a second one. */
function recordsOf(raw: string): Record[] {
  const parts = raw.split('\0');
  const records: Record[] = [];
  for (let at = 0; parts[at]?.startsWith(':'); at += 2) {
    const [mode = '', newMode = '', hash = '', newHash = '', status = ''] = (parts[at] ?? '')
      .slice(1)
      .split(' ');
    const moved = status.startsWith('R') ? parts[++at] : undefined;
    const [before, after] = [
      { mode, hash },
      { mode: newMode, hash: newHash },
    ];
    if (before.mode === DIRECTORY && after.mode === DIRECTORY) {
      // One in which something changed says nothing by itself; one that moved is one that is gone, and one that is new.
      const nothing = { mode: NONE, hash: '' };
      if (moved !== undefined) {
        records.push({ path: moved, before, after: nothing });
        records.push({ path: parts[at + 1] ?? '', before: nothing, after });
      }
      continue;
    }
    records.push({ path: parts[at + 1] ?? '', ...(moved !== undefined && { from: moved }), before, after });
  }
  return records;
}

function contentsOf(
  git: ShadowGit,
  records: readonly Record[],
  maxBytes: number,
): Map<string, Buffer> | undefined {
  const sides = records.flatMap(({ before, after }) => [before, after]);
  const files = sides.filter(({ mode }) => mode !== DIRECTORY && mode !== NONE);
  const sizes = git.sizes([...new Set(files.map(({ hash }) => hash))]);
  const total = files.reduce((sum, { hash }) => sum + (sizes.get(hash) ?? 0), 0);
  if (total > maxBytes) return undefined;
  const contents = new Map<string, Buffer>();
  git.blobs([...sizes.keys()], (hash, content) => contents.set(hash, content ?? git.blob(hash)));
  return contents;
}
