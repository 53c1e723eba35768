/** `capybara models pull | delete`, in this process, against an Ollama that answers without its models. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Config, settings } from '@oclif/core';
import { captureOutput } from '@oclif/test';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import ModelsDelete from '../../src/cli/commands/models/delete.ts';
import ModelsPull from '../../src/cli/commands/models/pull.ts';
import { PullProgress } from '../../src/cli/pull-progress.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { loadConfig, type Config as Settings } from '../../src/config.ts';
import { ollamas } from '../../src/doctor/ollama.ts';
import { line, type OllamaServer, type OllamaServerOptions, startOllama } from '../support/ollama-server.ts';

let oclif: Config;
let home: string;
const servers: OllamaServer[] = [];
const environment = { ...process.env };

beforeAll(async () => {
  settings.enableAutoTranspile = false;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const pjson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  delete pjson.oclif.commands;
  pjson.oclif.plugins = [];
  oclif = await Config.load({ root, pjson, ignoreManifest: true });
  home = mkdtempSync(join(tmpdir(), 'capybara-models-'));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));
afterEach(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  process.exitCode = undefined;
  for (const server of servers.splice(0)) await server.close();
});

async function serve(options: OllamaServerOptions = {}): Promise<OllamaServer> {
  const server = await startOllama(options);
  servers.push(server);
  Object.assign(process.env, {
    CAPYBARA_PROVIDERS: JSON.stringify({ box: { kind: 'ollama', baseUrl: server.url } }),
    XDG_CONFIG_HOME: home,
  });
  return server;
}

async function capybara(command: typeof ModelsPull | typeof ModelsDelete, ...argv: string[]) {
  command.id = command === ModelsPull ? 'models:pull' : 'models:delete';
  const { stdout, stderr, error } = await captureOutput(() => command.run(argv, oclif));
  if (error) throw error;
  return { stdout, stderr, code: process.exitCode ?? 0 };
}

test('pull tells each new thing in a line where it is piped, and ends with the name to use', async () => {
  const server = await serve();
  expect(await capybara(ModelsPull, 'phi4:14b')).toEqual({
    code: 0,
    stderr: '',
    stdout:
      'pulling manifest\npulling a1a1a1a1a1a1\nverifying sha256 digest\nsuccess\n' +
      'box/phi4:14b is there: use it with --model box/phi4:14b\n',
  });
  expect(server.models).toContain('phi4:14b');
  expect(JSON.parse((await capybara(ModelsPull, 'box/phi4:14b', '--json')).stdout)).toEqual({
    model: 'box/phi4:14b',
    pulled: true,
  });
});

test('pull stops with Ctrl-C, and says that it can go on', async () => {
  const server = await serve({ pull: (response) => void response.write(line({ status: 'pulling' })) });
  const pulling = capybara(ModelsPull, 'phi4:14b', '--json');
  while (process.listenerCount('SIGINT') === 0 || server.received.length === 0)
    await new Promise((resolve) => setImmediate(resolve));
  process.emit('SIGINT');
  expect(await pulling).toMatchObject({
    code: 130,
    stdout: '',
    stderr: 'Stopped: pull phi4:14b again, and it goes on from there.\n',
  });
  await server.left;
});

test('delete removes one, and says what is wrong with another', async () => {
  const server = await serve();
  expect((await capybara(ModelsDelete, 'qwen3:8b')).stdout).toBe('box/qwen3:8b removed\n');
  expect(server.models).not.toContain('qwen3:8b');
  const again = await capybara(ModelsDelete, 'box/qwen3:8b');
  expect(again).toMatchObject({ code: 2, stdout: '' });
  expect(again.stderr).toContain('Model qwen3:8b was not found');
  const none = await capybara(ModelsDelete, 'qwen3:8b', '--provider', 'ox');
  expect(none).toMatchObject({ code: 2, stderr: 'There is no Ollama "ox"; there is box.\n' });
});

test('where a person watches, a pull is one line that changes', () => {
  const watched = (columns: number) =>
    new PullProgress(createStyle({ isTty: true, noColor: true, columns: () => columns }));
  const news = { status: 'pulling a1\u001b[2J', total: 5_200_000_000, completed: 2_600_000_000 };
  const progress = watched(80);
  const shown = progress.take(news);
  expect(shown).toContain('50 %  2.6 GB of 5.2 GB');
  expect(shown.startsWith('\r\u001b[2K')).toBe(true);
  expect(shown.slice(5)).not.toContain('\u001b');
  expect(progress.take(news)).toBe('');
  expect(progress.end()).toBe('\r\u001b[2K');
  expect(progress.end()).toBe('');
  expect(watched(20).take(news)).toHaveLength(5 + 19);
});

test('doctor looks at those that are configured, and for one of this machine where none is', async () => {
  const server = await serve({ models: [] });
  const { config } = loadConfig({ cwd: home, home, env: {} });
  const checksOf = async (more: Partial<Settings>, port?: number) =>
    (await Promise.all(ollamas({ ...config, ...more }, port))).flat();
  const box = (baseUrl: string) => ({ providers: { box: { kind: 'ollama' as const, baseUrl } } });
  expect(await checksOf(box(server.url))).toEqual([
    {
      ...{ name: 'Ollama (box)', state: 'warning', found: '0.12.3 answers, with 0 models' },
      cure: 'capybara models pull NAME installs one',
    },
  ]);
  expect(await checksOf(box('http://127.0.0.1:1'))).toMatchObject([{ state: 'wrong' }]);
  const full = await serve({ models: ['qwen3:8b'] });
  const found = `No provider is configured; the Ollama 0.12.3 at ${full.url} is used, with qwen3:8b`;
  expect(await checksOf({}, full.port)).toEqual([{ name: 'Ollama', state: 'ok', found }]);
  expect(await checksOf({ databaseUrl: 'postgres://x' }, full.port)).toEqual([]);
  expect(await checksOf({ offline: true }, full.port)).toEqual([]);
});
