/** What only whole processes show: exact stdout, stderr and exit codes of bad input, signals and pipes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cliProgram } from '../support/cli.ts';
import {
  aTask,
  event,
  openStream,
  type ScriptedApi,
  SESSION_ID,
  sendEvents,
  startScriptedApi,
  TASK_ID,
} from './scripted-api.ts';

let cwd: string;
let api: ScriptedApi | undefined;
const children: ChildProcess[] = [];

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'capybara-process-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await api?.close();
  api = undefined;
  rmSync(cwd, { recursive: true, force: true });
});

function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env;
  const variables = { PATH, NODE_COMPILE_CACHE, HOME: cwd, CAPYBARA_DATA_DIR: join(cwd, 'data'), ...env };
  const child = spawn(process.execPath, [cliProgram(), ...args], { cwd, env: variables });
  children.push(child);
  return child;
}

function textsOf(child: ChildProcess): { stdout: string; stderr: string } {
  const texts = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (texts.stderr += text));
  return texts;
}

async function capybara(args: readonly string[], { env = {}, stdin = '' } = {}) {
  const child = start(args, env);
  const texts = textsOf(child);
  child.stdin?.on('error', () => {}).end(stdin);
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...texts };
}

test.each<[string, string[], string]>([
  [
    'an empty profile',
    ['config', 'show', '--profile', ''],
    '--profile is empty: expected the name of a profile, or leave it out.',
  ],
  ['no prompt', ['run'], 'Expected PROMPT: see `capybara run --help`.'],
  [
    'a wrong limit',
    ['run', 'x', '--limit', 'turns'],
    '--limit "turns" is not a limit: expected NAME=VALUE with a name of turns, treeTurns, children, concurrentChildren, depth, tokens, usd, seconds and a whole number, for usd also one such as 2.50.',
  ],
  [
    'a Postgres that is none',
    ['verify', '--postgres', 'localhost:5432', '--minutes', '0.1', '--backend', 'postgres'],
    '--postgres is not a Postgres address: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE.',
  ],
  [
    'a port that is none',
    ['up', '--port', '70000'],
    '--port (command line) must be a whole number from 0 to 65535; found "70000".',
  ],
])('%s is one sentence', async (_, args, sentence) => {
  expect(await capybara(args)).toEqual({ code: 2, stdout: '', stderr: `${sentence}\n` });
});

test('a server that is not there is one sentence', async () => {
  const { url, close } = await startScriptedApi();
  await close();
  expect(await capybara(['tail', TASK_ID, '--url', url])).toEqual({
    code: 3,
    stdout: '',
    stderr: `The Capybara at ${url} cannot be reached (connection refused): check the address, or that it runs.\n`,
  });
});

test('a prompt of 10 MB on stdin is refused while it is read', async () => {
  expect(await capybara(['run', '-'], { stdin: 'x'.repeat(10_000_000) })).toEqual({
    code: 2,
    stdout: '',
    stderr: 'The prompt is longer than 1 MiB: put what is long into a file of the workspace and name it.\n',
  });
});

test('malformed settings stop the start; a server does not read them', async () => {
  writeFileSync(join(cwd, '.env'), 'CAPYBARA_PORT\n');
  expect(await capybara(['config', 'show'])).toEqual({
    code: 2,
    stdout: '',
    stderr: `${join(cwd, '.env')}, line 1: this is not a setting; expected NAME=value, a comment (#) or an empty line.\n`,
  });
  expect((await capybara(['worker'])).stderr).toMatch(/^DATABASE_URL is not set/);
});

test('with --json a failure is a problem on stdout', async () => {
  const { code, stdout, stderr } = await capybara(['submit', 'x', '--json']);
  expect(JSON.parse(stdout)).toMatchObject({ code: 'no_server', exitCode: 3 });
  expect([code, stderr]).toEqual([3, '']);
});

test('an unknown command is a problem with --json, too', async () => {
  const { code, stdout, stderr } = await capybara(['sumbit', 'x', '--json']);
  expect(JSON.parse(stdout)).toEqual({
    ...{ type: 'about:blank', title: 'Error', code: 'unknown_command', exitCode: 2 },
    detail: 'There is no command "sumbit": the nearest one is "submit", see `capybara submit --help`.',
  });
  expect([code, stderr]).toEqual([2, '']);
});

test('a name with control characters does not reach the terminal', async () => {
  const { code, stderr } = await capybara(['config', 'show', '--profile', 'a\x1b]0;title\x07b']);
  expect({ code, stderr }).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^The profile "ab" is not in /),
  });
});

test('help comes with the exit codes', async () => {
  expect((await capybara(['--help'])).stdout).toContain('EXIT CODES\n  0    done\n  1    the task failed\n');
});

async function tailing(): Promise<{ child: ChildProcess; texts: ReturnType<typeof textsOf> }> {
  api = await startScriptedApi();
  api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
  const opened = new Promise<void>((resolve) => {
    api?.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) => {
      sendEvents(openStream(response), [event(1, 'task.created')]);
      resolve();
    });
  });
  const child = start(['tail', TASK_ID], { CAPYBARA_URL: api.url });
  const texts = textsOf(child);
  await opened;
  return { child, texts };
}

/** As a shell does it: `capybara … > /dev/full`. */
async function toFullDisk(args: readonly string[], env: Record<string, string> = {}) {
  const full = openSync('/dev/full', 'w');
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env;
  const child = spawn(process.execPath, [cliProgram(), ...args], {
    cwd,
    env: { PATH, NODE_COMPILE_CACHE, HOME: cwd, CAPYBARA_DATA_DIR: join(cwd, 'data'), ...env },
    stdio: ['ignore', full, 'pipe'],
  });
  children.push(child);
  closeSync(full);
  const texts = textsOf(child);
  const [code] = (await once(child, 'close')) as [number];
  return { code, stderr: texts.stderr };
}

