/** What it costs to take in, one after the other, what children made of forks of a repository, beside `git merge` of the same. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Checkout, openCheckout } from '../src/workspace/checkouts.ts';
import { openSnapshots } from '../src/workspace/snapshots/open-snapshots.ts';
import type { SnapshotStore, Snapshots } from '../src/workspace/snapshots/snapshots.ts';
import { growTree, pathOf, textOf, timed } from './files.ts';
import { type Row, spread } from './under.ts';

const HERE = { backend: 'files' };
const LINEAGE = 'bench';
const SHARED = 'shared.ts';
/** Between what two children change of one file: git joins what lies nearer. */
const LINES_APART = 4;

export interface MergeSizes {
  readonly files: number;
  readonly children: number;
  /** Files that each child changes alone, beside the one that all of them change. */
  readonly changes: number;
}

export async function measureMerge(place: string, sizes: MergeSizes): Promise<Row[]> {
  const directory = realpathSync(place);
  const tree = join(directory, 'merge-tree');
  growTree(tree, sizes.files, (root) => writeFileSync(join(root, SHARED), sharedText(sizes)));
  const snapshots = openSnapshots({ directory: join(directory, 'merge-store') });
  try {
    const parent = await open('parent', directory, { snapshots, head: null });
    cpSync(tree, parent.root, { recursive: true });
    const { snapshot: base } = await parent.record();
    const children = await childrenOf(directory, { snapshots, base, sizes });
    return await compare({ parent, tree, base, children, store: snapshots.of(LINEAGE) }, sizes);
  } finally {
    await snapshots.close();
    rmSync(tree, { recursive: true });
  }
}

function open(
  id: string,
  directory: string,
  { snapshots, head }: { readonly snapshots: Snapshots; readonly head: string | null },
): Promise<Checkout> {
  const host = {
    ...{ dataDir: join(directory, 'merge-data'), snapshots, boot: 'bench', isGone: () => false },
    self: { host: 'bench', pid: process.pid, pidStartedAt: '0' },
    onError: (error: unknown) => {
      throw error;
    },
  };
  mkdirSync(host.dataDir, { recursive: true });
  return openCheckout({ id, kind: 'empty', path: null, lineage: LINEAGE, head }, host);
}

/** The last snapshot of each child. */
async function childrenOf(
  directory: string,
  { snapshots, base, sizes }: { snapshots: Snapshots; base: string; sizes: MergeSizes },
): Promise<string[]> {
  const made: string[] = [];
  for (let child = 0; child < sizes.children; child += 1) {
    const checkout = await open('child', directory, { snapshots, head: base });
    change(checkout.root, child, sizes);
    made.push((await checkout.record()).snapshot);
    checkout.release();
  }
  return made;
}

function change(root: string, child: number, sizes: MergeSizes): void {
  for (let file = 0; file < sizes.changes; file += 1) {
    const index = (child * sizes.changes + file) % sizes.files;
    writeFileSync(pathOf(root, index), textOf(index, child + 1));
  }
  writeFileSync(join(root, SHARED), sharedText(sizes, child));
}

function sharedText({ children }: MergeSizes, changedBy?: number): string {
  const line = (index: number) =>
    `export const line${index} = ${index === (changedBy ?? -1) * LINES_APART ? 'changed' : index};`;
  return `${Array.from({ length: children * LINES_APART }, (_, index) => line(index)).join('\n')}\n`;
}

interface Compared {
  readonly parent: Checkout;
  /** A repository with the same commit. */
  readonly tree: string;
  readonly base: string;
  readonly children: readonly string[];
  readonly store: SnapshotStore;
}

async function compare({ parent, tree, base, children, store }: Compared, sizes: MergeSizes): Promise<Row[]> {
  branches(tree, sizes);
  const times = { merge: [] as number[], move: [] as number[], git: [] as number[] };
  let ours = base;
  for (const [child, theirs] of children.entries()) {
    let merged = '';
    times.merge.push(
      await timed(async () => {
        const { id, conflicts } = await store.merge({ base, ours, theirs, label: `child-${child}` });
        if (conflicts.length > 0)
          throw new Error(`the bench's children collide: ${JSON.stringify(conflicts)}`);
        merged = id;
      }),
    );
    times.move.push(await timed(async () => void (await parent.moveTo(merged))));
    times.git.push(await timed(async () => git(tree, 'merge', '--quiet', '--no-edit', `child-${child}`)));
    ours = merged;
  }
  const whole = times.merge.map((time, child) => time + (times.move[child] ?? 0));
  const what = `a child's ${sizes.changes + 1} files into ${sizes.files}`;
  return [
    spread(`${what}: merge and move`, HERE, whole),
    spread('of it the merge', HERE, times.merge),
    spread('of it the move of the files', HERE, times.move),
    spread('the same by git merge', HERE, times.git),
    total(`${sizes.children} children one after the other`, whole),
    total('the same by git merge', times.git),
  ];
}

function total(what: string, times: readonly number[]): Row {
  return { ...HERE, what, unit: 'ms', n: 1, p50: times.reduce((sum, time) => sum + time, 0) };
}

function branches(tree: string, sizes: MergeSizes): void {
  for (let child = 0; child < sizes.children; child += 1) {
    git(tree, 'checkout', '--quiet', '-b', `child-${child}`, 'main');
    change(tree, child, sizes);
    git(tree, 'commit', '--quiet', '--all', '--message', `Child ${child}`);
  }
  git(tree, 'checkout', '--quiet', 'main');
}

function git(tree: string, ...args: string[]): void {
  const identity = ['-c', 'user.name=bench', '-c', 'user.email=bench@localhost', '-c', 'gc.auto=0'];
  execFileSync('git', ['-C', tree, ...identity, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
}
