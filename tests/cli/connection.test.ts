import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connect } from '../../src/cli/connection.ts';
import { loadConfig } from '../../src/config.ts';
import { lockDataDir, writeServerInfo } from '../../src/embedded/data-dir.ts';
import { aTask, type ScriptedApi, startScriptedApi, TASK_ID } from './scripted-api.ts';

let api: ScriptedApi;
let dataDir: string;

beforeEach(async () => {
  api = await startScriptedApi();
  dataDir = mkdtempSync(join(tmpdir(), 'capybara-connection-'));
});
afterEach(async () => {
  await api.close();
  rmSync(dataDir, { recursive: true, force: true });
});

function settings(flags = {}) {
  return loadConfig({ env: {}, flags: { dataDir, ...flags }, trustWorkingDirectory: false }).config;
}

function announce(url: string, { pid = process.pid, key = 'capy_embedded', offline = false } = {}): void {
  const apiKeyFile = join(dataDir, 'key');
  writeFileSync(apiKeyFile, `${key}\n`);
  writeServerInfo(dataDir, { url, pid, apiKeyFile, ...(offline && { offline }) });
}

test('the embedded Capybara that runs is joined with its key', async () => {
  announce(api.url);
  api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
  const connection = await connect(settings(), { start: false });
  expect(connection.kind).toBe('joined');
  await connection.client.task(TASK_ID);
  const [probe, request] = api.received;
  expect(probe).toMatchObject({ path: '/healthz' });
  expect(probe?.headers.authorization).toBeUndefined();
  expect(request?.headers.authorization).toBe('Bearer capy_embedded');
  await connection.stop();
});

test.each([
  ['nobody wrote a server.json', () => {}],
  ['its process is gone', () => announce(api.url, { pid: 2 ** 22 + 1 })],
  ['nothing answers there', () => announce('http://127.0.0.1:1')],
])('there is none where %s', async (_, arrange) => {
  arrange();
  await expect(connect(settings(), { start: 'kept' })).rejects.toMatchObject({
    exitCode: 3,
    message: `No Capybara runs on ${dataDir}: start one with \`capybara up\`, or name a server with CAPYBARA_URL.`,
  });
});

test('offline only one is joined that is offline, too', async () => {
  announce(api.url);
  const offline = settings({ offline: true });
  await expect(connect(offline, { start: true })).rejects.toMatchObject({
    ...{ code: 'online', exitCode: 3 },
    message: `The Capybara at ${api.url} was not started with --offline, and contacts public addresses: stop it and start it with \`capybara up --offline\`, or leave out --offline (CAPYBARA_OFFLINE).`,
  });
  announce(api.url, { offline: true });
  for (const config of [offline, settings()])
    expect((await connect(config, { start: false })).kind).toBe('joined');
});

test('one that another process starts is waited for until the person leaves', async () => {
  mkdirSync(join(dataDir, 'postgres'));
  const other = lockDataDir(dataDir);
  const leaving = new AbortController();
  const waiting = connect(settings(), { start: 'answering', signal: leaving.signal });
  setTimeout(() => leaving.abort(), 150);
  await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
  other?.release();
});

test('a key that cannot be read is one sentence', async () => {
  announce(api.url);
  rmSync(join(dataDir, 'key'));
  mkdirSync(join(dataDir, 'key'));
  await expect(connect(settings(), { start: false })).rejects.toMatchObject({
    exitCode: 3,
    message: expect.stringMatching(
      /^The key of the embedded Capybara cannot be read \(EISDIR.*\): run as the user/,
    ),
  });
});

test('an embedded Capybara that moved is found again, and that is told', async () => {
  announce(api.url);
  const changes: string[] = [];
  const connection = await connect(settings(), {
    start: false,
    onChange: (sentence) => changes.push(sentence),
  });
  await connection.recover();
  expect(changes).toEqual([]);
  await api.close();
  await connection.recover();
  expect(changes).toEqual([]);
  api = await startScriptedApi();
  api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
  announce(api.url, { key: 'capy_next' });
  await connection.recover();
  expect(changes).toEqual(['The Capybara that ran here ended; the next one goes on.']);
  await connection.client.task(TASK_ID);
  expect(api.received.at(-1)?.headers.authorization).toBe('Bearer capy_next');
});
