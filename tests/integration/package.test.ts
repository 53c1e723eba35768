/**
 * The package as npm delivers it: packed, unpacked below a prefix of its own with what it depends on alone, and used from
 * somewhere else with little on the PATH.
 *
 * CAPYBARA_TEST_EVERY_POINT=1 has npm install it from its registry, and proves it for longer.
 */
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { CLI_TIMEOUT_MS, git } from '../support/cli.ts';
import {
  call,
  hang,
  type ScriptedModel,
  say,
  sequence,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';
const INSTALL_MS = 300_000;
const WAIT_MS = 60_000;

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS });

/** The machine's own Node, not the one of this checkout's node_modules: what a user has. */
const machineNode = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((directory) => !directory.includes('node_modules') && existsSync(join(directory, 'node')))
  .at(0);

let directory: string;
let prefix: string;
let elsewhere: string;
let unreachable: string | undefined;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'capybara-package-'));
  // As root, Postgres runs as another user, who has to reach its programs.
  chmodSync(directory, 0o755);
  prefix = join(directory, 'prefix');
  elsewhere = join(directory, 'elsewhere');
  mkdirSync(elsewhere);
  // `npm run types` has checked them.
  const build = [join(ROOT, 'scripts', 'build.ts'), '--noCheck'];
  execFileSync(process.execPath, build, { cwd: ROOT, stdio: 'pipe' });
  const tarball = packed();
  if (EVERY_POINT) unreachable = await installed(tarball);
  else unpacked(tarball);
}, INSTALL_MS);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Without scripts: `prepack` was run above, and `prepare` would rewrite files that other tests are reading. */
function packed(): string {
  const args = ['pack', '--ignore-scripts', '--silent', '--pack-destination', directory];
  return join(directory, execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8' }).trim());
}

/**
 * As npm lays it out, with this checkout's packages in the place of downloaded ones: those that the package names itself, so that
 * nothing of it finds another.
 */
function unpacked(tarball: string): void {
  const root = join(prefix, 'lib', 'node_modules', 'capybara');
  mkdirSync(root, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', root, '--strip-components=1']);
  const { dependencies, optionalDependencies, bin } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  const present = (name: string) => existsSync(join(ROOT, 'node_modules', name));
  for (const name of [...Object.keys(dependencies), ...Object.keys(optionalDependencies).filter(present)]) {
    const place = join(root, 'node_modules', name);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), place);
  }
  mkdirSync(join(prefix, 'bin'));
  for (const [name, program] of Object.entries<string>(bin)) {
    chmodSync(join(root, program), 0o755);
    symlinkSync(join(root, program), join(prefix, 'bin', name));
  }
}

/** `undefined`, or why the registry could not be reached. */
async function installed(tarball: string): Promise<string | undefined> {
  const flags = ['--omit=dev', '--prefer-offline', '--no-audit', '--no-fund', '--fetch-retries=1'];
  try {
    await promisify(execFile)('npm', ['install', '--global', '--prefix', prefix, tarball, ...flags], {
      cwd: elsewhere,
    });
    return undefined;
  } catch (error) {
    const { stderr } = error as { stderr: string };
    const network = stderr.match(
      /.*\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b.*/,
    );
    if (network === null) throw error;
    return network[0];
  }
}

/** Runs a program of the installed package outside the checkout. */
function use(name: string, ...args: string[]) {
  const options = { cwd: elsewhere, encoding: 'utf8', env: environment() } as const;
  const { status, stdout, stderr } = spawnSync(join(prefix, 'bin', name), args, options);
  return { status, stdout, stderr };
}

function environment(): NodeJS.ProcessEnv {
  return {
    PATH: [machineNode ?? dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter),
    HOME: elsewhere,
  };
}

/** A test of the installed package; where there is no registry it says loudly that it did not take place. */
function installedTest(name: string, check: () => void | Promise<void>): void {
  test(name, async (context) => {
    if (unreachable !== undefined) {
      console.warn(`SKIPPED: "${name}": npm could not reach its registry (${unreachable})`);
      context.skip(`the registry is out of reach: ${unreachable}`);
    }
    await check();
  });
}

