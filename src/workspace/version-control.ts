import { execFile } from 'node:child_process';
import { lstat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../core/errors.ts';
import { visible } from './file-tree.ts';
import type { Workspace } from './workspace.ts';

const run = promisify(execFile);

const GIT_TIMEOUT_MS = 5_000;
const GIT_OUTPUT_LIMIT = 8 * 1024 * 1024;
const ERROR_TEXT_LIMIT = 300;
const SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin';

/** What marks the root of a working copy, the most specific first: jj often lives beside a git directory. */
const MARKERS = [
  ['.jj', 'jj'],
  ['.git', 'git'],
  ['.hg', 'hg'],
  ['.svn', 'svn'],
  ['.fslckout', 'fossil'],
  ['_FOSSIL_', 'fossil'],
] as const;

export interface GitOptions {
  /** Where git is looked for: a PATH. */
  readonly searchPath?: string | undefined;
  /** For each of the two git commands; default 5,000. */
  readonly timeoutMs?: number | undefined;
}

interface GitCall {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly timeoutMs: number;
}

/** Which version control the workspace is under, in a line: for git with branch and counts of changes. Never throws. */
export async function versionControl(workspace: Workspace, options: GitOptions = {}): Promise<string> {
  const found = await workingCopy(workspace);
  if (found === undefined) return 'none';
  const place = found.directory === workspace.root ? '' : ` (its root is ${visible(found.directory)})`;
  if (found.name !== 'git') return `${found.name}${place}`;
  return `git${place}, ${await gitState(workspace, options)}`;
}

/** The nearest marker, upwards from the root; a managed workspace is no part of what lies around it. */
async function workingCopy({
  root,
  kind,
}: Workspace): Promise<{ name: string; directory: string } | undefined> {
  for (let directory = root; ; directory = dirname(directory)) {
    for (const [marker, name] of MARKERS) {
      if (await exists(join(directory, marker))) return { name, directory };
    }
    if (kind !== 'local' || directory === dirname(directory)) return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function gitState({ root }: Workspace, options: GitOptions): Promise<string> {
  const { searchPath = SEARCH_PATH, timeoutMs = GIT_TIMEOUT_MS } = options;
  const call: GitCall = { cwd: root, env: gitEnvironment(searchPath), timeoutMs };
  try {
    const env = { ...call.env, ...(await filterOverrides(call)) };
    const args = [
      'status',
      '--porcelain=v2',
      '--branch',
      '-z',
      '--untracked-files=normal',
      '--ignore-submodules=all',
    ];
    return describe(await git(args, { ...call, env }));
  } catch (error) {
    return `its state could not be read: ${visible(reason(error, { searchPath, timeoutMs }))}`;
  }
}

/**
 * Git runs what a repository's configuration names, and an agent can write that configuration: hooks, a file system monitor,
 * filters, the transports of a lazy fetch. None may run here, outside the sandbox.
 */
async function git(args: readonly string[], { cwd, env, timeoutMs }: GitCall): Promise<string> {
  const safe = ['-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', '--no-pager'];
  const options = {
    cwd,
    env,
    timeout: timeoutMs,
    maxBuffer: GIT_OUTPUT_LIMIT,
    killSignal: 'SIGKILL',
  } as const;
  return (await run('git', [...safe, ...args], options)).stdout;
}

function gitEnvironment(searchPath: string): Record<string, string> {
  return {
    PATH: searchPath,
    HOME: homedir(),
    LC_ALL: 'C',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_TERMINAL_PROMPT: '0',
    GIT_NO_LAZY_FETCH: '1',
    GIT_ALLOW_PROTOCOL: 'none',
  };
}

/** Every configured filter, set to nothing. Its name may hold any character, which `-c` does not take but this does. */
async function filterOverrides(call: GitCall): Promise<Record<string, string>> {
  const names = (await git(['config', '--list', '--name-only', '-z'], call)).split('\0');
  const commands = [...new Set(names.filter((name) => /^filter\..*\.(clean|process|smudge)$/s.test(name)))];
  const required = commands.map((name) => name.replace(/\.[a-z]+$/, '.required'));
  const settings = [...commands.map((name) => [name, '']), ...required.map((name) => [name, 'false'])];
  const variables = settings.flatMap(([name, value], index) => [
    [`GIT_CONFIG_KEY_${index}`, name],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]);
  return { ...Object.fromEntries(variables), GIT_CONFIG_COUNT: `${settings.length}` };
}

/** From `git status --porcelain=v2 --branch -z` (git-status(1)). */
function describe(status: string): string {
  const records = status.split('\0');
  const counts = { changed: 0, untracked: 0, unmerged: 0 };
  let branch = 'unknown';
  for (let index = 0; index < records.length; index++) {
    const record = records[index] ?? '';
    if (record.startsWith('# branch.head ')) branch = record.slice('# branch.head '.length);
    if (record.startsWith('1 ') || record.startsWith('2 ')) counts.changed += 1;
    if (record.startsWith('2 ')) index += 1; // a rename is followed by the path it had
    if (record.startsWith('u ')) counts.unmerged += 1;
    if (record.startsWith('? ')) counts.untracked += 1;
  }
  const parts = Object.entries(counts).filter(([, number]) => number > 0);
  const changes = parts.map(([word, number]) => `${number} ${word}`).join(', ');
  return `branch ${visible(branch)}, ${changes === '' ? 'clean' : changes}`;
}

function reason(error: unknown, { searchPath, timeoutMs }: Required<GitOptions>): string {
  const { code, killed, stderr } = error as { code?: unknown; killed?: boolean; stderr?: string };
  if (code === 'ENOENT') return `there is no git command in ${searchPath}`;
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `more than ${GIT_OUTPUT_LIMIT} bytes of changes`;
  if (killed === true) return `git took longer than ${timeoutMs} ms`;
  return (stderr?.trim() || messageOf(error)).slice(0, ERROR_TEXT_LIMIT);
}
