import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findGroupPlace, groupsSentence } from '../../src/sandbox/group-place.ts';
import { bubblewrap } from '../support/bubblewrap.ts';
import { CLI_TIMEOUT_MS, Place } from '../support/cli.ts';
import { docker } from '../support/docker.ts';
import { runtime } from '../support/runtime.ts';

const place = new Place({}, { isNew: true });
afterAll(() => place.remove());

const stateOf = (stdout: string) => {
  const { checks } = JSON.parse(stdout) as { checks: { name: string; state: string; found: string }[] };
  return Object.fromEntries(checks.map(({ name, state }) => [name, state]));
};

test('doctor says what is in force, and that nothing must be mended', {
  timeout: CLI_TIMEOUT_MS,
}, async () => {
  const { code, stdout, stderr } = await place.run(['doctor']);
  expect(stderr).toBe('');
  const lines = stdout.trim().split('\n');
  expect(lines.map((line) => line.replace(/: .*/, ''))).toEqual([
    ...['✓ Capybara', '✓ Node', '✓ ripgrep', '✓ git', '✓ clock', '! sandbox', '✓ data directory', '✓ disk'],
    ...['✓ own Capybara', '! providers', 'Nothing must be mended; 2 things could be better (!).'],
  ]);
  expect(lines[0]).toMatch(/^✓ Capybara: \d+\.\d+\.\d+, in \//);
  expect(lines[1]).toBe(`✓ Node: ${process.versions.node}, ${process.execPath}.`);
  expect(lines[2]).toMatch(/^✓ ripgrep: ripgrep \d/);
  expect(lines[3]).toMatch(/^✓ git: git version \d/);
  expect(lines[5]).toBe('! sandbox: Commands run unconfined: CAPYBARA_SANDBOX is off.');
  expect(lines[6]).toBe(`✓ data directory: ${place.dataDir} can be made.`);
  expect(lines[7]).toMatch(/^✓ disk: \d+ [MG]iB free at /);
  expect(lines[8]).toBe(`✓ own Capybara: none runs on ${place.dataDir}; capybara up starts one.`);
  expect(lines[9]).toBe('! providers: no provider of models is configured: capybara init sets one up.');
  expect(code).toBe(0);
});

test('doctor --json finds what must be mended', { timeout: CLI_TIMEOUT_MS }, async () => {
  const port = await unusedPort();
  const file = join(place.path, 'file');
  writeFileSync(file, '');
  const env = {
    ...{ DATABASE_URL: `postgres://u:secret@127.0.0.1:${port}/d`, REDIS_URL: `redis://127.0.0.1:${port}` },
    ...{ CAPYBARA_DATA_DIR: join(file, 'data'), CAPYBARA_SANDBOX: 'bubblewrap', PATH: '/nowhere' },
  };
  const { code, stdout } = await place.run(['doctor', '--json'], { env });
  const states = {
    sandbox: 'wrong',
    git: 'wrong',
    'data directory': 'wrong',
    Postgres: 'wrong',
    Redis: 'wrong',
  };
  const well = {
    Capybara: 'ok',
    Node: 'ok',
    ripgrep: 'ok',
    clock: 'ok',
    providers: 'warning',
    'encryption key': 'warning',
  };
  expect(stateOf(stdout)).toEqual({ ...well, disk: 'ok', ...states });
  expect(stdout).not.toContain('secret');
  expect(code).toBe(1);
});

test.runIf(bubblewrap !== undefined)(
  'doctor names bubblewrap where it works',
  { timeout: CLI_TIMEOUT_MS },
  async () => {
    const { stdout } = await place.run(['doctor'], { env: { CAPYBARA_SANDBOX: 'auto' } });
    expect(stdout).toMatch(/^✓ sandbox: Commands run in bubblewrap \(local\): \S+ \d+\.\d+\S* works here/m);
    const groups = findGroupPlace(['memory', 'pids']);
    expect(stdout).toContain(`${groups.works ? '✓' : '!'} control groups: ${groupsSentence(groups)}\n`);
  },
);

test('doctor finds what a web search lacks, in the words of run', { timeout: CLI_TIMEOUT_MS }, async () => {
  const env = {
    ...{ CAPYBARA_WEB_SEARCH_PROVIDER: 'brave', OPENAI_API_KEY: 'sk-none', CAPYBARA_MODEL: 'openai/m' },
  };
  const said =
    'CAPYBARA_WEB_SEARCH_PROVIDER is brave, which needs CAPYBARA_WEB_SEARCH_API_KEY (its key): set it, or no provider.\n';
  const { code, stdout } = await place.run(['doctor'], { env });
  expect(stdout).toContain(`✗ web search: ${said}`);
  expect(code).toBe(1);
  expect((await place.run(['run', 'x'], { env })).stderr).toBe(said);
  const good = { CAPYBARA_WEB_SEARCH_PROVIDER: 'brave', CAPYBARA_WEB_SEARCH_API_KEY: 'secret' };
  const { stdout: fine } = await place.run(['doctor'], { env: good });
  expect(fine).toContain('✓ web search: brave has what it needs.\n');
  expect(fine).not.toContain('secret');
});

test('doctor goes on where the settings cannot be read, and shows no key', {
  timeout: CLI_TIMEOUT_MS,
}, async () => {
  const env = { CAPYBARA_PORT: 'high', CAPYBARA_API_KEY: 'capy_hush' };
  const { code, stdout, stderr } = await place.run(['doctor'], { env });
  expect(stdout).toContain('✗ settings: ');
  expect(stdout).toMatch(/^✓ git: /m);
  expect(stdout).toMatch(/\nOne thing must be mended\.\n$/);
  expect(stdout + stderr).not.toContain('hush');
  expect([code, stderr]).toEqual([1, '']);
});

describe('rules for tools that there are none of', () => {
  const UNKNOWN = 'Rules for tools that do not exist count for nothing: ';
  const env = { CAPYBARA_PERMISSIONS: '{"bsh(rm *)":"deny","bash(*)":"allow","forge__close":"ask"}' };

  test('must be mended, in the settings and in the project', { timeout: 2 * CLI_TIMEOUT_MS }, async () => {
    const cwd = mkdtempSync(join(place.path, 'project-'));
    mkdirSync(join(cwd, '.capybara'));
    writeFileSync(join(cwd, '.capybara', 'config.yaml'), 'permissions:\n  edit: deny\n');
    const { code, stdout } = await place.run(['doctor'], { env, cwd });
    expect(stdout).toContain(
      `✗ permissions: ${UNKNOWN}"bsh" (the nearest one is "bash"): ` +
        'mend their names where `capybara config show` says they are from.\n',
    );
    expect(stdout).toContain(
      `✗ permissions of the project: ${UNKNOWN}"edit" (the nearest one is "glob"): ` +
        'mend their names in its .capybara/config.yaml.\n',
    );
    expect(code).toBe(1);
    const good = await place.run(['doctor'], { env: { CAPYBARA_PERMISSIONS: '{"bash(*)":"ask"}' } });
    expect(good.stdout).toContain('✓ permissions: there is a tool for each rule.\n');
    expect(good.code).toBe(0);
  });

  test.each(['run', 'submit'])('are told of once by %s', { timeout: CLI_TIMEOUT_MS }, async (command) => {
    const { stderr } = await place.run([command, 'x'], { env });
    expect(stderr.split('\n')[0]).toBe(`${UNKNOWN}"bsh" (the nearest one is "bash").`);
    expect(stderr.match(/"bsh"/g)).toHaveLength(1);
  });

  test('are the server’s to tell of, but for those of the project', {
    timeout: 2 * CLI_TIMEOUT_MS,
  }, async () => {
    const cwd = mkdtempSync(join(place.path, 'project-'));
    mkdirSync(join(cwd, '.capybara'));
    writeFileSync(join(cwd, '.capybara', 'config.yaml'), 'permissions:\n  grpe: deny\n');
    const url = { CAPYBARA_URL: `http://127.0.0.1:${await unusedPort()}` };
    const sentence = `${UNKNOWN}"grpe" (the nearest one is "grep").`;
    const submits = [
      place.start(['submit', 'x'], { env: { ...env, ...url }, cwd }),
      place.start(['submit', 'x', '--root', `app=${cwd}`], { env: url }),
    ];
    for (const submit of submits) {
      // Said before anything is sent; for a server that is not there it would wait.
      await submit.says(/\n/);
      submit.kill('SIGKILL');
      expect((await submit.ended).stderr.split('\n')[0]).toBe(sentence);
    }
  });
});

test('doctor tries what hosts share snapshots in, and shows no password', {
  timeout: 2 * CLI_TIMEOUT_MS,
}, async () => {
  const stateWith = async (snapshots: string) => {
    const { stdout } = await place.run(['doctor', '--json'], { env: { CAPYBARA_SNAPSHOTS: snapshots } });
    expect(stdout).not.toContain('secret');
    return stateOf(stdout)['shared snapshots'];
  };
  const bare = join(place.path, 'bare.git');
  execFileSync('git', ['init', '--quiet', '--bare', bare]);
  const file = join(place.path, 'no-directory');
  writeFileSync(file, '');
  const refused = await unusedPort();
  expect(await stateWith(join(place.path, 'shared'))).toBe('ok');
  expect(await stateWith(`file://${bare}`)).toBe('ok');
  expect(await stateWith(join(file, 'shared'))).toBe('wrong');
  expect(await stateWith(`http://me:secret@127.0.0.1:${refused}/x.git`)).toBe('wrong');
});

test('doctor says that a path of shared snapshots has to be absolute', {
  timeout: CLI_TIMEOUT_MS,
}, async () => {
  const bare = join(place.cwd, 'bare.git');
  execFileSync('git', ['init', '--quiet', '--bare', bare]);
  const said = async (snapshots: string) =>
    (await place.run(['doctor'], { env: { CAPYBARA_SNAPSHOTS: snapshots } })).stdout;
  for (const path of ['bare.git', 'rel/path', './x:y'])
    expect(await said(path)).toContain(
      `✗ shared snapshots: ${path} is a relative path, and one has to be absolute: ` +
        'set CAPYBARA_SNAPSHOTS to an absolute path, or to the address of a git remote.\n',
    );
});

test('doctor says what docker wants, where it is set and is not there', {
  timeout: CLI_TIMEOUT_MS,
}, async () => {
  const env = {
    CAPYBARA_SANDBOX: 'docker',
    CAPYBARA_DOCKER_IMAGE: 'some',
    CAPYBARA_DOCKER_PROGRAM: 'no-docker',
  };
  const { code, stdout } = await place.run(['doctor'], { env });
  expect(stdout).toContain(
    '✗ sandbox: CAPYBARA_SANDBOX is docker, but there is no no-docker on the PATH: install docker (apt install docker.io), ' +
      'or set CAPYBARA_SANDBOX=auto.\n',
  );
  expect(code).toBe(1);
});

test.runIf(docker !== undefined)(
  'doctor names docker where it works',
  { timeout: CLI_TIMEOUT_MS },
  async () => {
    const { image, host = '' } = docker ?? expect.unreachable();
    const env = { CAPYBARA_SANDBOX: 'docker', CAPYBARA_DOCKER_IMAGE: image, CAPYBARA_DOCKER_HOST: host };
    const { code, stdout } = await place.run(['doctor'], { env });
    expect(stdout).toMatch(
      /^✓ sandbox: Commands run in docker: CAPYBARA_SANDBOX is docker, and \S+ runs them by engine \d/m,
    );
    expect(code).toBe(0);
  },
);

test.runIf(runtime !== undefined)(
  'doctor names the sandbox runtime where it was asked for, and refuses it to root',
  { timeout: CLI_TIMEOUT_MS },
  async () => {
    const { stdout } = await place.run(['doctor'], { env: { CAPYBARA_SANDBOX: 'runtime' } });
    expect(stdout.split('\n').find((line) => line.includes(' sandbox: '))).toMatch(
      process.getuid?.() === 0
        ? /^✗ sandbox: Commands of agents must be confined here, but the sandbox runtime would run commands as root: run Capybara as an ordinary user/
        : /^✓ sandbox: Commands run in the sandbox runtime \(local\): sandbox-runtime \d+\.\d+\.\d+, by \S+, works here/,
    );
  },
);

/** A port that nobody listens on any more. */
async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
