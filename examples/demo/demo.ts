/**
 * `npm run demo`: Capybara's main job with no keys, no services and no network. Everything is real but the model: an embedded
 * Postgres, the queue on it, API and worker (`capybara up`), a git repository with a failing test, and a scripted model in a
 * process of its own behind OpenAI's wire protocol.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { git, makeRepository, PROMPT } from './repository.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = join(HERE, '../..');
const START_TIMEOUT_MS = 60_000;

const place = mkdtempSync(join(tmpdir(), 'capybara-demo-'));
const children: ChildProcess[] = [];
process.once('SIGINT', () => void cleanUp().then(() => process.exit(130)));
process.once('SIGTERM', () => void cleanUp().then(() => process.exit(143)));

try {
  process.exitCode = await demo();
} catch (error) {
  process.stderr.write(`The demo broke off: ${error instanceof Error ? error.message : String(error)}.\n`);
  process.exitCode = 1;
} finally {
  await cleanUp();
}

async function demo(): Promise<number> {
  const repository = makeRepository(join(place, 'durations'));
  heading('A git repository whose tests fail', 'git log --oneline; node --test');
  process.stdout.write(git(repository, 'log', '--oneline'));
  process.stdout.write(testSummary(repository));

  const model = await startModel();
  const env = environment(model);
  heading('A scripted model, Postgres, API and worker start', 'capybara up');
  process.stdout.write(`${await startCapybara(env)}\n`);

  heading('An agent works on it', `capybara run --mode auto "${PROMPT}"`);
  const code = await finished(capybara(['run', '--mode', 'auto', PROMPT], { env, cwd: repository }));

  heading('What it changed', 'git diff');
  process.stdout.write(git(repository, 'diff', '--stat', '--patch'));
  heading('What was used', 'capybara tasks show last');
  await finished(capybara(['tasks', 'show', 'last'], { env, cwd: repository }));
  sayWhatNext();
  return code;
}

/** How many tests there are, pass and fail: three lines of what `node --test` says. */
function testSummary(repository: string): string {
  const args = ['--test', '--test-reporter=tap'];
  const { stdout } = spawnSync(process.execPath, args, { cwd: repository, encoding: 'utf8' });
  return `${(stdout.match(/^# (tests|pass|fail) \d+$/gm) ?? []).join('\n')}\n`;
}

async function startModel(): Promise<string> {
  const main = join(ROOT, 'tests/support/scripted-model/main.ts');
  const child = spawn(process.execPath, [main, join(HERE, 'script.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  return JSON.parse(await firstLine(child)).baseUrl;
}

/** Nothing of the user's Capybara is touched, and no key of theirs is used. */
function environment(modelUrl: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(CAPYBARA_|ANTHROPIC_|OPENAI_|DATABASE_|REDIS_)/.test(name),
  );
  return {
    ...Object.fromEntries(kept),
    CAPYBARA_DATA_DIR: join(place, 'data'),
    CAPYBARA_MODEL_ENDPOINT: modelUrl,
    CAPYBARA_MODEL: 'scripted',
    XDG_CONFIG_HOME: join(place, 'config'),
  };
}

function startCapybara(env: NodeJS.ProcessEnv): Promise<string> {
  const child = capybara(['up', '--port', '0'], { env, cwd: place, stdout: 'pipe' });
  children.push(child);
  return firstLine(child);
}

interface Place {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly stdout?: 'inherit' | 'pipe';
}

function capybara(args: readonly string[], { env, cwd, stdout = 'inherit' }: Place): ChildProcess {
  return spawn(process.execPath, [join(ROOT, 'bin/dev.js'), ...args], {
    cwd,
    env,
    stdio: ['ignore', stdout, 'inherit'],
  });
}

/** The first line a process prints says that it is ready; one that ends or stays silent fails the demo. */
function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timeout = setTimeout(
      () => reject(new Error('a process of the demo did not start in time')),
      START_TIMEOUT_MS,
    );
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(timeout);
      reject(new Error(`a process of the demo ended with ${signal ?? `exit code ${code}`}`));
    });
    if (child.stdout === null) return;
    const lines = createInterface({ input: child.stdout });
    lines.once('line', (line) => {
      clearTimeout(timeout);
      resolve(line);
    });
  });
}

function finished(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
}

function heading(what: string, command?: string): void {
  const typed = command === undefined ? '' : `   $ ${command}\n`;
  process.stdout.write(`\n── ${what}\n${typed}\n`);
}

function sayWhatNext(): void {
  heading('What to type next, in a repository of yours, with a model of yours');
  process.stdout.write(
    [
      '  export ANTHROPIC_API_KEY=…            # or OPENAI_API_KEY=…, or for any endpoint of your own:',
      '  export CAPYBARA_MODEL_ENDPOINT=http://127.0.0.1:11434/v1 CAPYBARA_MODEL=your-model',
      '  npm run build && npm install -g .     # puts capybara and capy on the PATH',
      '  cd your/repository && capybara run "What you want done"',
      '',
    ].join('\n'),
  );
}

async function cleanUp(): Promise<void> {
  for (const child of children.splice(0).toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = finished(child);
    child.stdin?.end();
    child.kill('SIGTERM');
    await gone;
  }
  rmSync(place, { recursive: true, force: true });
}
