/**
 * The containers of commands, as the engine that runs them knows them. They are the engine's children and not ours: a signal ends
 * those that run, and only the engine can say that none is about to begin.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** docker(1), or what takes the same words. */
export interface Engine {
  /** Absolute path of the client. */
  readonly program: string;
  /** `unix:///path` of the engine's socket; the client's own choice where left out. */
  readonly host?: string | undefined;
}

/** On each container: its worker's mark, the process that asked for it, and the scratch directory of its session. */
export const LABELS = {
  worker: 'capybara.worker',
  process: 'capybara.process',
  scratch: 'capybara.scratch',
} as const;

/** What the engine may take to answer: a busy one takes seconds to remove a container. */
export const ENGINE_TIMEOUT_MS = 15_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

/** A client knows nothing of its worker's environment, nor of settings that would give containers more than was asked for. */
export function clientEnvironment({ host }: Engine): Record<string, string> {
  const PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';
  return {
    ...{ PATH, HOME: '/', DOCKER_CONFIG: '/nonexistent' },
    ...(host === undefined ? {} : { DOCKER_HOST: host, CONTAINER_HOST: host }),
  };
}

/** What the client says. Throws with what it says of a failure. */
export function askEngine(
  engine: Engine,
  args: readonly string[],
  timeoutMs = ENGINE_TIMEOUT_MS,
): Promise<string> {
  const options = { cwd: '/', env: clientEnvironment(engine), timeout: timeoutMs };
  return new Promise((resolve, reject) => {
    execFile(engine.program, args, { ...options, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const silent = error.killed ? `no answer within ${timeoutMs / 1000} s` : error.message;
      reject(new Error(stderr.trim() || silent));
    });
  });
}

/**
 * Ends and removes the containers that a filter of `docker ps` finds, also those that have not begun. False: there was none. Throws
 * where the engine does not answer.
 */
export async function removeContainers(engine: Engine, filter: string): Promise<boolean> {
  const listed = await askEngine(engine, ['ps', '--all', '--quiet', '--no-trunc', '--filter', filter]);
  const ids = listed.split('\n').filter((id) => id !== '');
  if (ids.length === 0) return false;
  // One that is being removed already is an error here; the next look tells.
  await askEngine(engine, ['rm', '--force', '--volumes', ...ids]).catch(() => {});
  return true;
}

/** Until there is none. Throws where there still is one after `ENGINE_TIMEOUT_MS`, or the engine does not answer. */
export async function endContainers(engine: Engine, filter: string): Promise<void> {
  const until = performance.now() + ENGINE_TIMEOUT_MS;
  for (
    let ms = FIRST_PAUSE_MS;
    await removeContainers(engine, filter);
    ms = Math.min(2 * ms, LONGEST_PAUSE_MS)
  ) {
    if (performance.now() > until)
      throw new Error(`it did not remove a container within ${ENGINE_TIMEOUT_MS / 1000} s`);
    await pause(ms);
  }
}

/** Those of processes of this host that are gone: their guard was gone too, or could not reach the engine. */
export async function endOrphans(engine: Engine): Promise<void> {
  const format = `{{.ID}} {{.Label "${LABELS.process}"}}`;
  const filter = `label=${LABELS.process}`;
  const listed = await askEngine(engine, [
    'ps',
    '--all',
    '--no-trunc',
    '--filter',
    filter,
    '--format',
    format,
  ]);
  for (const line of listed.split('\n').filter((each) => each !== '')) {
    const [id = '', name = ''] = line.split(' ');
    if (isOver(name)) await endContainers(engine, `id=${id}`);
  }
}

/** This process, in a way that no other is called: pids are used again, and a boot begins with new ones. */
export function processName(): string {
  return `${bootId()}/${process.pid}/${startTimeOf(`${process.pid}`)}`;
}

/** Whether the process of that name is gone. */
export function isOver(name: string): boolean {
  const [boot, pid = '', startTime] = name.split('/');
  return boot !== bootId() || startTimeOf(pid) !== startTime;
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Field 22 of /proc/PID/stat (proc(5)), behind the name in parentheses, which may hold anything; '' where it has ended. */
function startTimeOf(pid: string): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? '' : (fields[18] ?? '');
  } catch {
    return '';
  }
}