installedTest('capybara and capy print the version and the help', () => {
  for (const name of ['capybara', 'capy']) {
    expect(use(name, '--version')).toMatchObject({
      status: 0,
      stderr: '',
      stdout: expect.stringMatching(/^capybara\/\d/),
    });
    expect(use(name, '--help')).toMatchObject({
      status: 0,
      stderr: '',
      stdout: expect.stringContaining('USAGE'),
    });
  }
  expect(use('capybara', '__complete', 'fish', 'approvals', 'al').stdout).toMatch(/^allow\t/);
  expect(use('capybara', 'completion', 'bash').stdout).toMatch(/^# Completion of capybara for bash/);
});

installedTest('a command that does not exist is bad usage, said in one sentence', () => {
  expect(use('capybara', 'no-such-command')).toEqual({
    status: 2,
    stdout: '',
    stderr: 'There is no command "no-such-command": see `capybara --help`.\n',
  });
});

installedTest('a reader that closes the pipe early is no error', () => {
  const pipeline = `{ "${join(prefix, 'bin', 'capybara')}" --help; echo "status $?" >&2; } | head -n 1`;
  const { stdout, stderr } = spawnSync('sh', ['-c', pipeline], {
    cwd: elsewhere,
    encoding: 'utf8',
    env: environment(),
  });
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  expect(stderr).toBe('status 0\n');
});

installedTest('the package brings what it runs on and nothing that only its development needs', () => {
  const root = join(prefix, 'lib', 'node_modules', 'capybara');
  for (const name of ['vitest', 'typescript', 'prisma', '@biomejs']) {
    expect(existsSync(join(root, 'node_modules', name)), name).toBe(false);
  }
  expect(readdirSync(join(root, 'prisma', 'migrations'))).toContain('migration_lock.toml');
  expect(readdirSync(join(root, 'dist', 'store', 'transitions')).length).toBeGreaterThan(0);
  expect(existsSync(join(root, 'dist', 'embedded', 'postgres-guard.js'))).toBe(true);
  expect(existsSync(join(root, 'dist', 'client', 'client.d.ts'))).toBe(true);
  expect(existsSync(join(root, 'src'))).toBe(false);
});

installedTest('its embedded Postgres starts, is migrated and stops', async () => {
  const root = join(prefix, 'lib', 'node_modules', 'capybara', 'dist');
  const code = `
    const { startPostgres } = await import(${JSON.stringify(join(root, 'embedded', 'postgres.js'))});
    const { migrate } = await import(${JSON.stringify(join(root, 'store', 'migrate.js'))});
    const postgres = await startPostgres({ dataDir: ${JSON.stringify(join(directory, 'data'))}, log: () => {}, fsync: false });
    await migrate(postgres.url, { log: console.log });
    await postgres.stop();`;
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { cwd: elsewhere });
  expect((await run).stdout).toMatch(/^applying migration /);
});

installedTest('verify proves the installed package, with processes of its own', async () => {
  // What breaks, and is mended, is `chaos/verify`'s; here its processes have to start and end.
  const size = EVERY_POINT ? ['--minutes', '0.1'] : ['--minutes', '0.02', '--sessions', '2'];
  const args = ['verify', '--seed', '1', '--backend', 'postgres', ...size];
  const options = { cwd: elsewhere, env: environment(), timeout: 150_000 };
  const { stdout } = await promisify(execFile)(join(prefix, 'bin', 'capybara'), args, options);
  expect(stdout).toContain('Nothing was lost, and nothing was done twice.');
});

describe('the installed command', () => {
  let model: ScriptedModel;
  let repository: string;

  beforeAll(async () => {
    model = await startScriptedModel({
      script: sequence([
        [say('I look.'), call('grep', { pattern: 'hello' })],
        call('edit_file', { path: 'greeting.txt', old_string: 'world', new_string: 'capybara' }),
        call('bash', { command: 'cat greeting.txt' }),
        say('Mended.'),
        [say('And now I wait.'), hang()],
      ]),
    });
    repository = join(directory, 'repository');
    mkdirSync(repository);
    writeFileSync(join(repository, 'greeting.txt'), 'hello world\n');
    git(repository, 'init', '--quiet');
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '--message', 'Begin');
  });
  afterAll(() => model.close());

  const inRepository = () => ({
    cwd: repository,
    env: { ...environment(), CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL: 'scripted' },
  });

  installedTest('changes a repository, on whatever Node the machine has', async () => {
    const program = join(prefix, 'bin', 'capybara');
    const { stdout, stderr } = await promisify(execFile)(
      program,
      ['run', '--mode', 'auto', 'greet the capybara'],
      inRepository(),
    );
    expect(stderr).toBe('');
    expect(stdout).toMatch(/\n✓ grep hello\n(.*\n)*✓ edit_file greeting.txt\n(.*\n)*Mended\.\n\n✓ Done in /);
    expect(readFileSync(join(repository, 'greeting.txt'), 'utf8')).toBe('hello capybara\n');
    expect(git(repository, 'status', '--porcelain')).toBe(' M greeting.txt\n');
    expect(model.refusals).toEqual([]);
  });

  installedTest('leaves no process when it is killed in the middle of a task', async () => {
    const program = join(prefix, 'bin', 'capy');
    const child = spawn(program, ['run', '--continue', 'wait'], {
      ...inRepository(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout });
    await model.waitForRequest(({ answers }) => answers === 4, WAIT_MS);
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    expect((await exited)[1]).toBe('SIGKILL');
    // The pipe closes when the last process that writes to it has gone.
    await once(lines, 'close');
    await vi.waitFor(() => expect(processesBelow(directory)).toEqual([]), WAIT_MS);
  });
});

/** Processes that work below a directory, as Postgres does in its data. */
function processesBelow(path: string): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && directoryOf(name).startsWith(path));
}

/** Empty where the process has ended meanwhile. */
function directoryOf(pid: string): string {
  try {
    return readlinkSync(join('/proc', pid, 'cwd'));
  } catch {
    return '';
  }
}
