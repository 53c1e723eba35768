/**
 * Whether commands can run in containers here, as `docker.ts` needs it: an engine on this host that answers, the image there, and a
 * container whose files are the host's, whose files belong to who was asked for, and whose processes the worker sees.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { messageOf } from '../core/errors.ts';
import { openAlive } from './alive.ts';
import { askEngine, clientEnvironment } from './containers.ts';
import { type DockerEngine, dockerArguments } from './docker-arguments.ts';
import type { Environment } from './environment.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { CALL_MARKER, listPids, WORKER_MARKER } from './processes.ts';
import { findProgram } from './program.ts';
import { type Runner, UNPRIVILEGED } from './runner.ts';

/** `CAPYBARA_DOCKER_…`. */
export interface DockerSettings {
  readonly image?: string;
  /** A name on the PATH, or an absolute path. */
  readonly program: string;
  readonly host?: string;
}

export interface DockerPlace {
  readonly environment: Environment;
  /** Whom the commands of a root worker run as. */
  readonly unprivileged?: Runner | undefined;
  /** Where their files are kept, on a disk that the engine must see; where it is not there yet, that for temporary files is tried. */
  readonly dataDir?: string;
}

export type DockerProbe =
  | { readonly works: true; readonly engine: DockerEngine; readonly version: string }
  | { readonly works: false; readonly found: string; readonly cure: string };

/** For the container that is tried: an engine that has just started reads its image from a disk that sleeps. */
const TRY_TIMEOUT_MS = 30_000;
const SAME_HOST =
  'the engine must run on this host, as root and without remapped users, and Capybara beside it, not in a container of its own';

export async function probeDocker(
  { image, program, host }: DockerSettings,
  { environment, unprivileged = UNPRIVILEGED, dataDir = '' }: DockerPlace,
): Promise<DockerProbe> {
  if (process.platform !== 'linux') return no('docker needs Linux here', 'run Capybara on Linux');
  if (image === undefined) {
    return no('CAPYBARA_DOCKER_IMAGE is not set', 'set it to an image that has sh, bash and git');
  }
  const path = isAbsolute(program) ? program : await findProgram(program, environment.PATH ?? '');
  if (path === undefined)
    return no(`there is no ${program} on the PATH`, 'install docker (apt install docker.io)');
  const engine = { program: path, image, ...(host === undefined ? {} : { host }) };
  const runner = process.getuid?.() === 0 ? unprivileged : undefined;
  try {
    const version = (await askEngine(engine, ['version', '--format', '{{.Server.Version}}'])).trim();
    return (
      (await whyNotImage(engine)) ??
      (await whyNotContainer(engine, { runner, directory: existsSync(dataDir) ? dataDir : tmpdir() })) ?? {
        works: true,
        engine,
        version,
      }
    );
  } catch (error) {
    return no(
      `the engine of ${path} does not answer (${firstLine(error)})`,
      'start it (systemctl start docker), or let this user reach its socket (CAPYBARA_DOCKER_HOST, group docker)',
    );
  }
}

type No = Extract<DockerProbe, { works: false }>;

function no(found: string, cure: string): No {
  return { works: false, found, cure };
}

async function whyNotImage(engine: DockerEngine): Promise<No | undefined> {
  const { image } = engine;
  const format = '{{json .Config.Volumes}}';
  const volumes = await askEngine(engine, ['image', 'inspect', '--format', format, image]).catch(
    (error: unknown) => {
      if (/no such image/i.test(messageOf(error))) return undefined;
      throw error;
    },
  );
  if (volumes === undefined) {
    return no(`there is no image ${image}`, `build or pull it (docker pull ${image}): Capybara fetches none`);
  }
  const paths = Object.keys(JSON.parse(volumes) ?? {});
  if (paths.length === 0) return undefined;
  return no(
    `the image ${image} declares volumes (${paths.join(', ')}), which commands could fill without limit`,
    'choose one without VOLUME',
  );
}

/** Runs a confined command that reads a file, writes another and waits, and looks at what there is to see of it meanwhile. */
async function whyNotContainer(
  engine: DockerEngine,
  { runner: other, directory }: { readonly runner: Runner | undefined; readonly directory: string },
): Promise<No | undefined> {
  const place = mkdtempSync(join(realpathSync(directory), 'capybara-docker-'));
  const runner = other ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const alive = openAlive(place);
  try {
    if (other) chownSync(place, other.uid, other.gid);
    const token = randomUUID();
    writeFileSync(join(place, 'in'), token, { mode: 0o644 });
    const { said, complaint, isSeen } = await tryContainer(engine, { place, runner, alive: alive.path });
    if (said !== token) {
      const why = said === '' ? complaint : 'it does not see the files of this host';
      return no(
        `${engine.program} cannot run a confined command in ${engine.image} (${why})`,
        said === '' ? IMAGE : SAME_HOST,
      );
    }
    if (statSync(join(place, 'out')).uid !== runner.uid)
      return no('files that a command in a container writes belong to somebody else', SAME_HOST);
    return isSeen ? undefined : no('processes of containers cannot be seen from here', SAME_HOST);
  } finally {
    alive.close();
    rmSync(place, { recursive: true, force: true });
  }
}

const IMAGE =
  'an image needs sh and bash; docker run --pull never --entrypoint sh IMAGE -c bash tries it by hand';

interface Tried {
  readonly said: string;
  /** Of the client, or of a shell. */
  readonly complaint: string;
  /** Whether /proc shows its processes, and what they carry. */
  readonly isSeen: boolean;
}

function tryContainer(
  engine: DockerEngine,
  { place, runner, alive }: { readonly place: string; readonly runner: Runner; readonly alive: string },
): Promise<Tried> {
  const [worker, call] = [randomUUID(), randomUUID()];
  const args = dockerArguments({
    ...{ name: `capybara-${call}`, engine, runner, cwd: place, scratch: place, reads: true, wrapper: [] },
    ...{ mounts: [{ from: place, isWritable: true }], alive, hasOwnTmp: true, environment: {} },
    ...{ limits: DEFAULT_LIMITS, seccomp: undefined, script: 'cat in; touch out; read _' },
    marks: {
      variables: { [WORKER_MARKER]: worker, [CALL_MARKER]: call },
      locks: { hard: 2 ** 46, soft: 2 ** 45 },
    },
  });
  const child = spawn(engine.program, args, { cwd: '/', env: clientEnvironment(engine), stdio: 'pipe' });
  const tried = { said: '', complaint: '', isSeen: false };
  const timer = setTimeout(() => child.kill('SIGKILL'), TRY_TIMEOUT_MS);
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    tried.complaint += text;
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    tried.said += text;
    tried.isSeen = isMarked(call);
    child.stdin.end();
  });
  child.stdin.on('error', () => {});
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      clearTimeout(timer);
      const complaint =
        tried.complaint.trim().split('\n').at(0) || `no answer within ${TRY_TIMEOUT_MS / 1000} s`;
      resolve({ ...tried, complaint });
    });
  });
}

function isMarked(call: string): boolean {
  return listPids().some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${CALL_MARKER}=${call}`);
    } catch {
      return false;
    }
  });
}

function firstLine(error: unknown): string {
  return messageOf(error).split('\n')[0] ?? '';
}
