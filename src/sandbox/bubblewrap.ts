import { type ChildProcess, spawn } from 'node:child_process';
import { lstatSync, realpathSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { type CallOptions, createCalls, type Kind, type Started } from './calls.ts';
import { clearedEnvironment, type Environment } from './environment.ts';
import { gitVariables } from './git-setup.ts';
import { Handed } from './handed.ts';
import { DEFAULT_LIMITS, LIMITED_SHELL, type Limits, limitArguments } from './limits.ts';
import { openScratch, type Runner, runnerOf, type Scratch, UNPRIVILEGED } from './runner.ts';
import type { Command, CommandResult, LeasedSandbox } from './sandbox.ts';
import { seccompFilter } from './seccomp.ts';
import { type HostView, hostView, inMemory, type Profile } from './view.ts';
import { openWayOut, type WayOut } from './way-out.ts';
import { checkWay } from './ways.ts';

export interface BubblewrapOptions extends CallOptions {
  readonly profile: Profile;
  /** Absolute path of bwrap(1), 0.8 or newer. */
  readonly program: string;
  readonly limits?: Partial<Limits>;
  /** Whom commands of a root worker run as where root owns their files. */
  readonly unprivilegedUser?: Runner;
  /** Directories that no `local` command may see, absolute: Capybara's own data. */
  readonly hidden?: readonly string[];
  /** What every command may read besides, absolute. */
  readonly readable?: readonly string[];
  /** The person's home directory; that of the worker's environment, or of its user. */
  readonly home?: string;
}

/** Namespaces of its own for all but time, no capability, no way to make more; ends when the thread that started it does. */
export const NAMESPACES = [
  ...[
    '--unshare-user',
    '--disable-userns',
    '--unshare-pid',
    '--unshare-net',
    '--unshare-ipc',
    '--unshare-uts',
  ],
  ...[
    '--unshare-cgroup-try',
    '--hostname',
    'capybara',
    '--cap-drop',
    'ALL',
    '--die-with-parent',
    '--new-session',
  ],
  '--clearenv',
];
/** The user that a command sees itself as where it does not see the host's accounts. */
const SEEN_ID = 1000;
/** What bwrap says when it fails is a line. */
const MAX_COMPLAINT_LENGTH = 2_000;

/**
 * Runs commands in bubblewrap: they see of the host what `profile` says, may change only what they are told they may, and reach
 * no network. As root, see `runnerOf` for whom they run as.
 */
export function createBubblewrapSandbox(options: BubblewrapOptions): LeasedSandbox {
  const bubblewrap = new Bubblewrap(options);
  const kind: Kind = {
    name: 'bubblewrap',
    confined: true,
    // bwrap takes everything with it when it ends.
    leaderIsKeeper: true,
    start: (command, marks, stdin) => bubblewrap.start({ command, marks, stdin }),
  };
  return createCalls(kind, options);
}

type Marks = Parameters<Kind['start']>[1];
type Stdin = Parameters<Kind['start']>[2];

interface Starting {
  readonly command: Command;
  readonly marks: Marks;
  readonly stdin: Stdin;
}

interface Beginning {
  readonly marks: Marks;
  readonly stdin: Stdin;
  readonly runner: Runner | undefined;
  readonly wayOut?: WayOut;
}

class Bubblewrap {
  readonly #options: BubblewrapOptions;
  readonly #limits: Limits;
  readonly #filter: Buffer | undefined;
  readonly #views = new Map<string, HostView>();

  constructor(options: BubblewrapOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#filter = seccompFilter();
  }

  async start({ command, marks, stdin }: Starting): Promise<Started> {
    const { profile, unprivilegedUser = UNPRIVILEGED } = this.#options;
    const runner = runnerOf(command, { profile, unprivileged: unprivilegedUser });
    const tidy = () => removeAll(command.absent ?? []);
    if (!command.egress?.length)
      return { ...this.#begin(command, { marks, stdin, runner }), close: async () => tidy() };
    const wayOut = await openWayOut(command.egress, runner);
    const close = () => wayOut.close().finally(tidy);
    try {
      return { ...this.#begin(command, { marks, stdin, runner, wayOut }), close };
    } catch (error) {
      await wayOut.close();
      throw error;
    }
  }

  #begin(command: Command, { marks, stdin, runner, wayOut }: Beginning): Started {
    const { program, git } = this.#options;
    const scratch = openScratch(command.scratch, runner);
    const forAll = [...(this.#options.readable ?? []), ...(git === undefined ? [] : [git.directory])];
    const readable = [...forAll, ...(command.readable ?? [])];
    checkPlaces([...command.writable, ...readable]);
    if (runner) checkWay([...command.writable, ...Object.values(scratch)], runner);
    const view = this.#view(runner);
    const handed = new Handed(stdin);
    const args = [
      ...NAMESPACES,
      ...(view.needsAccounts ? ['--uid', `${SEEN_ID}`, '--gid', `${SEEN_ID}`] : []),
      ...view.mounts(),
      ...this.#temporary([...command.writable, ...readable, view.home], scratch),
      ...view.homeMounts(),
      ...(view.needsAccounts ? accounts(view.home, handed) : []),
      ...this.#places(command, { scratch, readable, view }),
      ...(wayOut?.mounts(handed) ?? []),
      ...(view.needsAccounts ? ['--remount-ro', '/'] : []),
      ...this.#environment(command, { view, marks, more: wayOut?.env }),
      ...(this.#filter ? ['--seccomp', handed.give(this.#filter)] : []),
      ...['--chdir', command.cwd, '--', ...(wayOut?.wrapper ?? []), '/bin/sh', '-c', LIMITED_SHELL, 'sh'],
      ...limitArguments(command.script, marks.locks, this.#limits),
    ];
    const child = spawn(program, args, {
      cwd: '/',
      // For the guard, which looks for this mark, and for nothing else: the command gets an environment of its own.
      env: { CAPYBARA_WORKER: marks.variables.CAPYBARA_WORKER },
      detached: true,
      stdio: handed.stdio,
      ...runner,
    });
    handed.send(child);
    return { child, output: [child.stdout], checkEnd: complaintOf(child) };
  }

  /** Made at the first command that needs it: what is on the host's disk changes little while a worker runs. */
  #view(runner: Runner | undefined): HostView {
    const asRoot = process.getuid?.() === 0 && runner === undefined;
    const whose = `${asRoot} ${runner?.uid} ${runner?.gid}`;
    const { profile, hidden = [], environment, home = environment.HOME ?? homedir() } = this.#options;
    const { memoryFileBytes } = this.#limits;
    const view =
      this.#views.get(whose) ?? hostView({ profile, asRoot, runner, home, hidden, memoryFileBytes });
    this.#views.set(whose, view);
    return view;
  }

  /** Where something is to be mounted below it, /tmp is empty each time: a command could leave a symlink in its way. */
  #temporary(paths: readonly string[], { tmp }: Scratch): string[] {
    const isBelow = paths.some((path) => path.startsWith('/tmp/'));
    return isBelow ? inMemory('/tmp', this.#limits.memoryFileBytes) : ['--bind', tmp, '/tmp'];
  }

  /** Read-only ones last: they may lie within writable ones. */
  #places(
    { writable, link }: Command,
    { scratch, readable, view }: { scratch: Scratch; readable: readonly string[]; view: HostView },
  ): string[] {
    const cache = ['--bind', scratch.cache, `${view.home}/.cache`];
    const own = this.#options.profile === 'strict' ? ['--bind', scratch.home, view.home] : cache;
    return [
      ...(view.home === '/tmp' ? [] : own),
      ...writable.flatMap((path) => ['--bind', path, path]),
      ...readable.flatMap((path) => ['--ro-bind', path, path]),
      ...(link === undefined ? [] : ['--symlink', link.to, link.path]),
    ];
  }

  #environment(
    command: Command,
    { view, marks, more }: { view: HostView; marks: Marks; more?: Environment | undefined },
  ): string[] {
    const { environment, profile, git } = this.#options;
    const ofGit = gitVariables(git, command.gitSettings);
    const base = clearedEnvironment(profile === 'strict' ? languageOf(environment) : environment);
    const user = view.needsAccounts ? { USER: 'capybara', LOGNAME: 'capybara', SHELL: '/bin/bash' } : {};
    const own = { ...user, HOME: view.home, TMPDIR: '/tmp', XDG_CACHE_HOME: `${view.home}/.cache` };
    const all = { ...base, ...own, ...ofGit, ...command.env, ...more, ...marks.variables };
    return Object.entries(all).flatMap(([name, value = '']) => ['--setenv', name, value]);
  }
}

/** Of a server's own environment: its toolchains and homes are not there in `strict`. */
function languageOf({ LANG, LC_ALL, LC_CTYPE, LANGUAGE, TZ }: Environment): Environment {
  return { LANG, LC_ALL, LC_CTYPE, LANGUAGE, TZ };
}

/** A path with a symlink in it could be led elsewhere by whoever writes beside it. */
function checkPlaces(paths: readonly string[]): void {
  for (const path of paths) {
    const real = realpathSync.native(path);
    if (real !== path)
      throw new Error(`A command was given ${path}, which leads to ${real}; expected the real path.`);
  }
}

/** Files alone: to remove a directory with what is in it one would have to go by paths that another command may change. */
function removeAll(paths: readonly string[]): void {
  for (const path of paths) {
    const isDirectory = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
    if (!isDirectory) rmSync(path, { force: true });
  }
}

/** Who is who, and what a name means where there is no network. */
function accounts(home: string, handed: Handed): string[] {
  const files = {
    '/etc/passwd': `root:x:0:0:root:/:/usr/sbin/nologin\ncapybara:x:${SEEN_ID}:${SEEN_ID}:Capybara:${home}:/bin/bash\n`,
    '/etc/group': `root:x:0:\ncapybara:x:${SEEN_ID}:\n`,
    '/etc/hosts': '127.0.0.1 localhost capybara\n::1 localhost\n',
    '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n',
  };
  return Object.entries(files).flatMap(([path, text]) => ['--file', handed.give(Buffer.from(text)), path]);
}

/** What comes on stderr is bwrap's: the command's own goes to stdout. */
function complaintOf(child: ChildProcess): (end: CommandResult['end']) => void {
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MAX_COMPLAINT_LENGTH);
  });
  return (end) => {
    if (end.type !== 'exit' || end.code === 0 || !complaint.startsWith('bwrap: ')) return;
    throw new Error(`Bubblewrap could not start the command: ${complaint.slice('bwrap: '.length).trim()}`);
  };
}
