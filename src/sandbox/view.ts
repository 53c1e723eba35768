/**
 * What of the host a confined command sees, as arguments of bwrap(1), in the order in which they are mounted.
 *
 * `strict`: the system's programs and a few files of /etc, read-only. `local`: the host, read-only, but for what is hidden: each
 * dot-file and dot-directory of the home directory that is not named here, other people's homes, Capybara's data, and what
 * running services keep. A `local` command that has root's user id gets the system of `strict` and the home of `local`, since
 * root may read what nobody else may.
 *
 * Nothing is ever mounted below a directory that a command may write to: it could put a symlink there.
 */
import type { Dirent } from 'node:fs';
import { existsSync, lstatSync, readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { mayReach, type Who } from './ways.ts';

export type Profile = 'strict' | 'local';

/** In a `strict` sandbox. */
export const PRIVATE_HOME = '/home/capybara';

/** Bytes that a directory in memory may hold where nothing is meant to be kept. */
const EMPTY_BYTES = 1024 * 1024;

const SYSTEM = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/nix/store', '/gnu/store'];
/** Programs that were installed beside the system's own. */
const ADDED_PROGRAMS = ['/opt', '/snap'];
/** How many processors there are, which compilers and runtimes ask. */
const PROCESSORS = '/sys/devices/system/cpu';

/** Below /proc: the kernel lets root's user id change these, whatever capabilities it lacks. bwrap itself covers `irq` and `bus`. */
const KERNEL_SETTINGS = ['sys', 'fs', 'sysrq-trigger', 'acpi', 'scsi', 'mtrr'];

/**
 * Of /etc: what programs need to start, to know the time and to check certificates. None holds a secret, and each costs a sixth of
 * a millisecond at every command.
 */
const ETC = [
  ...['alternatives', 'ld.so.cache', 'localtime', 'os-release', 'services', 'fonts', 'maven'],
  ...[
    'ssl/certs',
    'ssl/openssl.cnf',
    'pki/tls/certs',
    'pki/tls/openssl.cnf',
    'pki/ca-trust',
    'crypto-policies',
  ],
];
const ETC_PATTERN = /^java-\d+-openjdk$/;

/** Hidden in `local`: what belongs to others, to running services, or to all of the machine's programs at once. */
export const HIDDEN: readonly string[] = [
  ...['/run', '/tmp', '/var/tmp', '/sys', '/home', '/Users', '/root', '/lost+found', '/boot'],
  ...['/var/spool', '/var/log', '/var/backups', '/var/lib/docker', '/var/lib/containerd', '/var/lib/mysql'],
  ...[
    '/var/lib/postgresql',
    '/var/lib/redis',
    '/etc/ssh',
    '/etc/ssl/private',
    '/etc/sudoers.d',
    '/etc/wireguard',
  ],
];

/** The dot-entries of a home directory that a `local` command sees: toolchains, without the places where they keep keys. */
export const TOOLCHAINS: readonly string[] = [
  ...['.cargo/bin', '.cargo/env', '.cargo/git', '.cargo/registry', '.rustup', '.ghcup', '.cabal/bin'],
  ...['.nvm', '.fnm', '.volta', '.bun/bin', '.deno/bin', '.yarn/bin', '.asdf', '.pyenv', '.rbenv', '.rvm'],
  ...['.goenv', '.jenv', '.sdkman/candidates', '.m2/repository', '.gradle/wrapper', '.juliaup', '.opam'],
  ...['.dotnet/sdk', '.dotnet/shared', '.dotnet/host', '.dotnet/dotnet', '.elan', '.mix/archives'],
  ...['.local/bin', '.local/lib', '.local/share/fnm', '.local/share/mise', '.local/share/pnpm'],
  ...['.local/share/pipx', '.local/share/uv', '.local/share/virtualenvs'],
  ...['.python-version', '.node-version', '.ruby-version', '.tool-versions', '.nvmrc'],
];

export interface HostView {
  /** Comes first. */
  mounts(): string[];
  /** Comes after /tmp, in which a home may lie. */
  homeMounts(): string[];
  readonly home: string;
  /** Whether /etc must be given what says who the user is. */
  readonly needsAccounts: boolean;
}

export interface ViewOptions {
  readonly profile: Profile;
  /** The command would have root's user id. */
  readonly asRoot: boolean;
  /** Whom a root worker runs it as, where that is somebody else: the person's home is shown only where they may enter it. */
  readonly runner?: Who | undefined;
  /** Of the person, absolute: shown by `local` without its secrets. */
  readonly home: string;
  /** Directories that no command may see, absolute. */
  readonly hidden: readonly string[];
  /** Bytes that may be kept in memory as files: /dev/shm, and the home of `local`. */
  readonly memoryFileBytes: number;
}

export function hostView(options: ViewOptions): HostView {
  const { profile, asRoot, memoryFileBytes } = options;
  const devices = [
    ...['--proc', '/proc', ...(asRoot ? KERNEL_SETTINGS.flatMap((name) => shown(`/proc/${name}`)) : [])],
    ...['--dev', '/dev', ...inMemory('/dev/shm', memoryFileBytes), '--remount-ro', '/dev'],
  ];
  if (profile === 'strict') {
    const fixed = [...system(), ...devices];
    return { mounts: () => fixed, homeMounts: () => [], home: PRIVATE_HOME, needsAccounts: true };
  }
  const home = isDirectory(options.home) ? realOf(options.home) : '/';
  const fixed = asRoot ? [...system(), ...ADDED_PROGRAMS.flatMap(shown)] : hostWithout(options.hidden);
  return {
    mounts: () => [...fixed, ...devices],
    homeMounts: () => {
      if (home === '/') return [];
      const isClosed = options.runner !== undefined && !mayReach(home, options.runner);
      return isClosed ? inMemory(home, memoryFileBytes) : homeWithout(home, memoryFileBytes);
    },
    // A service may have none.
    home: home === '/' ? '/tmp' : home,
    needsAccounts: asRoot,
  };
}

export function inMemory(path: string, bytes: number): string[] {
  return ['--size', `${bytes}`, '--tmpfs', path];
}

/** As it is on the host: a directory or file read-only, a symlink as such; nothing where there is none. */
function shown(path: string): string[] {
  if (!existsSync(path)) return [];
  if (lstatSync(path).isSymbolicLink()) return ['--symlink', readlinkSync(path), path];
  return ['--ro-bind', path, path];
}

function system(): string[] {
  const etc = existsSync('/etc') ? readdirSync('/etc').filter((name) => ETC_PATTERN.test(name)) : [];
  return [
    ...[...SYSTEM, ...[...ETC, ...etc].map((name) => join('/etc', name))].flatMap(shown),
    ...(existsSync(PROCESSORS) ? ['--ro-bind', PROCESSORS, PROCESSORS] : []),
  ];
}

function hostWithout(hidden: readonly string[]): string[] {
  // A path below another that is hidden is gone with it; and where it is a symlink, what it leads to is meant.
  const real = [...new Set([...HIDDEN, ...hidden].filter(isDirectory).map(realOf))].toSorted();
  const outer = real.filter((path) => !real.some((other) => path.startsWith(`${other}/`)));
  return [
    ...['--ro-bind', '/', '/'],
    ...outer.flatMap((path) => inMemory(path, EMPTY_BYTES)),
    ...(existsSync(PROCESSORS) ? ['--ro-bind', PROCESSORS, PROCESSORS] : []),
  ];
}

/** Read anew for each command: what appears in it with a dot is hidden from the first moment. */
function homeWithout(home: string, bytes: number): string[] {
  const entries = readdirSync(home, { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'));
  const named = TOOLCHAINS.map((name) => join(home, name)).filter((path) => existsSync(path));
  return [
    ...inMemory(home, bytes),
    ...entries.flatMap((entry) => homeEntry(home, entry)),
    ...named.flatMap((path) => ['--ro-bind', path, path]),
  ];
}

/** A symlink stays one: what it leads to may be hidden. Sockets and devices are left out. */
function homeEntry(home: string, entry: Dirent): string[] {
  const path = join(home, entry.name);
  if (entry.isSymbolicLink()) return ['--symlink', readlinkSync(path), path];
  return entry.isDirectory() || entry.isFile() ? ['--ro-bind-try', path, path] : [];
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function realOf(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}
