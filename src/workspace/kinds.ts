import { realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { messageOf, UserError } from '../core/errors.ts';
import type { Beside, Source } from '../core/workspace.ts';
import { isWithin, resolveInside } from './paths.ts';
import type { Workspace } from './workspace.ts';

export interface WorkspaceHost {
  /** Capybara's own directory on this machine, absolute. */
  readonly dataDir: string;
  /** Whom new directories are given to, where this process is root: files in them belong to whom their directory does. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/** Directories that belong to the system as a whole. What is below them may well be a project. */
const SYSTEM_DIRECTORIES = new Set(
  [
    '/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var',
    '/usr/bin /usr/include /usr/lib /usr/lib32 /usr/lib64 /usr/libexec /usr/local /usr/local/bin /usr/sbin /usr/share /usr/src',
    '/var/cache /var/lib /var/log /var/run /var/spool /var/tmp',
    '/Applications /Library /System /Users /Volumes /private /private/etc /private/tmp /private/var',
  ].flatMap((line) => line.split(' ')),
);
const KERNEL_DIRECTORIES = ['/proc', '/sys'];
const HOMES = ['/home', '/Users'];

/** Opens a directory of this machine. Throws `UserError` (`bad_workspace`) where it cannot be used. */
export async function openLocal(
  row: { readonly id: string; readonly path: string | null; readonly source?: Source | null },
  host: WorkspaceHost,
): Promise<Workspace> {
  const root = await checkLocalPath(row.path ?? '', host);
  const { source } = row;
  const beside = source && 'beside' in source ? await checkBeside(root, source.beside, host) : undefined;
  const also = beside?.map(({ path }) => path);
  refuseMoved(beside, source);
  const resolve = (path: string) => resolveInside(root, path, { also });
  return { id: row.id, kind: 'local', root, shown: root, scratch: scratchOf(row.id, host), beside, resolve };
}

/** Their real paths. Throws `UserError` (`bad_workspace`) where one cannot be used, or does not lie apart from the others. */
export async function checkBeside(
  root: string,
  beside: readonly Beside[],
  host: WorkspaceHost,
): Promise<readonly Beside[]> {
  const found = await Promise.all(
    beside.map(async ({ name, path }) => ({ name, path: await checkLocalPath(path, host) })),
  );
  const all = [{ name: 'workspace', path: root }, ...found];
  for (const [index, one] of all.entries()) {
    const other = all
      .slice(index + 1)
      .find(({ path }) => isWithin(one.path, path) || isWithin(path, one.path));
    if (other === undefined) continue;
    throw bad(
      `The directories ${one.path} and ${other.path} (${other.name}) overlap; name directories that lie apart.`,
    );
  }
  return found;
}

/** What was allowed is what was looked at when the session began. */
function refuseMoved(found: readonly Beside[] = [], source: Source | null | undefined): void {
  const recorded = source && 'beside' in source ? source.beside : [];
  for (const [index, { name, path }] of recorded.entries()) {
    const now = found[index]?.path;
    if (now !== path)
      throw bad(
        `The directory ${name} was ${path} when the session began, and leads to ${now} now; put it back.`,
      );
  }
}

/** Where commands keep what is no part of the work. */
export function scratchOf(id: string, { dataDir }: WorkspaceHost): string {
  return join(dataDir, 'scratch', checkedId(id));
}

/** What Capybara keeps of a workspace on this machine: the files themselves, where they are its own. */
export function directoryOf(id: string, { dataDir }: WorkspaceHost): string {
  return join(dataDir, 'workspaces', checkedId(id));
}

function checkedId(id: string): string {
  if (/^[A-Za-z0-9_-]{1,100}$/.test(id)) return id;
  throw bad(`The workspace id is '${id}', expected 1 to 100 letters, digits, '_' or '-'.`);
}

/**
 * The real path of a directory that an agent may work in. Throws `UserError` (`bad_workspace`) with one sentence where there is
 * no such directory, or it is one that no agent should be let loose in.
 */
export async function checkLocalPath(path: string, host?: WorkspaceHost): Promise<string> {
  if (!isAbsolute(path)) {
    throw bad(`The workspace path is '${path}', expected an absolute path such as /home/me/project.`);
  }
  const root = await existingDirectory(path);
  for (const spelling of [resolve(path), root]) await refuseSystem(spelling);
  if (host !== undefined) await refuseDataDir(root, host.dataDir);
  return root;
}

async function existingDirectory(path: string): Promise<string> {
  try {
    const root = await realpath(path);
    if ((await stat(root)).isDirectory()) return root;
  } catch (error) {
    throw bad(`The workspace ${path} cannot be opened (${messageOf(error)}); give a directory that exists.`);
  }
  throw bad(`The workspace ${path} is not a directory; give the directory that holds the project.`);
}

async function refuseSystem(path: string): Promise<void> {
  if (SYSTEM_DIRECTORIES.has(path) || KERNEL_DIRECTORIES.some((directory) => isWithin(directory, path))) {
    throw bad(`The workspace ${path} is a system directory; give the directory of one project.`);
  }
  if (HOMES.includes(dirname(path)) || path === (await realOf(homedir()))) {
    throw bad(`The workspace ${path} is a home directory; give the directory of one project inside it.`);
  }
}

/** A workspace that holds the data directory would show an agent Capybara's keys and database. */
async function refuseDataDir(root: string, dataDir: string): Promise<void> {
  const own = await realOf(resolve(dataDir));
  if (isWithin(own, root) || isWithin(root, own)) {
    throw bad(`The workspace ${root} overlaps Capybara's own data directory ${own}; keep the two apart.`);
  }
}

/** The real path; the path itself where nothing is there (yet). */
async function realOf(path: string): Promise<string> {
  return realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return path;
    throw error;
  });
}

function bad(message: string): UserError {
  return new UserError('bad_workspace', message);
}
