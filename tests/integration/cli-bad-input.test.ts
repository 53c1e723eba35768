/** What a person gets wrong: one sentence, the right exit code, and nothing begun. */

import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CLI_TIMEOUT_MS, Place, type StartOptions } from '../support/cli.ts';
import { hasOrdinaryUser, ordinaryUser } from '../support/ordinary-user.ts';

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS });

const MODEL = { CAPYBARA_MODEL_ENDPOINT: 'http://127.0.0.1:9/v1', CAPYBARA_MODEL: 'scripted' };
let place: Place;

beforeEach(() => {
  place = new Place({}, { isNew: true });
});
afterEach(() => place.remove());

let blocker: Server | undefined;

/** Another program, and its port. */
async function blocked(): Promise<AddressInfo> {
  const server = createServer();
  blocker = server;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address() as AddressInfo;
}

async function unblock(): Promise<void> {
  const server = blocker;
  blocker = undefined;
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
}

/** Runs it and expects one sentence on stderr, nothing on stdout, and no data directory. */
async function refusal(args: string[], options: StartOptions = {}) {
  const { code, stdout, stderr } = await place.run(args, options);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^[^\n]+\.\n$/);
  expect(existsSync(place.dataDir)).toBe(false);
  return { code, sentence: stderr.trimEnd() };
}

describe('run begins nothing', () => {
  test.each<[string, string[], Record<string, string>, RegExp]>([
    ['an empty prompt', ['run', ' '], MODEL, /^The prompt is empty: /],
    // Offline: an Ollama of this machine would be one.
    [
      'no provider',
      ['run', 'x'],
      { CAPYBARA_OFFLINE: '1' },
      /^No model provider is configured: set ANTHROPIC_API_KEY, /,
    ],
    [
      'an endpoint without a model',
      ['run', 'x'],
      { CAPYBARA_MODEL_ENDPOINT: 'http://127.0.0.1:9/v1' },
      /^No model was named, .*: set CAPYBARA_MODEL or pass --model; `capybara models list` has what there is\.$/,
    ],
    [
      'a model of no provider',
      ['run', 'x', '--model', 'gpt'],
      { ...MODEL, OPENAI_API_KEY: 'sk-test' },
      /^Model "gpt" names no configured provider \(found: openai, env\): /,
    ],
    [
      'an agent that is none',
      ['run', 'x', '--agent', 'cod'],
      MODEL,
      /^There is no agent "cod" \(the nearest one is "build"\); there are build, .*\.$/,
    ],
    [
      'a workspace that is none',
      ['run', 'x', '--workspace', 'nowhere'],
      MODEL,
      /^--workspace \S+\/nowhere is not a directory: /,
    ],
    [
      'a mode that is none',
      ['run', 'x', '--mode', 'fast'],
      MODEL,
      /^--mode must be one of safe, plan, auto; found "fast": see `capybara run --help`\.$/,
    ],
  ])('with %s', async (_, args, env, sentence) => {
    const refused = await refusal(args, { env });
    expect(refused).toEqual({ code: 2, sentence: expect.stringMatching(sentence) });
  });

  test('in a home directory', async () => {
    const { code, sentence } = await refusal(['run', 'x'], { env: MODEL, cwd: place.home });
    expect({ code, sentence }).toEqual({
      code: 2,
      sentence: expect.stringMatching(/ is a home directory; give /),
    });
  });

  test('with a malformed .env or config.yaml, which is named with its line', async () => {
    writeFileSync(join(place.cwd, '.env'), '# mine\nCAPYBARA_MODEL scripted\n');
    expect(await refusal(['run', 'x'], { env: MODEL })).toEqual({
      code: 2,
      sentence: `${join(place.cwd, '.env')}, line 2: this is not a setting; expected NAME=value, a comment (#) or an empty line.`,
    });
    mkdirSync(join(place.home, '.config', 'capybara'), { recursive: true });
    writeFileSync(join(place.home, '.config', 'capybara', 'config.yaml'), 'model: a\nport: [1\n');
    const { code, sentence } = await refusal(['run', 'x'], { env: MODEL, cwd: place.path });
    expect({ code, sentence }).toEqual({
      code: 2,
      sentence: expect.stringMatching(/config\.yaml, line \d, column \d+: not valid YAML/),
    });
  });
});

