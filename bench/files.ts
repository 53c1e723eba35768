/** What the files of a session cost: snapshots by the size of the tree, a cold host, searches beside plain ripgrep. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { rgPath } from '@vscode/ripgrep';
import { globTool } from '../src/tools/glob.ts';
import { grepTool } from '../src/tools/grep.ts';
import type { Tool, ToolContext } from '../src/tools/tool.ts';
import { openSnapshots } from '../src/workspace/snapshots/open-snapshots.ts';
import type { WorkspaceFiles } from '../src/workspace/snapshots/snapshots.ts';
import { quantile } from './statistics.ts';
import { type Row, spread } from './under.ts';

const FILES_PER_DIRECTORY = 40;
const LINES = 60;
const HERE = { backend: 'files' };

export async function measureFiles(
  place: string,
  sizes: { readonly files: readonly number[]; readonly times: number },
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const count of sizes.files) {
    const tree = join(place, `tree-${count}`);
    growTree(tree, count);
    rows.push(
      ...(await snapshotRows(join(place, `snapshots-${count}`), { tree, count, times: sizes.times })),
    );
    rows.push(...(await searchRows({ tree, count, times: sizes.times })));
    rmSync(tree, { recursive: true });
  }
  return rows;
}

/** A repository with a commit of all its files, of about 2 kB each, its objects in a pack as a clone has them. */
export function growTree(tree: string, count: number, more: (tree: string) => void = () => {}): void {
  for (let index = 0; index < count; index += 1) {
    const path = pathOf(tree, index);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, textOf(index, 0));
  }
  more(tree);
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'gc.auto=0', '-C', tree, ...args], { stdio: 'ignore' });
  git('init', '--quiet', '--initial-branch', 'main');
  git('add', '.');
  git('-c', 'user.name=bench', '-c', 'user.email=bench@localhost', 'commit', '--quiet', '--message', 'All');
  git('gc', '--quiet');
}

export function pathOf(tree: string, index: number): string {
  return join(tree, 'src', `part-${Math.floor(index / FILES_PER_DIRECTORY)}`, `file-${index}.ts`);
}

export function textOf(file: number, version: number): string {
  const lines = Array.from(
    { length: LINES },
    (_, line) => `export const value${line} = ${file * LINES + line};`,
  );
  return `${lines.join('\n')}\n// version ${version}\n`;
}

async function snapshotRows(
  directory: string,
  { tree, count, times }: { readonly tree: string; readonly count: number; readonly times: number },
): Promise<Row[]> {
  const shared = join(directory, 'shared');
  const files: WorkspaceFiles = { roots: [{ name: 'main', path: realpathSync(tree), writable: true }] };
  const here = openSnapshots({ directory: join(directory, 'here'), shared });
  const store = here.of('bench');
  try {
    const first = await timed(() => store.take(files));
    let previous = (await store.take(files)).id;
    const still = await repeat(times, () => store.take(files, { previous }));
    const changed = await repeat(times, async (round) => {
      writeFileSync(pathOf(tree, (round * 7) % count), textOf(round, round + 1));
      previous = (await store.take(files, { previous })).id;
    });
    await store.push(previous);
    return [
      { ...HERE, what: `first snapshot of ${count} files`, unit: 'ms', n: 1, p50: first },
      spread(`snapshot of ${count} files, nothing changed`, HERE, still),
      spread(`snapshot of ${count} files, one changed`, HERE, changed),
      await coldRow(join(directory, 'there'), { shared, snapshot: previous, count }),
    ];
  } finally {
    await here.close();
  }
}

/** A host that has nothing of the session, brought to its newest snapshot over what hosts share. */
async function coldRow(
  directory: string,
  { shared, snapshot, count }: { readonly shared: string; readonly snapshot: string; readonly count: number },
): Promise<Row> {
  const there = openSnapshots({ directory: join(directory, 'store'), shared });
  const path = join(directory, 'files');
  mkdirSync(path, { recursive: true });
  try {
    const p50 = await timed(async () => {
      await there.of('bench').fetch(snapshot);
      await there.of('bench').restore({ roots: [{ name: 'main', path, writable: true }] }, snapshot);
    });
    return { ...HERE, what: `${count} files on a cold host`, unit: 'ms', n: 1, p50 };
  } finally {
    await there.close();
  }
}

/** The tools beside ripgrep alone, in turns. */
async function searchRows(of: {
  readonly tree: string;
  readonly count: number;
  readonly times: number;
}): Promise<Row[]> {
  const root = realpathSync(of.tree);
  const workspace = {
    id: 'bench',
    kind: 'empty',
    root,
    shown: root,
    scratch: root,
    resolve: async () => root,
  };
  // Nothing runs in the background: the search is this process's own.
  const beside = { sandbox: { confined: true }, background: { isRunning: false } };
  const context = { workspace, ...beside, signal: new AbortController().signal } as unknown as ToolContext;
  const pairs = [
    {
      name: 'grep',
      tool: () => call(grepTool, { pattern: 'value7 = 1[0-9]+7;', path: '.' }, context),
      plain: () => ripgrep(root, ['--hidden', '--line-number', 'value7 = 1[0-9]+7;', '.']),
    },
    {
      name: 'glob',
      tool: () => call(globTool, { pattern: '**/file-*7.ts', path: '.' }, context),
      plain: () => ripgrep(root, ['--hidden', '--files', '--glob', '**/file-*7.ts']),
    },
  ];
  const rows: Row[] = [];
  for (const { name, tool, plain } of pairs) {
    const times: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
    for (let round = 0; round < of.times; round += 1) {
      times.theirs.push(await timed(plain));
      times.ours.push(await timed(tool));
    }
    rows.push(
      spread(`${name} over ${of.count} files`, HERE, times.ours),
      spread(`the same by rg alone`, HERE, times.theirs),
    );
  }
  return rows;
}

async function call(tool: Tool, args: object, context: ToolContext): Promise<void> {
  const { text, isError } = await tool.execute(args as never, context);
  if (isError || text.startsWith('(no')) throw new Error(`${tool.name} of the bench found nothing: ${text}`);
}

async function ripgrep(cwd: string, args: readonly string[]): Promise<void> {
  const child = spawn(rgPath, args, { cwd, env: {}, stdio: ['ignore', 'pipe', 'inherit'] });
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(child, 'close');
  if (bytes === 0) throw new Error('rg of the bench found nothing');
}

async function repeat(times: number, act: (round: number) => Promise<unknown>): Promise<number[]> {
  const took: number[] = [];
  for (let round = 0; round < times; round += 1) took.push(await timed(() => act(round)));
  return took;
}

export async function timed(act: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await act();
  return performance.now() - began;
}

/** For whoever compares one with another: how much more the first takes, at the median. */
export function more(
  what: string,
  { backend }: Pick<Row, 'backend'>,
  [first, second]: readonly [readonly number[], readonly number[]],
): Row {
  return { backend, what, unit: 'ms', n: first.length, p50: quantile(first, 0.5) - quantile(second, 0.5) };
}
