/**
 * What a command confined by @anthropic-ai/sandbox-runtime may read and change, as its file rules. All of the host is shown read-only
 * but for what is denied here, so that `strict` shows more than in bubblewrap: the system and what is installed beside it.
 *
 * A denied directory never lies in an allowed one: on macOS it would be denied after all that is allowed, with the workspace in it.
 */
import { type Dirent, existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from './sandbox.ts';
import { HIDDEN, type Profile, TOOLCHAINS } from './view.ts';

/** A path as the library takes it: marked, since it reads patterns in others. */
export interface Entry {
  readonly path: string;
  readonly literal: true;
}

export interface FileRules {
  readonly denyRead: readonly Entry[];
  /** Below what is denied. */
  readonly allowRead: readonly Entry[];
  readonly allowWrite: readonly Entry[];
  readonly denyWrite: readonly Entry[];
}

export interface RuntimeView {
  readonly profile: Profile;
  readonly platform: string;
  /** Of the person, absolute and real. */
  readonly home: string;
  /** Directories that no command may see, absolute. */
  readonly hidden: readonly string[];
  /** What every command may read besides, absolute. */
  readonly readable: readonly string[];
}

/** Where macOS keeps what services, and others than this person, have. */
const MAC_HIDDEN = [
  ...['/private/tmp', '/private/var/tmp', '/private/var/folders', '/private/var/root', '/private/var/log'],
  ...[
    '/private/var/db/dslocal',
    '/private/etc/ssh',
    '/private/etc/sudoers.d',
    '/Library/Keychains',
    '/Volumes',
  ],
];
/** Hidden in `strict` besides. */
const ELSEWHERE = ['/srv', '/mnt', '/media', '/var/www'];
/** On macOS it holds the keychains, cookies and letters of a person, beside a few toolchains. */
const LIBRARY = 'Library';
const LIBRARY_TOOLCHAINS = ['Library/Java', 'Library/Python', 'Library/pnpm', 'Library/Android/sdk'];
/** What the library lets every command write, one session as another. */
const SHARED_BY_ALL = ['/tmp/claude', '/private/tmp/claude'];

type Places = Pick<Command, 'writable' | 'readable' | 'around' | 'link' | 'scratch'>;

/** Read anew for each command: of a home only what is there now, and has no dot, is shown. */
export function fileRules(
  { hidden, ...rest }: RuntimeView,
  { writable, readable = [], around, link, scratch }: Places,
): FileRules {
  const view = { ...rest, hidden: realOf(hidden) };
  // A directory that may be read covers what may be written in it: so each thing beside those is named.
  const outer = around === undefined ? [] : readdirSync(around).map((name) => join(around, name));
  const beside = outer.filter((path) => !writable.includes(path) && realpathSync(path) === path);
  const places = [
    ...beside,
    ...writable,
    ...readable,
    ...view.readable,
    scratch,
    ...(link ? [link.path] : []),
  ];
  return {
    denyRead: [...hiddenPlaces(view), ...SHARED_BY_ALL].map(literal),
    allowRead: [...(view.profile === 'local' ? homeWithout(view) : []), ...places].map(literal),
    allowWrite: [...writable, scratch].map(literal),
    denyWrite: [...readable, ...beside, ...SHARED_BY_ALL].map(literal),
  };
}

function hiddenPlaces({ profile, platform, home, hidden }: RuntimeView): string[] {
  const fixed = [
    ...HIDDEN,
    ...(platform === 'darwin' ? MAC_HIDDEN : []),
    ...(profile === 'strict' ? ELSEWHERE : []),
  ];
  return outermost(realOf([...fixed, ...hidden, home])).filter((path) => path !== '/');
}

function realOf(paths: readonly string[]): string[] {
  return paths.filter((path) => existsSync(path)).map((path) => realpathSync(path));
}

/** The person's home without its secrets. A symlink is left out: what it leads to may be one. */
function homeWithout({ platform, home, hidden }: RuntimeView): string[] {
  if (home === '/' || !existsSync(home)) return [];
  const isMac = platform === 'darwin';
  const named = [...TOOLCHAINS, ...(isMac ? LIBRARY_TOOLCHAINS : [])].map((name) => join(home, name));
  const plain = readdirSync(home, { withFileTypes: true }).filter(
    ({ name }) => !name.startsWith('.') && !(isMac && name === LIBRARY),
  );
  return [
    ...plain.flatMap((entry) => without(home, entry, hidden)),
    ...named.filter((path) => existsSync(path) && realpathSync(path) === path),
  ];
}

/** An entry of a directory, or where some of what it holds is hidden, all the rest of it. */
function without(directory: string, entry: Dirent, hidden: readonly string[]): string[] {
  const path = join(directory, entry.name);
  if (!(entry.isDirectory() || entry.isFile()) || hidden.includes(path)) return [];
  if (!hidden.some((each) => each.startsWith(`${path}/`))) return [path];
  return readdirSync(path, { withFileTypes: true }).flatMap((below) => without(path, below, hidden));
}

/** Without those below another. */
function outermost(paths: readonly string[]): string[] {
  const all = [...new Set(paths)].toSorted();
  return all.filter((path) => !all.some((other) => path.startsWith(`${other}/`)));
}

function literal(path: string): Entry {
  return { path, literal: true };
}