describe('a server that', () => {
  test('cannot be reached is named', async () => {
    const { port } = await blocked();
    await unblock();
    const url = `http://127.0.0.1:${port}`;
    for (const args of [
      ['run', 'x', '--workspace', 'empty'],
      ['submit', 'x', '--workspace', 'empty'],
      ['tail', 'last'],
      ['tasks', 'list'],
    ]) {
      expect(await refusal(args, { env: { CAPYBARA_URL: url } })).toEqual({
        code: 3,
        sentence: `The Capybara at ${url} cannot be reached (connection refused): check the address, or that it runs.`,
      });
    }
  });

  test('is not configured and does not run here is told how to get', async () => {
    for (const args of [
      ['submit', 'x'],
      ['tail', 'last'],
      ['tasks', 'list'],
      ['approvals', 'list'],
    ]) {
      expect(await refusal(args, { env: MODEL })).toEqual({
        code: 3,
        sentence: `No Capybara runs on ${place.dataDir}: start one with \`capybara up\`, or name a server with CAPYBARA_URL.`,
      });
    }
  });
});

describe('a program of a server', () => {
  test.each(['api', 'worker', 'migrate'])(
    '%s names a Postgres that is not there, without its password',
    async (command) => {
      const env = { DATABASE_URL: 'postgres://me:hush@127.0.0.1:9/capybara', CAPYBARA_PORT: '0' };
      const { code, sentence } = await refusal([command], { env });
      expect(code).toBe(3);
      expect(sentence).toMatch(/127\.0\.0\.1:9/);
      expect(sentence).not.toContain('hush');
    },
  );

  test.each(['api', 'worker', 'migrate'])('%s needs a database', async (command) => {
    expect(await refusal([command])).toEqual({
      code: 2,
      sentence: 'DATABASE_URL is not set: set it to the Postgres of this server, postgres://….',
    });
  });
});

describe('up refuses', () => {
  afterEach(unblock);

  test('a port that another program has', async () => {
    const { port } = await blocked();
    const { code, stdout, stderr } = await place.run(['up', '--port', String(port)]);
    expect({ code, stdout, last: stderr.trimEnd().split('\n').at(-1) }).toEqual({
      code: 3,
      stdout: '',
      last: `Port ${port} on 127.0.0.1 is in use by another program: stop it, or choose another port with --port or CAPYBARA_PORT.`,
    });
    expect(readdirSync(place.dataDir)).not.toContain('server.json');
  });

  test('a data directory that cannot be made', async () => {
    writeFileSync(join(place.path, 'file'), '');
    const dataDir = join(place.path, 'file', 'data');
    const { code, sentence } = await refusal(['up', '--data-dir', dataDir]);
    expect({ code, sentence }).toEqual({
      code: 3,
      sentence: expect.stringMatching(
        /^The data directory \S+\/file\/data cannot be created \(\S+\/file is not a directory\): use one of your own with /,
      ),
    });
  });

  test.each(['up', 'run', 'tasks list'])('a data directory that is a file, as %s does too', async (typed) => {
    const file = join(place.path, 'file');
    writeFileSync(file, '');
    const args = [...typed.split(' '), ...(typed === 'run' ? ['x'] : [])];
    expect(await refusal(args, { env: { ...MODEL, CAPYBARA_DATA_DIR: file } })).toEqual({
      code: 3,
      sentence: `The data directory ${file} is not a directory: use one of your own with CAPYBARA_DATA_DIR.`,
    });
  });

  test('a data directory of another user, or that may not be written', async ({ skip }) => {
    skip(!hasOrdinaryUser, 'this checkout is not open to other users');
    const dataDir = join(place.path, 'elsewhere');
    mkdirSync(dataDir, { mode: 0o555 });
    const isRoot = process.getuid?.() === 0;
    for (const path of [place.path, place.home, place.cwd]) chmodSync(path, 0o755);
    const { code, sentence } = await refusal(['up', '--data-dir', dataDir], { as: ordinaryUser });
    expect({ code, sentence }).toEqual({
      code: 3,
      sentence: expect.stringMatching(
        isRoot ? /belongs to another user \(uid 0, this process is uid \d+\)/ : /is not writable/,
      ),
    });
    expect(readdirSync(dataDir)).toEqual([]);
  });
});
