/**
 * The directory of an embedded Capybara: whose it is, who uses it now, and where its server listens.
 */
import { randomUUID } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { messageOf, UserError } from '../core/errors.ts';

/**
 * Creates the directory (mode 0700) where it is absent, and checks that this user owns it and may write in it.
 *
 * @throws UserError `data_dir`, exit code 3.
 */
export function openDataDir(path: string): void {
  refuseFile(path);
  try {
    makeDirectories(path);
  } catch (error) {
    throw dataDirError(path, `cannot be created (${messageOf(error)})`);
  }
  checkOwner(path);
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    throw dataDirError(path, 'is not writable');
  }
}

function refuseFile(path: string): void {
  if (existsSync(path) && !statSync(path).isDirectory()) throw dataDirError(path, 'is not a directory');
}

/**
 * Step by step: where the system has no such place to make (below /proc), Node's own `recursive` tries the same for ever.
 */
function makeDirectories(path: string): void {
  if (existsSync(path)) {
    if (statSync(path).isDirectory()) return;
    throw new Error(`${path} is not a directory`);
  }
  makeDirectories(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function checkOwner(path: string): void {
  const uid = process.getuid?.();
  const owner = statSync(path).uid;
  if (uid === undefined || owner === uid) return;
  throw dataDirError(path, `belongs to another user (uid ${owner}, this process is uid ${uid})`);
}

/** One sentence about a data directory that cannot be used. */
export function dataDirError(
  path: string,
  found: string,
  remedy = 'use one of your own with CAPYBARA_DATA_DIR',
): UserError {
  return new UserError('data_dir', `The data directory ${path} ${found}: ${remedy}.`, 3);
}

/** Held until `release`, or until this process ends, however it ends. */
export interface DataDirLock {
  release(): void;
}

/**
 * Takes the directory for this process; `undefined` where another live process holds it. The lock is the kernel's, on
 * the empty file `lock` (SQLite knows how to ask for it on every system), so none is ever stale.
 */
export function lockDataDir(path: string): DataDirLock | undefined {
  const { DatabaseSync } = loadSqlite();
  try {
    const file = new DatabaseSync(join(path, 'lock'));
    file.exec('BEGIN EXCLUSIVE');
    return { release: () => file.close() };
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw dataDirError(path, `cannot be locked (${messageOf(error)})`, 'check the file "lock" in it');
  }
}

const SQLITE_BUSY = 5;

/** Without the warning that it is experimental: what is used here is older than Node. */
function loadSqlite(): typeof import('node:sqlite') {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return process.getBuiltinModule('node:sqlite');
  } finally {
    process.emitWarning = emitWarning;
  }
}

const ServerInfo = z.object({
  url: z.url(),
  pid: z.int().positive(),
  /** Absolute path of the file with the key for this user's CLI. */
  apiKeyFile: z.string(),
  /** How it confines commands; not said by versions that never did. */
  sandbox: z.enum(['bubblewrap', 'runtime', 'docker', 'none']).optional(),
  /** Whether it contacts loopback and private addresses alone; not said by versions that were not asked. */
  offline: z.boolean().optional(),
});

/** The embedded server that runs on a data directory: `server.json`, mode 0600. */
export type ServerInfo = z.infer<typeof ServerInfo>;

/** Replaces the file in one step: a reader sees the old or the new one, whole. */
export function writeServerInfo(path: string, info: ServerInfo): void {
  const unfinished = join(path, `server.json.${randomUUID()}`);
  writeFileSync(unfinished, `${JSON.stringify(info)}\n`, { mode: 0o600, flush: true });
  renameSync(unfinished, join(path, 'server.json'));
}

/**
 * `undefined` where no server wrote one. Its writer may be dead: whoever holds the lock is alive.
 *
 * @throws UserError `data_dir` where the file is not what `writeServerInfo` writes.
 */
export function readServerInfo(path: string): ServerInfo | undefined {
  let text: string;
  refuseFile(path);
  try {
    text = readFileSync(join(path, 'server.json'), 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw dataDirError(path, `has a server.json that cannot be read (${messageOf(error)})`);
  }
  try {
    return ServerInfo.parse(JSON.parse(text));
  } catch {
    throw dataDirError(path, 'has a damaged server.json', 'delete that file');
  }
}

export function removeServerInfo(path: string): void {
  rmSync(join(path, 'server.json'), { force: true });
}
