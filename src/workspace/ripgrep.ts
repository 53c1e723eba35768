import { spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { rgPath } from '@vscode/ripgrep';
import type { Workspace } from './workspace.ts';

const ERROR_TEXT_LIMIT = 2_000;
/** A record longer than this (a name, a matching line) is no text that anyone reads: what is beyond is dropped. */
const RECORD_LIMIT = 64 * 1024;
const IGNORE_FILES = ['.gitignore', '.ignore', '.rgignore'];
const VERSION_CONTROL_DIRECTORIES = ['.git', '.hg', '.svn', '.jj'];

export interface Search {
  readonly workspace: Workspace;
  /** Where to look: a real path, the root or below it. */
  readonly within: string;
  /** What to search for, as arguments of ripgrep without the paths. */
  readonly args: readonly string[];
  /** Ends a record: a newline, or NUL with `--null` and `--files`. */
  readonly separator: '\n' | '\0';
  /** Called with each record, paths relative to the root; false stops the search. */
  readonly onRecord: (record: string) => boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** How the search ended. `failed` carries what ripgrep said, which may come after good records. */
export type SearchEnd =
  | { readonly type: 'done' }
  | { readonly type: 'stopped' }
  | { readonly type: 'timeout' }
  | { readonly type: 'aborted' }
  | { readonly type: 'failed'; readonly message: string };

/** Ripgrep as it is called for a search, in the workspace's root. */
export async function ripgrepCommand(search: Search): Promise<readonly string[]> {
  return [rgPath, ...(await commonArgs(search)), ...search.args, '--', target(search)];
}

/**
 * Runs ripgrep over the workspace: hidden files too, ignored files and the insides of version control not. Only the ignore files
 * of the workspace count: one above the root that ignores the whole workspace would hide every file.
 */
export async function runRipgrep(search: Search): Promise<SearchEnd> {
  if (search.signal.aborted) return { type: 'aborted' };
  const [program = '', ...args] = await ripgrepCommand(search);
  // An empty environment: nothing of the worker's, and no configuration file from outside.
  const child = spawn(program, args, {
    cwd: search.workspace.root,
    env: {},
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { promise, resolve, reject } = Promise.withResolvers<SearchEnd>();
  let early: SearchEnd | undefined;
  const stop = (end: SearchEnd) => {
    early ??= end;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => stop({ type: 'timeout' }), search.timeoutMs);
  const onAbort = () => stop({ type: 'aborted' });
  search.signal.addEventListener('abort', onAbort, { once: true });
  const records = recordsOf(search, () => stop({ type: 'stopped' }));
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', records.push);
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(0, ERROR_TEXT_LIMIT);
  });
  child.on('error', reject);
  child.on('close', (code) => {
    if (early === undefined) records.end();
    resolve(early ?? ripgrepEnd(code, errors));
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    search.signal.removeEventListener('abort', onAbort);
  }
}

/** 0: found; 1: nothing found; anything else: an error, though there may be records as well. */
export function ripgrepEnd(code: number | null, errors: string): SearchEnd {
  if (code === 0 || code === 1) return { type: 'done' };
  return { type: 'failed', message: errors.trim() || `ripgrep ended with code ${code}` };
}

function target({ workspace, within }: Search): string {
  return `.${sep}${relative(workspace.root, within)}`;
}

function withoutDot(record: string): string {
  return record.startsWith(`.${sep}`) ? record.slice(2) : record;
}

async function commonArgs({ workspace, within }: Search): Promise<string[]> {
  const ignoreFiles = await ignoreFilesAbove(workspace.root, within);
  return [
    '--no-config',
    '--color=never',
    '--hidden',
    '--no-require-git',
    '--no-ignore-parent',
    ...ignoreFiles.map((file) => `--ignore-file=${file}`),
    ...VERSION_CONTROL_DIRECTORIES.map((name) => `--glob=!${name}`),
  ];
}

/** The ignore files from the root down to what is searched, which `--no-ignore-parent` leaves out. */
async function ignoreFilesAbove(root: string, within: string): Promise<string[]> {
  const candidates: string[] = [];
  for (let at = within; at !== root && at.startsWith(root); at = dirname(at)) {
    candidates.unshift(...IGNORE_FILES.map((name) => join(dirname(at), name)));
  }
  candidates.unshift(join(root, '.git', 'info', 'exclude'));
  const found = await Promise.all(candidates.map(exists));
  return candidates.filter((_, index) => found[index]);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Takes what ripgrep prints; `stop` is called once, when the search wants no more. */
export function recordsOf({ separator, onRecord }: Search, stop: () => void) {
  let isOver = false;
  return splitter(separator, (record) => {
    if (isOver || onRecord(withoutDot(record))) return;
    isOver = true;
    stop();
  });
}

function splitter(separator: string, onRecord: (record: string) => void) {
  let rest = '';
  return {
    push(text: string): void {
      const records = (rest + text).split(separator);
      rest = (records.pop() ?? '').slice(0, RECORD_LIMIT);
      for (const record of records) onRecord(record);
    },
    end(): void {
      if (rest !== '') onRecord(rest);
    },
  };
}
