import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UNPRIVILEGED } from '../../src/sandbox/runner.ts';
import { bubblewrap, pidsIn } from '../support/bubblewrap.ts';
import { docker } from '../support/docker.ts';
import { hasOrdinaryUser, ordinaryUser } from '../support/ordinary-user.ts';
import { runtime } from '../support/runtime.ts';
import { type Attempt, escapeAttempts, type World } from './escape-attempts.ts';
import type { Order } from './sandbox-escape-child.ts';

const CHILD = fileURLToPath(new URL('./sandbox-escape-child.ts', import.meta.url));
const isRoot = process.getuid?.() === 0;
/** CAPYBARA_TEST_EVERY_POINT=1 tries each profile in each way; else each profile and each way once at least. */
const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';
const SECRET = 'ESCAPED: a secret\n';
/** For all attempts of one case, on a busy machine. */
const PATIENCE_MS = 180_000;
/** All that is on the host before, and must be there as it was after. */
const SECRETS = [
  ...['data/api-key', 'data/postgres/password', 'data/workspaces/other/file', 'data/scratch/other/tmp/file'],
  ...['home/.ssh/id_rsa', 'home/.aws/credentials', 'home/.netrc', 'home/.bash_history', 'home/.bashrc.real'],
  ...['home/.config/gh/hosts.yml', 'home/.cargo/credentials.toml', 'home/.npmrc', 'home/.gitconfig'],
  ...['home/.unheard-of/secret', 'elsewhere/file'],
];

interface Case {
  readonly name: string;
  readonly profile: Order['profile'];
  readonly as: { readonly uid?: number; readonly gid?: number };
  readonly by?: 'runtime' | 'docker';
}

const asUser: readonly Case[] = hasOrdinaryUser
  ? (['strict', 'local'] as const).map((profile) => ({
      name: `${profile}, as a user`,
      profile,
      as: ordinaryUser,
    }))
  : [];
const asRoot: readonly Case[] = isRoot
  ? (EVERY_POINT ? (['strict', 'local'] as const) : (['strict'] as const)).map((profile) => ({
      name: `${profile}, as root`,
      profile,
      as: {},
    }))
  : [];

/** The runtime does not run as root. */
const inRuntime: readonly Case[] = runtime
  ? asUser
      .filter(({ profile }) => EVERY_POINT || profile === 'local')
      .map(({ name, ...kind }) => ({ ...kind, name: `${name}, by the runtime`, by: 'runtime' }))
  : [];

/** As whoever may ask the engine. */
const inDocker: readonly Case[] = docker ? [{ name: 'docker', profile: 'strict', as: {}, by: 'docker' }] : [];

/** The host that attempts run on: a home, Capybara's data, other sessions, something that listens, something to kill. */
class Host {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-escape-')));
  readonly world: World;
  connections = 0;
  readonly #closing: (() => void)[] = [];
  readonly #victim: ChildProcess;
  /** The worker whose command tries. */
  child: ChildProcess | undefined;

  private constructor(world: Omit<World, 'home' | 'workspace' | 'victim'>, victim: ChildProcess) {
    this.#victim = victim;
    this.world = { ...world, home: '', workspace: '', victim: victim.pid ?? 0 };
  }

