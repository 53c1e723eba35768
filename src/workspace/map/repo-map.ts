/** A map of a project: what its most important files define, within a budget. Made by a process of its own with limits: `map-child.ts`. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Workspace } from '../workspace.ts';
import { grammarOf } from './grammars.ts';

export const MAP_LIMITS = {
  /** Files that are read: of more, those nearest to the root. */
  files: 3_000,
  /** Larger ones are left out. */
  fileBytes: 256 * 1024,
  /** Parsing of one, and all of it. */
  fileMs: 500,
  ms: 5_000,
  /** How much longer the process may take to end by itself. */
  graceMs: 2_000,
  heapMib: 512,
  /** Of what a person said. */
  focus: 10_000,
} as const;

export type MapLimits = { readonly [name in keyof typeof MAP_LIMITS]: number };

export interface MapQuestion extends Pick<MapLimits, 'fileBytes' | 'fileMs' | 'ms'> {
  readonly root: string;
  readonly paths: readonly string[];
  readonly tokens: number;
  readonly focus: string;
  /** Files and directories that are shown; all where left out. */
  readonly shown?: readonly string[] | undefined;
}

export type MapAnswer =
  | { readonly hash: string }
  /** `files`: as many of the `of` that were read were parsed. */
  | { readonly map: string; readonly files: number; readonly of: number };

export interface MapAsked {
  readonly tokens: number;
  /** In a person's words, what the work is about. */
  readonly focus?: string;
  readonly shown?: readonly string[];
  readonly signal?: AbortSignal;
  readonly limits?: Partial<MapLimits>;
}

/** Maps that are remembered, by what the files and the question were. */
export const REMEMBERED_MAPS = 100;
const known = new Map<string, string>();

/** Undefined: nothing to map, or it could not be made in time. Never throws. `paths`: the workspace's files, from its root. */
export async function repoMap(
  { root }: Pick<Workspace, 'root'>,
  paths: readonly string[],
  { tokens, focus = '', shown, signal, limits }: MapAsked,
): Promise<string | undefined> {
  const most = { ...MAP_LIMITS, ...limits };
  const readable = paths.filter((path) => grammarOf(path) !== undefined);
  if (readable.length === 0 || tokens === 0 || signal?.aborted) return undefined;
  const { fileBytes, fileMs, ms } = most;
  const nearest = byDepth(readable).slice(0, most.files);
  const question = {
    root,
    paths: nearest,
    tokens,
    focus: focus.slice(0, most.focus),
    shown,
    fileBytes,
    fileMs,
    ms,
  };
  const map = await ask(question, most, signal);
  if (map === undefined || map === '' || nearest.length === readable.length) return map || undefined;
  return `${map}\n(of the ${nearest.length} of ${readable.length} source files that are nearest to the root)`;
}

function byDepth(paths: readonly string[]): string[] {
  const depth = (path: string) => path.split('/').length;
  return paths
    .map((path) => ({ path, depth: depth(path) }))
    .sort((a, b) => a.depth - b.depth || (a.path < b.path ? -1 : 1))
    .map(({ path }) => path);
}

async function ask(
  question: MapQuestion,
  most: MapLimits,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const child = spawn(process.execPath, argumentsFor(most), { env: {}, stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = Promise.withResolvers<void>();
  child.once('close', () => ended.resolve());
  child.once('error', () => ended.resolve());
  const stop = () => child.kill('SIGKILL');
  const timer = setTimeout(stop, most.ms + most.graceMs);
  signal?.addEventListener('abort', stop, { once: true });
  // It may be gone before it has read all.
  child.stdin.on('error', () => {}).end(JSON.stringify(question));
  try {
    return await answerOf(question, child.stdout);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    stop();
    await ended.promise;
  }
}

async function answerOf(question: MapQuestion, output: NodeJS.ReadableStream): Promise<string | undefined> {
  const { tokens, focus, shown } = question;
  let key = '';
  for await (const line of createInterface({ input: output })) {
    const answer: MapAnswer = JSON.parse(line);
    if ('map' in answer) return answer.files < answer.of ? answer.map : remembered(key, answer.map);
    key = createHash('sha256')
      .update(JSON.stringify([answer.hash, tokens, focus, shown]))
      .digest('hex');
    const map = known.get(key);
    if (map !== undefined) return remembered(key, map);
  }
  return undefined;
}

/** As the newest; the oldest goes where there are too many. Only what is of all files. */
function remembered(key: string, map: string): string {
  known.delete(key);
  known.set(key, map);
  const [oldest] = known.keys();
  if (known.size > REMEMBERED_MAPS && oldest !== undefined) known.delete(oldest);
  return map;
}

function argumentsFor({ heapMib }: MapLimits): string[] {
  const script = fileURLToPath(new URL(`./map-child${extname(import.meta.url)}`, import.meta.url));
  const node = ['--permission', '--allow-fs-read=*', '--no-warnings', `--max-old-space-size=${heapMib}`];
  return [...node, script];
}
