/**
 * Runs each command in a container of its own, of an image that an operator chose. A session's home and temporary files are mounted
 * into each of them, so nothing is lost between two; a container that was kept for a session would save a fifth of a second, and
 * commands in it would be the engine's children, which nobody could tell apart or end one by one.
 *
 * What ends a command: signals, as for any other, since its processes are seen in /proc (`probeDocker` makes sure); and then its
 * container is removed by name, unless its client saw it end. So nothing is left where the client was killed while the engine was
 * still at it. The guard does both for a worker that is gone; where the guard went with it, a pipe tells the container (`alive.ts`).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import { type Alive, openAlive } from './alive.ts';
import { type CallOptions, createCalls, type Kind, type Started } from './calls.ts';
import { clientEnvironment, endContainers, endOrphans } from './containers.ts';
import { type DockerEngine, dockerArguments, type Mount } from './docker-arguments.ts';
import { seccompProfile } from './docker-seccomp.ts';
import { clearedEnvironment, languageOf } from './environment.ts';
import { gitVariables } from './git-setup.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { openScratch, type Runner, runnerOf, type Scratch, UNPRIVILEGED } from './runner.ts';
import type { Command, CommandResult, LeasedSandbox } from './sandbox.ts';
import { PRIVATE_HOME, type Profile } from './view.ts';
import { openWayOut, type WayOut } from './way-out.ts';
import { checkPlaces } from './ways.ts';

export interface DockerOptions extends CallOptions {
  readonly engine: DockerEngine;
  /** Says only whom the commands of a root worker run as: what they see is the image. */
  readonly profile: Profile;
  /** Absolute, on a disk that the engine sees: what all containers are shown is kept there. */
  readonly directory: string;
  readonly limits?: Partial<Limits>;
  readonly unprivilegedUser?: Runner;
  /** Told of containers that a dead worker left, where they could not be looked for. */
  readonly onError?: (error: unknown) => void;
}

