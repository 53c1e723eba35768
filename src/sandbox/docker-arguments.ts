/** The container of one command, as arguments of docker(1): what it may use and see, and what it is called. */
import type { Engine } from './containers.ts';
import { LABELS, processName } from './containers.ts';
import { LIMITED_SHELL, type Limits, limitArguments } from './limits.ts';
import { CALL_MARKER, WORKER_MARKER } from './processes.ts';
import type { Runner } from './runner.ts';

/** Where containers come from, and what they are made of. */
export interface DockerEngine extends Engine {
  /** A name or an id of an image that is there: none is ever fetched. */
  readonly image: string;
}

export interface Mount {
  /** Real and absolute. */
  readonly from: string;
  /** Where it stands in the container; the same path where left out. */
  readonly to?: string;
  readonly isWritable: boolean;
}

export interface Container {
  readonly name: string;
  readonly engine: DockerEngine;
  readonly runner: Runner;
  readonly cwd: string;
  readonly mounts: readonly Mount[];
  /** Path of a pipe: when its worker's end of it closes, all in the container is killed, also where no guard is left. */
  readonly alive: string;
  /** An empty /tmp in memory, where nothing is mounted there. */
  readonly hasOwnTmp: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: Limits;
  /** Path of a filter; the engine's own where left out. */
  readonly seccomp: string | undefined;
  readonly scratch: string;
  readonly reads: boolean;
  readonly script: string;
  /** What runs the command, given behind it. */
  readonly wrapper: readonly string[];
  readonly marks: {
    readonly variables: { readonly [WORKER_MARKER]: string; readonly [CALL_MARKER]: string };
    readonly locks: { readonly hard: number; readonly soft: number };
  };
}

/** Nothing of the host but what is mounted, no network, no capability and no way to get one, nothing kept, nothing fetched. */
const CONFINED = [
  ...['--rm', '--pull', 'never', '--init', '--no-healthcheck', '--log-driver', 'none'],
  ...['--network', 'none', '--hostname', 'capybara', '--read-only', '--cap-drop', 'ALL'],
  ...['--security-opt', 'no-new-privileges'],
];

/**
 * Process 1 is the engine's, which hands on what ends; the call's mark is in the environment of its child, so that each process that is
 * asked to end is asked once. What watches whether the worker lives is nobody's child but that of process 1: a command that waits for
 * all of its own must not wait for it.
 */
const MARKED = `(
  (read -r _ <"$2"; kill -s KILL -- -1) </dev/null >/dev/null 2>&1 &
)
export ${CALL_MARKER}="$1"; shift 2; exec "$@"`;
/** In a container: the pipe that is open as long as the worker lives (`alive.ts`). */
const ALIVE = '/.capybara-alive';

export function dockerArguments(container: Container): string[] {
  const { name, engine, runner, cwd, limits, seccomp, scratch, reads, script, wrapper, marks } = container;
  const labels = {
    [LABELS.worker]: marks.variables[WORKER_MARKER],
    [LABELS.process]: processName(),
    [LABELS.scratch]: scratch,
  };
  return [
    ...['run', '--name', name, ...CONFINED],
    ...(seccomp === undefined ? [] : ['--security-opt', `seccomp=${seccomp}`]),
    ...pairs('--label', labels),
    ...['--user', `${runner.uid}:${runner.gid}`, '--workdir', cwd],
    ...['--memory', `${limits.memoryBytes}`, '--memory-swap', `${limits.memoryBytes}`],
    ...['--pids-limit', `${limits.processes}`, '--shm-size', `${limits.memoryFileBytes}`],
    ...[...container.mounts, { from: container.alive, to: ALIVE, isWritable: false }].flatMap(mount),
    ...(container.hasOwnTmp
      ? ['--tmpfs', `/tmp:rw,exec,nosuid,nodev,mode=1777,size=${limits.memoryFileBytes}`]
      : []),
    ...pairs('--env', { ...container.environment, [WORKER_MARKER]: marks.variables[WORKER_MARKER] }),
    ...(reads ? ['--interactive'] : []),
    ...['--entrypoint', '/bin/sh', engine.image, '-c', MARKED, 'sh', marks.variables[CALL_MARKER], ALIVE],
    ...[...wrapper, '/bin/sh', '-c', LIMITED_SHELL, 'sh'],
    // The engine counts the processes of a container; a limit of the user's would count those of all of them.
    ...limitArguments(script, marks.locks, limits).with(3, ''),
  ];
}

function pairs(option: string, values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [option, `${name}=${value}`]);
}

/** In the words of --mount, which are CSV; unlike those of --volume they make no directory that is missing. */
function mount({ from, to = from, isWritable }: Mount): string[] {
  const fields = ['type=bind', `source=${from}`, `target=${to}`, ...(isWritable ? [] : ['readonly'])];
  return ['--mount', fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(',')];
}