const NO_SPACE = 'Cannot write to stdout: no space left on device.\n';

test.each([[['config', 'show']], [['config', 'show', '--json']], [['--help']]])(
  'stdout on a full disk is one sentence: %j',
  async (args) => {
    expect(await toFullDisk(args)).toEqual({ code: 1, stderr: NO_SPACE });
  },
);

test('a tail onto a full disk says so, and detaches', async () => {
  api = await startScriptedApi();
  api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
  api.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) =>
    sendEvents(openStream(response), [event(1, 'turn.recovered')]),
  );
  const { code, stderr } = await toFullDisk(['tail', TASK_ID], { CAPYBARA_URL: api.url });
  expect({ code, stderr }).toEqual({
    code: 130,
    stderr: `${NO_SPACE}Detached: the task goes on.\nFollow it with: capybara tail ${TASK_ID}\n`,
  });
});

test('a reader that goes away before anything is written is no trouble', async () => {
  const child = start(['config', 'show']);
  const texts = textsOf(child);
  child.stdout?.destroy();
  const [code] = await once(child, 'exit');
  expect([code, texts.stderr]).toEqual([0, '']);
});

test('Ctrl-C on a tail detaches with exit code 130', async () => {
  const { child, texts } = await tailing();
  child.kill('SIGINT');
  const [code] = await once(child, 'close');
  expect(code).toBe(130);
  expect(texts.stderr).toContain(`Detached: the task goes on.\nFollow it with: capybara tail ${TASK_ID}\n`);
});

test('Ctrl-C ends a tail that nobody answers, with 130 and without a failure', async () => {
  api = await startScriptedApi();
  const asked = new Promise<void>((resolve) => api?.on(`GET /v1/tasks/${TASK_ID}`, () => void resolve()));
  const child = start(['tail', TASK_ID, '--json'], { CAPYBARA_URL: api.url });
  const texts = textsOf(child);
  await asked;
  child.kill('SIGINT');
  expect((await once(child, 'close'))[0]).toBe(130);
  expect(texts).toEqual({ stdout: '', stderr: 'Stopped before the task was found.\n' });
});

test('SIGTERM on a tail detaches at once', async () => {
  const { child } = await tailing();
  child.kill('SIGTERM');
  expect((await once(child, 'close'))[0]).toBe(130);
});

test('a tail whose reader goes away ends', async () => {
  api = await startScriptedApi();
  api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
  api.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) => {
    openStream(response);
    let seq = 0;
    const timer = setInterval(() => {
      seq += 1;
      sendEvents(response, [event(seq, 'turn.recovered')]);
    }, 5);
    response.on('close', () => clearInterval(timer));
  });
  const child = start(['tail', TASK_ID], { CAPYBARA_URL: api.url });
  child.stdout?.once('data', () => child.stdout?.destroy());
  expect((await once(child, 'exit'))[0]).toBe(130);
});

test('mcp serve has nothing but the protocol on stdout, and ends with its stdin', async () => {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } };
  const initialize = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params });
  const env = { CAPYBARA_URL: 'http://127.0.0.1:9', CAPYBARA_API_KEY: 'capy_hush' };
  const { code, stdout, stderr } = await capybara(['mcp', 'serve'], {
    env,
    stdin: `nonsense\n${initialize}\n`,
  });
  const answers = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(answers).toMatchObject([{ id: 1, result: { serverInfo: { name: 'capybara' } } }]);
  expect(stderr).toMatch(/^.*what came is no MCP message: .*\n$/);
  expect([code, stderr.includes('hush')]).toEqual([0, false]);
});