/** Of the client's own failures: it could not ask, or the engine could not begin. */
const CLIENT_FAILED = 125;
/** A program in the container could not be run, or is not there. */
const NOT_RUN = [126, 127];
const MAX_COMPLAINT_LENGTH = 2_000;
/** In a container: no command may write beside it. */
const WAY_OUT = '/.capybara-egress';
/** Of the program that leads to the hosts, which is this process's own. */
const NEEDS_GLIBC = ' (a command that reaches hosts needs an image with glibc and libstdc++)';
/** Between looks whether an engine answers again. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

export function createDockerSandbox(options: DockerOptions): LeasedSandbox {
  const docker = new Docker(options);
  const kind: Kind = {
    name: 'docker',
    confined: true,
    // The client: what it is sent never reaches the command.
    leaderIsKeeper: true,
    engine: options.engine,
    start: (command, marks, stdin) => docker.start(command, { marks, stdin }),
  };
  endOrphans(options.engine).catch((error: unknown) => options.onError?.(error));
  const calls = createCalls(kind, options);
  return {
    ...calls,
    close: () => calls.close().finally(() => docker.close()),
  };
}

interface Given {
  readonly marks: Parameters<Kind['start']>[1];
  readonly stdin: Parameters<Kind['start']>[2];
}

interface Beginning extends Given {
  readonly runner: Runner | undefined;
  readonly wayOut?: WayOut;
}

class Docker {
  readonly #options: DockerOptions;
  readonly #limits: Limits;
  readonly #seccomp: string | undefined;
  readonly #alive: Alive;
  #isClosed = false;

  constructor(options: DockerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    mkdirSync(options.directory, { recursive: true });
    const profile = seccompProfile();
    this.#alive = openAlive(options.directory);
    this.#seccomp = profile && this.#put('seccomp.json', JSON.stringify(profile));
  }

  async start(command: Command, { marks, stdin }: Given): Promise<Started> {
    const { profile, directory, unprivilegedUser = UNPRIVILEGED } = this.#options;
    const runner = runnerOf(command, { profile, unprivileged: unprivilegedUser });
    if (!command.egress?.length) return this.#begin(command, { marks, stdin, runner });
    const wayOut = await openWayOut({ hosts: command.egress, runner, directory, inside: WAY_OUT });
    try {
      return { ...this.#begin(command, { marks, stdin, runner, wayOut }), close: () => wayOut.close() };
    } catch (error) {
      await wayOut.close();
      throw error;
    }
  }

  #begin(command: Command, { marks, stdin, runner, wayOut }: Beginning): Started {
    const { engine } = this.#options;
    const user = runner ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const mounts = [
      ...this.#mounts(command, openScratch(command.scratch, runner), user),
      ...(wayOut?.binds ?? []),
    ];
    const name = `capybara-${marks.variables.CAPYBARA_CALL}`;
    const args = dockerArguments({
      ...{ name, engine, marks, cwd: command.cwd, scratch: command.scratch, script: command.script },
      ...{ runner: user, limits: this.#limits, seccomp: this.#seccomp, wrapper: wayOut?.wrapper ?? [] },
      ...{
        mounts,
        alive: this.#alive.path,
        hasOwnTmp: !mounts.some(({ to }) => to === '/tmp'),
        reads: stdin !== 'ignore',
      },
      environment: { ...this.#environment(command), ...wayOut?.env },
    });
    const child = spawn(engine.program, args, {
      cwd: '/',
      // For the guard, which looks for this mark.
      env: { ...clientEnvironment(engine), CAPYBARA_WORKER: marks.variables.CAPYBARA_WORKER },
      detached: true,
      stdio: [stdin, 'pipe', 'pipe'],
    });
    const complaint = complaintOf(child);
    return {
      ...{ child, output: [child.stdout] },
      settle: (end) => this.#settle({ name, end, complaint }),
      checkEnd: (end) => checkEnd(end, { complaint: complaint(), hint: wayOut ? NEEDS_GLIBC : '' }),
    };
  }

  /** A client that gives the command's own code saw its container go; after any other end there may be one yet. */
  async #settle({ name, end, complaint }: Ending): Promise<void> {
    if (end.type === 'exit' && end.code !== CLIENT_FAILED) return;
    try {
      await endContainers(this.#options.engine, `name=^${name}$`);
    } catch (error) {
      void this.#settleLater(name);
      const why = [complaint(), messageOf(error)].filter((text) => text !== '').join('; ');
      throw new Error(
        `Docker does not answer any more (${why}). What was seen of the command was killed; should the engine have been about ` +
          'to begin it, it is ended as soon as the engine answers.',
      );
    }
  }

  /** Where the worker ends before that, its guard does it. */
  async #settleLater(name: string): Promise<void> {
    for (let ms = FIRST_PAUSE_MS; !this.#isClosed; ms = Math.min(2 * ms, LONGEST_PAUSE_MS)) {
      await pause(ms, undefined, { ref: false });
      const isGone = await endContainers(this.#options.engine, `name=^${name}$`).then(
        () => true,
        () => false,
      );
      if (isGone) return;
    }
  }

  close(): void {
    if (!this.#isClosed) this.#alive.close();
    this.#isClosed = true;
  }

  #mounts(command: Command, scratch: Scratch, runner: Runner): Mount[] {
    const { writable, readable = [], link } = command;
    const around = command.around === undefined ? [] : [command.around];
    const { git } = this.#options;
    const shown = [...(git === undefined ? [] : [git.directory]), ...readable];
    checkPlaces([...around, ...writable, ...shown]);
    const isBelowTmp = [...around, ...writable, ...shown].some((path) => path.startsWith('/tmp/'));
    return [
      // Where something is mounted below it, /tmp is empty each time: a command could leave a symlink in its way.
      ...(isBelowTmp ? [] : [{ from: scratch.tmp, to: '/tmp', isWritable: true }]),
      { from: scratch.home, to: PRIVATE_HOME, isWritable: true },
      ...around.map((from) => ({ from, isWritable: false })),
      ...writable.map((from) => ({ from, isWritable: true })),
      ...shown.map((from) => ({ from, isWritable: false })),
      ...(link === undefined ? [] : linked(link, writable)),
      ...this.#accounts(runner),
    ];
  }

  /** Who is who. */
  #accounts({ uid, gid }: Runner): Mount[] {
    const user = `capybara:x:${uid}:${gid}:Capybara:${PRIVATE_HOME}:/bin/bash\n`;
    const files = {
      passwd: `${uid === 0 ? '' : 'root:x:0:0:root:/:/usr/sbin/nologin\n'}${user}`,
      group: `${gid === 0 ? '' : 'root:x:0:\n'}capybara:x:${gid}:\n`,
    };
    return Object.entries(files).map(([file, text]) => ({
      from: this.#put(`${file}-${uid}-${gid}`, text),
      to: `/etc/${file}`,
      isWritable: false,
    }));
  }

  /** Of the image's variables those that are not named here stay, PATH among them: they say where its programs are. */
  #environment(command: Command): Record<string, string> {
    const { environment, git } = this.#options;
    const { PATH: _, ...language } = clearedEnvironment(languageOf(environment));
    const user = { USER: 'capybara', LOGNAME: 'capybara', SHELL: '/bin/bash', HOME: PRIVATE_HOME };
    const places = { TMPDIR: '/tmp', XDG_CACHE_HOME: `${PRIVATE_HOME}/.cache` };
    return { ...language, ...user, ...places, ...gitVariables(git, command.gitSettings), ...command.env };
  }

  /** Whole or not at all: other workers may be using it. Returns its path. */
  #put(name: string, text: string): string {
    const path = join(this.#options.directory, name);
    const temporary = `${path}.${process.pid}`;
    writeFileSync(temporary, text, { mode: 0o644 });
    renameSync(temporary, path);
    return path;
  }
}

interface Ending {
  readonly name: string;
  readonly end: CommandResult['end'];
  readonly complaint: () => string;
}

/** The command's own output goes to stdout: what comes on stderr is the client's, or of a shell that could not be run. */
function complaintOf(child: ChildProcess): () => string {
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MAX_COMPLAINT_LENGTH);
  });
  const isNews = (line: string) => !/^(WARNING: |See '|Run '|\s*$)/.test(line);
  return () =>
    complaint
      .split('\n')
      .filter(isNews)
      .join(' ')
      .replace(/^docker: /, '')
      .trim();
}

function checkEnd(
  end: CommandResult['end'],
  { complaint, hint }: { readonly complaint: string; readonly hint: string },
): void {
  if (end.type !== 'exit' || complaint === '') return;
  if (end.code !== CLIENT_FAILED && !NOT_RUN.includes(end.code)) return;
  throw new Error(`Docker could not run the command, or not to its end: ${complaint}${hint}`);
}

/** The other name, with what may be written below it. */
function linked({ path, to }: NonNullable<Command['link']>, writable: readonly string[]): Mount[] {
  const below = writable.filter((each) => each.startsWith(`${to}/`));
  return [
    { from: to, to: path, isWritable: writable.includes(to) },
    ...below.map((from) => ({ from, to: path + from.slice(to.length), isWritable: true })),
  ];
}