  static async start({ profile, as }: Case): Promise<Host> {
    const victim = spawn('sleep', ['98765'], { ...as, stdio: 'ignore', env: { SECRET: 'ESCAPED' } });
    const host = new Host(
      {
        data: '',
        otherWorkspace: '',
        otherScratch: '',
        elsewhere: '',
        tcpPort: 0,
        udpPort: 0,
        abstractSocket: '',
        socketPath: '',
        workerPid: process.pid,
      },
      victim,
    );
    host.#write(profile, as);
    const { data, socketPath } = host.#paths(profile);
    const abstractSocket = `capybara-escape-${process.pid}-${victim.pid}`;
    const tcpPort = await host.#listen(0);
    await host.#listen(socketPath);
    chmodSync(socketPath, 0o777);
    await host.#listen(`\0${abstractSocket}`);
    const udpPort = await host.#receive();
    Object.assign(host.world, host.#paths(profile), { data, abstractSocket, tcpPort, udpPort });
    return host;
  }

  get victimLives(): boolean {
    return this.#victim.exitCode === null && this.#victim.signalCode === null;
  }

  /** Of all files but those the attempts may make. */
  changes(): string[] {
    const changed = SECRETS.filter((path) => readFileSync(join(this.path, path), 'utf8') !== SECRET);
    const added = readdirSync(join(this.path, 'elsewhere')).filter((name) => name !== 'file');
    return [
      ...changed,
      ...added,
      ...['/zz', '/usr/zz', '/etc/zz', '/usr/local/zz', '/var/zz'].filter(existsSync),
    ];
  }

  close(): void {
    for (const close of this.#closing) close();
    this.#victim.kill('SIGKILL');
    this.child?.kill('SIGKILL');
    rmSync(this.path, { recursive: true, force: true });
  }

  #paths(profile: Order['profile']) {
    const [home, data] = [join(this.path, 'home'), join(this.path, 'data')];
    return {
      ...{ home, data, elsewhere: join(this.path, 'elsewhere'), socketPath: join(home, '.agent.sock') },
      ...{ otherWorkspace: join(data, 'workspaces/other'), otherScratch: join(data, 'scratch/other') },
      workspace: profile === 'strict' ? join(data, 'workspaces/mine') : join(home, 'project'),
      scratch: join(data, 'scratch/mine'),
    };
  }

  #write(profile: Order['profile'], as: Case['as']): void {
    const { home, workspace, data } = this.#paths(profile);
    for (const path of SECRETS) {
      mkdirSync(dirname(join(this.path, path)), { recursive: true });
      writeFileSync(join(this.path, path), SECRET);
    }
    mkdirSync(workspace, { recursive: true });
    mkdirSync(join(data, 'scratch'), { recursive: true });
    symlinkSync(join(home, '.ssh'), join(home, 'keys'));
    if (isRoot && as.uid === undefined && profile === 'strict') {
      for (const way of [this.path, data, join(data, 'workspaces'), join(data, 'scratch')])
        chmodSync(way, 0o711);
      chownSync(workspace, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
    } else giveTo(this.path, as);
  }

  async #listen(where: number | string): Promise<number> {
    const server = createServer((socket) => {
      this.connections += 1;
      socket.destroy();
    });
    const address = typeof where === 'number' ? { port: where, host: '127.0.0.1' } : { path: where };
    server.listen(address);
    await once(server, 'listening');
    this.#closing.push(() => server.close());
    const at = server.address();
    return typeof at === 'object' ? (at?.port ?? 0) : 0;
  }

