/** How commands are confined, what one may use of the machine and reach, and whom it runs as: settings that belong together. */
import { z } from 'zod';
import { type EgressHost, parseEgressHost } from '../core/egress.ts';

export interface Limit {
  readonly env: string;
  readonly least: number;
  readonly most: number;
  readonly usual: number;
}

/** In the units of the settings. */
export const COMMAND_LIMITS = {
  memoryMib: { env: 'CAPYBARA_COMMANDS_MEMORY_MIB', least: 64, most: 1024 * 1024, usual: 8 * 1024 },
  processes: { env: 'CAPYBARA_COMMANDS_PROCESSES', least: 16, most: 1_000_000, usual: 2_048 },
  fileMib: { env: 'CAPYBARA_COMMANDS_FILE_MIB', least: 1, most: 1024 * 1024, usual: 10 * 1024 },
  openFiles: { env: 'CAPYBARA_COMMANDS_OPEN_FILES', least: 64, most: 1_000_000, usual: 16_384 },
  cpuSeconds: { env: 'CAPYBARA_COMMANDS_CPU_SECONDS', least: 1, most: 1_000_000, usual: 7_200 },
  freeMib: { env: 'CAPYBARA_COMMANDS_FREE_MIB', least: 0, most: 1024 * 1024, usual: 512 },
} as const;

/** Processors that a command may use at a time. */
export const CPUS = {
  schema: z.preprocess(
    (raw) => (typeof raw === 'string' && /^\d+(\.\d+)?$/.test(raw) ? Number(raw) : raw),
    z.number().min(0.1).max(1_024),
  ),
  meta: { env: 'CAPYBARA_COMMANDS_CPUS', expected: 'a number from 0.1 to 1024' },
};

/** Entries of `commands.hosts`. */
export const MAX_HOSTS = 100;
export interface CommandsConfig {
  /** Hosts that confined commands may reach; none where left out. */
  readonly hosts?: readonly EgressHost[];
  /** Of memory: all of it where it has a control group, else for each of its processes. */
  readonly memoryMib: number;
  /** Processes and threads of all of it. */
  readonly processes: number;
  /** Of one file that it writes. */
  readonly fileMib: number;
  /** For each of its processes. */
  readonly openFiles: number;
  /** Of processor time, for each of its processes. */
  readonly cpuSeconds: number;
  /** Processors at a time, where it has a control group; all where left out. */
  readonly cpus?: number;
  /** What is to stay free on each disk that a command may write to; 0: commands may fill it. */
  readonly freeMib: number;
  /** Whom a root worker runs the commands of a server as. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

export const SANDBOX = {
  names: ['auto', 'bubblewrap', 'runtime', 'docker', 'off'],
  meta: { env: 'CAPYBARA_SANDBOX', expected: '"auto", "bubblewrap", "runtime", "docker" or "off"' },
} as const;

/** Where each command runs in a container of its own. */
export interface DockerConfig {
  /** Of what: a name or an id of an image that is there. */
  readonly image?: string;
  /** The client: a name on the PATH, or an absolute path. */
  readonly program: string;
  /** `unix:///path` of the engine's socket; the client's own choice where left out. */
  readonly host?: string;
}

/** `pattern`: nothing that a client would take for an option, and no other host, which has none of the directories of this one. */
export const DOCKER = {
  image: {
    pattern: /^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/,
    meta: { env: 'CAPYBARA_DOCKER_IMAGE', expected: 'the name or id of an image' },
  },
  program: {
    pattern: /^(\/.+|[A-Za-z0-9][^/]*)$/,
    meta: { env: 'CAPYBARA_DOCKER_PROGRAM', expected: 'a program on the PATH, or an absolute path' },
  },
  host: {
    pattern: /^unix:\/\/\/.+$/,
    meta: { env: 'CAPYBARA_DOCKER_HOST', expected: 'a socket of this host, unix:///path' },
  },
} as const;

/** Of commands that go on in the background, in the units of the settings. */
export const BACKGROUND_LIMITS = {
  processes: { env: 'CAPYBARA_BACKGROUND_PROCESSES', least: 1, most: 64, usual: 8 },
  lifetimeSeconds: { env: 'CAPYBARA_BACKGROUND_LIFETIME_SECONDS', least: 1, most: 7 * 86_400, usual: 3_600 },
  idleSeconds: { env: 'CAPYBARA_BACKGROUND_IDLE_SECONDS', least: 1, most: 86_400, usual: 900 },
  bufferKib: { env: 'CAPYBARA_BACKGROUND_BUFFER_KIB', least: 1, most: 64 * 1024, usual: 1024 },
} as const;

export interface BackgroundConfig {
  /** Of one session at a time. */
  readonly processes: number;
  /** What one may take. */
  readonly lifetimeSeconds: number;
  /** While nobody works on their session. */
  readonly idleSeconds: number;
  /** Of output of one that waits to be read. */
  readonly bufferKib: number;
}

/** The highest id that Linux gives; root's are refused. */
const MAX_ID = 2 ** 32 - 2;

/** `61000:61000` → `{uid: 61000, gid: 61000}`; what is neither that nor such an object, as it is. */
function parseUser(raw: unknown): unknown {
  if (typeof raw !== 'string') return raw;
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(raw) ?? [];
  return uid === undefined ? raw : { uid: Number(uid), gid: Number(gid) };
}

function isUser({ uid, gid }: { readonly uid: number; readonly gid: number }): boolean {
  return [uid, gid].every((id) => id > 0 && id <= MAX_ID);
}

/** `registry.npmjs.org, *.example.com:8443` → entries; what is none, as it is. */
function parseHosts(raw: unknown): unknown {
  const texts = typeof raw === 'string' ? raw.split(',') : raw;
  if (!Array.isArray(texts)) return raw;
  return texts.map((text) => (typeof text === 'string' ? (parseEgressHost(text) ?? text) : text));
}

export const COMMANDS = {
  user: { env: 'CAPYBARA_COMMANDS_USER', expected: 'uid:gid in numbers, neither of them 0' },
  hosts: {
    env: 'CAPYBARA_COMMANDS_HOSTS',
    expected:
      `at most ${MAX_HOSTS} hosts such as registry.npmjs.org, *.example.com:8443 or private:registry.local:5000, ` +
      'with commas between them',
  },
} as const;
export const commandUser = z.preprocess(
  parseUser,
  z.strictObject({ uid: z.int(), gid: z.int() }).refine(isUser),
);
const EGRESS_HOST = z.object(
  { host: z.string(), port: z.int().optional(), isPrivate: z.boolean() },
  'expected a host such as registry.npmjs.org, *.example.com:8443 or private:registry.local:5000',
);
export const commandHosts = z.preprocess(parseHosts, z.array(EGRESS_HOST).min(1).max(MAX_HOSTS));
