/** `capybara models pull | delete`, in this process, against an Ollama that answers without its models. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { PullProgress } from '../../src/cli/pull-progress.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { loadConfig, type Config as Settings } from '../../src/config.ts';
import { ollamas } from '../../src/doctor/ollama.ts';
import { capybara } from '../support/commands.ts';
import { line, type OllamaServer, type OllamaServerOptions, startOllama } from '../support/ollama-server.ts';

let home: string;
const servers: OllamaServer[] = [];

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'capybara-models-'));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const server of servers.splice(0)) await server.close();
});

async function serve(options: OllamaServerOptions = {}): Promise<OllamaServer> {
  const server = await startOllama(options);
  servers.push(server);
  vi.stubEnv('CAPYBARA_PROVIDERS', JSON.stringify({ box: { kind: 'ollama', baseUrl: server.url } }));
  vi.stubEnv('XDG_CONFIG_HOME', home);
  return server;
}

test('pull tells each new thing in a line where it is piped, and ends with the name to use', async () => {
  const server = await serve();
  expect(await capybara('models:pull', 'phi4:14b')).toEqual({
    code: 0,
    stderr: '',
    stdout:
      'pulling manifest\npulling a1a1a1a1a1a1\nverifying sha256 digest\nsuccess\n' +
      'box/phi4:14b is there: use it with --model box/phi4:14b\n',
  });
  expect(server.models).toContain('phi4:14b');
  expect(JSON.parse((await capybara('models:pull', 'box/phi4:14b', '--json')).stdout)).toEqual({
    model: 'box/phi4:14b',
    pulled: true,
  });
});

test('pull stops with Ctrl-C, and says that it can go on', async () => {
  const server = await serve({ pull: (response) => void response.write(line({ status: 'pulling' })) });
  const pulling = capybara('models:pull', 'phi4:14b', '--json');
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
  expect((await capybara('models:delete', 'qwen3:8b')).stdout).toBe('box/qwen3:8b removed\n');
  expect(server.models).not.toContain('qwen3:8b');
  const again = await capybara('models:delete', 'box/qwen3:8b');
  expect(again).toMatchObject({ code: 2, stdout: '' });
  expect(again.stderr).toContain('Model qwen3:8b was not found');
  const none = await capybara('models:delete', 'qwen3:8b', '--provider', 'ox');
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
