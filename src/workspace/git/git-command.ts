/**
 * Git, run by the worker on a stranger's repository: with an environment and settings of its own, limits on memory and files,
 * and an end with the worker's.
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

/**
 * The process group ends when the pipe on descriptor 3 does, which is when the worker does, however. A file that outgrows the
 * limit (in blocks of 512 bytes) is the pack that comes; memory (in KiB) is what a pack of a few bytes can ask for.
 */
const SCRIPT = `(read -r _; kill -9 0) <&3 >/dev/null 2>&1 &
exec 3<&-
trap '' XFSZ
ulimit -c 0; ulimit -f "$1"
[ "$(uname)" = Linux ] && ulimit -d "$2"
shift 2
exec git "$@"`;

/** What git and its helpers may take of memory, each: several times what the largest file that is allowed needs. */
const MEMORY_BYTES = 4 * 1024 ** 3;
/** Of what it says on its standard error, the end is kept. */
const ERROR_TEXT = 8_192;
/** Of what it prints where nobody reads it as it comes: the list of a remote's refs, which may be ten thousands. */
export const MAX_PRINTED_BYTES = 32 * 1024 ** 2;

export interface GitProgram {
  /** Where git is looked for: a PATH. */
  readonly searchPath: string;
  /** Largest file that it may write, in bytes. */
  readonly fileBytes: number;
}

export interface GitCall {
  readonly args: readonly string[];
  readonly cwd: string;
  /** Protocols that it may use, with colons between them; none where left out. */
  readonly protocols?: string;
  readonly settings?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Takes the output as it comes; what it throws ends the call. */
  readonly read?: (piece: Buffer) => void;
}

export interface GitDone {
  readonly ok: boolean;
  readonly stdout: string;
  /** The end of it. */
  readonly stderr: string;
}

/** Rejects with the signal's reason where that was aborted, and with what `read` threw. */
export async function runGit(program: GitProgram, call: GitCall): Promise<GitDone> {
  call.signal.throwIfAborted();
  const blocks = Math.ceil(program.fileBytes / 512);
  const args = ['-c', SCRIPT, 'git', `${blocks}`, `${MEMORY_BYTES / 1024}`, ...call.args];
  const child = spawn('/bin/sh', args, {
    cwd: call.cwd,
    env: environmentOf(program, call),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const [, stdout, stderr, life] = child.stdio as unknown as [null, Readable, Readable, Readable];
  // Its helpers end with git itself.
  child.once('exit', () => life.on('error', () => undefined).destroy());
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const end = (reason: unknown) => {
    failed.reject(reason);
    killGroup(child.pid);
  };
  const onAbort = () => end(call.signal.reason);
  call.signal.addEventListener('abort', onAbort, { once: true });
  try {
    const printed = collected(stdout, call.read, end);
    const said = lastOf(stderr);
    const closed = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const status = await Promise.race([closed, failed.promise]);
    return { ok: status === 0, stdout: printed(), stderr: said() };
  } finally {
    call.signal.removeEventListener('abort', onAbort);
    life.destroy();
    killGroup(child.pid);
  }
}

/** With all its helpers, in the moment: there is nothing in it to be saved. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}

function collected(stream: Readable, read: GitCall['read'], end: (reason: unknown) => void): () => string {
  const pieces: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (piece: Buffer) => {
    bytes += piece.length;
    try {
      if (read !== undefined) read(piece);
      else if (bytes > MAX_PRINTED_BYTES) throw new TooMuchPrinted();
      else pieces.push(piece);
    } catch (error) {
      end(error);
    }
  });
  return () => Buffer.concat(pieces).toString();
}

/** More than `MAX_PRINTED_BYTES`. */
export class TooMuchPrinted extends Error {}

function lastOf(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (piece: string) => {
    text = (text + piece).slice(-ERROR_TEXT);
  });
  return () => text;
}

/** Nothing of a user's or the host's own settings counts, nothing asks, and nothing that a repository brings is run. */
const SETTINGS: Readonly<Record<string, string>> = {
  'protocol.version': '2',
  // Kept as the packs that come: one file to be limited, rather than as many as the sender likes.
  'fetch.unpackLimit': '1',
  'fetch.recurseSubmodules': 'false',
  'submodule.recurse': 'false',
  'gc.auto': '0',
  'maintenance.auto': 'false',
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'core.attributesFile': '/dev/null',
  'core.excludesFile': '/dev/null',
  'core.logAllRefUpdates': 'false',
  'core.protectHFS': 'true',
  'core.protectNTFS': 'true',
  'credential.helper': '',
  'init.defaultBranch': 'main',
  'safe.directory': '*',
};

function environmentOf({ searchPath }: GitProgram, call: GitCall): Record<string, string> {
  const settings = Object.entries({ ...SETTINGS, ...call.settings });
  const variables = settings.flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${index}`, key],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]);
  return {
    PATH: searchPath,
    HOME: '/dev/null',
    XDG_CONFIG_HOME: '/dev/null',
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_SYSTEM: '/dev/null',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: call.protocols ?? 'none',
    GIT_CONFIG_COUNT: `${settings.length}`,
    ...Object.fromEntries(variables),
    ...call.environment,
  };
}