  async #receive(): Promise<number> {
    const socket = createSocket('udp4', () => {
      this.connections += 1;
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    this.#closing.push(() => socket.close());
    return socket.address().port;
  }
}

function giveTo(path: string, { uid, gid }: Case['as']): void {
  if (uid === undefined || gid === undefined) return;
  for (const name of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (!name.isSymbolicLink()) chownSync(join(name.parentPath, name.name), uid, gid);
  }
  chownSync(path, uid, gid);
}

interface Outcome {
  readonly end: unknown;
  readonly droppedBytes: number;
  readonly said: ReadonlyMap<string, string>;
}

/** In a process of its own, with secrets in its environment and a file that it left open. */
async function attempt(
  host: Host,
  { profile, as, by }: Case,
  attempts: readonly Attempt[],
): Promise<Outcome> {
  const { home, data, workspace } = host.world;
  const left = openSync(join(host.path, SECRETS[0] ?? ''), 'r');
  const env = {
    ...{ PATH: process.env.PATH, HOME: home, TMPDIR: join(host.path), SSH_AUTH_SOCK: `${home}/.agent.sock` },
    ...{
      DATABASE_URL: 'ESCAPED',
      ANTHROPIC_API_KEY: 'ESCAPED',
      LD_LIBRARY_PATH: '/ESCAPED',
      NODE_NO_WARNINGS: '1',
    },
  };
  const stdio = ['pipe', 'pipe', 'inherit', ...Array.from({ length: 9 }, () => left)] as const;
  const child = spawn(process.execPath, [CHILD], { ...as, env, cwd: '/', stdio: [...stdio] });
  host.child = child;
  const scripts = Object.fromEntries(attempts.map(({ name, script }) => [name, script]));
  const scratch = join(data, 'scratch/mine');
  const programs = by === 'runtime' && runtime ? { programs: runtime } : {};
  const engine = by === 'docker' && docker ? { engine: docker } : {};
  const confines = { program: bubblewrap ?? '', ...programs, ...engine };
  const order: Order = { profile, ...confines, data, workspace, scratch, scripts };
  child.stdin?.end(JSON.stringify(order));
  const said = await text(child.stdout as NodeJS.ReadableStream);
  closeSync(left);
  const outcome = JSON.parse(said) as { end: unknown; droppedBytes: number; said: [string, string][] };
  return { ...outcome, said: new Map(outcome.said) };
}

/** The names, of any world. */
const ATTEMPTS = escapeAttempts({
  ...{ home: '', data: '', otherWorkspace: '', otherScratch: '', workspace: '', elsewhere: '' },
  ...{ tcpPort: 0, udpPort: 0, abstractSocket: '', socketPath: '', victim: 0, workerPid: 0 },
});

test('there are more than a hundred attempts, each with a name of its own', () => {
  expect(new Set(ATTEMPTS.map(({ name }) => name.replaceAll("'", ''))).size).toBe(ATTEMPTS.length);
  expect(ATTEMPTS.length).toBeGreaterThan(150);
  expect(ATTEMPTS.filter(({ exceptRuntime }) => !exceptRuntime).length).toBeGreaterThan(100);
});

const inBubblewrap = bubblewrap === undefined ? [] : [...asUser, ...asRoot];

describe.each([...inBubblewrap, ...inRuntime, ...inDocker])('out of a sandbox ($name)', (kind) => {
  let host: Host;
  let outcome: Outcome;
  const rootsOwn = kind.profile === 'local' && isRoot && kind.as.uid === undefined;

  beforeAll(async () => {
    host = await Host.start(kind);
    outcome = await attempt(host, kind, escapeAttempts(host.world));
  }, PATIENCE_MS);
  afterAll(() => host?.close());

  const isOut = ({ exceptRoot, exceptRuntime }: Attempt) =>
    (rootsOwn && exceptRoot) || (kind.by === 'runtime' && exceptRuntime);

  test.each(ATTEMPTS.filter((each) => !isOut(each)))('nobody can $name', ({ name }) => {
    const said = outcome.said.get(name.replaceAll("'", ''));
    expect(said).toBeDefined();
    expect(said).not.toContain('ESCAPED');
  });

  test('nothing of the host is changed, called or ended', () => {
    expect(outcome).toMatchObject({ end: { type: 'exit' }, droppedBytes: 0 });
    expect(host.changes()).toEqual([]);
    expect(host.connections).toBe(0);
    expect(host.victimLives).toBe(true);
  });

  test('nothing goes on when the command has ended', () => {
    expect(outcome.end).toMatchObject({ type: 'exit' });
    expect(pidsIn(host.world.workspace)).toEqual([]);
  });
});

describe.runIf(process.platform === 'linux')('without a sandbox', () => {
  test('what can be tried without harm gets out, so the attempts are real', async () => {
    const kind: Case = { name: 'none', profile: 'none', as: {} };
    const host = await Host.start(kind);
    try {
      const attempts = escapeAttempts(host.world).filter(({ control }) => control);
      const { said } = await attempt(host, kind, attempts);
      const held = [...said]
        .filter(([, words]) => !words.includes('ESCAPED'))
        .map(([name, words]) => `${name}: ${words}`);
      expect(held).toEqual([]);
      expect(host.connections).toBeGreaterThan(2);
    } finally {
      host.close();
    }
  });
});
