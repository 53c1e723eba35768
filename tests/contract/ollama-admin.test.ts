import { createServer } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import {
  deleteModel,
  installedModels,
  MAX_PROGRESS_BYTES,
  ollamaVersion,
  type PullProgress,
  pullModel,
} from '../../src/model/ollama-admin.ts';
import { chooseModel, howToUse } from '../../src/model/ollama-choice.ts';
import { ANSWER_MS, DISCOVERY_MS, findOllama, withFoundOllama } from '../../src/model/ollama-discovery.ts';
import { LAYER, line, type OllamaServerOptions, startOllama } from '../support/ollama-server.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function ollama(options: OllamaServerOptions = {}) {
  const server = await startOllama(options);
  closers.push(() => server.close());
  return { server, target: { provider: 'ollama', baseUrl: `${server.url}/v1`, apiKey: 'hush-hush' } };
}

async function refusal(act: Promise<unknown>): Promise<UserError> {
  const error = await act.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof UserError) return error;
  throw new Error(`no refusal: ${String(error)}`);
}

/** Where nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('says its version and its models, with the key of whoever stands before it', async () => {
  const { server, target } = await ollama();
  expect(await ollamaVersion(target)).toBe('0.12.3');
  const details = { bytes: 5_200_000_000, modifiedAt: '2026-01-02T03:04:05Z', parameters: '8.2B' };
  expect(await installedModels(target)).toEqual(
    ['llama3.2:3b', 'qwen3:8b'].map((name) => ({ name, ...details, quantization: 'Q4_K_M' })),
  );
  expect(server.received.map(({ asked, authorization }) => [asked, authorization])).toEqual([
    ['GET /api/version', 'Bearer hush-hush'],
    ['GET /api/tags', 'Bearer hush-hush'],
  ]);
});

test('names that a terminal would obey are no models, and such a version is none', async () => {
  const { target } = await ollama({ models: ['\u001b[2Jx', 'qwen3:8b'], version: '1\u001b[2J' });
  expect((await installedModels(target)).map(({ name }) => name)).toEqual(['qwen3:8b']);
  expect((await refusal(ollamaVersion(target))).code).toBe('bad_endpoint');
});

test('what does not answer is told from what is no Ollama', async () => {
  const baseUrl = `http://127.0.0.1:${await freePort()}`;
  const away = await refusal(installedModels({ provider: 'box', baseUrl }));
  expect(away).toMatchObject({ code: 'provider_unreachable', exitCode: 3 });
  expect(away.message).toBe(`Provider box could not be reached at ${baseUrl} (ECONNREFUSED).`);
  const { target } = await ollama({ isSilent: true });
  expect((await refusal(ollamaVersion(target, 50))).code).toBe('provider_timeout');
});

test('removes a model, and says of one that it does not have that it is not there', async () => {
  const { server, target } = await ollama();
  await deleteModel(target, 'qwen3:8b');
  expect([...server.models]).toEqual(['llama3.2:3b']);
  const again = await refusal(deleteModel(target, 'qwen3:8b'));
  expect(again).toMatchObject({ code: 'model_not_found', exitCode: 2 });
  expect(again.message).toContain("(404): model 'qwen3:8b' not found.");
});

describe('a pull', () => {
  test('tells how it goes on, and is done when the server says so', async () => {
    const { server, target } = await ollama();
    const news: PullProgress[] = [];
    const onProgress = (each: PullProgress) => void news.push(each);
    expect(await pullModel(target, 'phi4:14b', { onProgress })).toBe('pulled');
    expect(server.models).toContain('phi4:14b');
    expect(news.map(({ status }) => status)).toEqual([
      'pulling manifest',
      ...Array(3).fill('pulling a1a1a1a1a1a1'),
      'verifying sha256 digest',
      'success',
    ]);
    expect(news[2]).toMatchObject({ digest: LAYER, total: 5_200_000_000, completed: 2_600_000_000 });
  });

  test('of a name that the library does not have says to check it', async () => {
    const { target } = await ollama({
      pull: (response) => void response.end(line({ error: 'pull model manifest: file does not exist' })),
    });
    const refused = await refusal(pullModel(target, 'qwen33'));
    expect(refused).toMatchObject({ code: 'pull_failed', exitCode: 1 });
    expect(refused.message).toBe(
      'qwen33 was not pulled (pull model manifest: file does not exist): check its name at https://ollama.com/library.',
    );
  });

  test('that ends too early, or says what cannot be read, is none; the console hears nothing', async () => {
    const said = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const early = await ollama({ pull: (response) => void response.end(line({ status: 'pulling' })) });
    expect((await refusal(pullModel(early.target, 'm'))).message).toBe(
      'The pull of m broke off: pull it again, it goes on from there.',
    );
    const broken = await ollama({ pull: (response) => void response.end('{"status": \n') });
    expect((await refusal(pullModel(broken.target, 'm'))).code).toBe('stream_cut');
    expect(said).not.toHaveBeenCalled();
    said.mockRestore();
  });

  test('is stopped by its signal, and the server hears of it', async () => {
    const { server, target } = await ollama({
      pull: (response) => void response.write(line({ status: 'pulling manifest' })),
    });
    const stop = new AbortController();
    const onProgress = () => stop.abort();
    expect(await pullModel(target, 'm', { onProgress, signal: stop.signal })).toBe('stopped');
    await server.left;
  });

  test('that says nothing for too long is given up', async () => {
    const { server, target } = await ollama({ pull: () => {} });
    const refused = await refusal(pullModel(target, 'm', { idleMs: 60 }));
    expect(refused.message).toBe('Provider ollama sent nothing more for 0.06 s.');
    await server.left;
  });

  test('reads lines up to their limit, and none that is longer', async () => {
    for (const [more, outcome] of [
      [0, 'pulled'],
      [1, 'stream_cut'],
    ] as const) {
      const { target } = await ollama({
        pull: (response) => {
          response.write(
            line({ status: 'pulling' })
              .trim()
              .padEnd(MAX_PROGRESS_BYTES + more),
          );
          response.end(`\n${line({ status: 'success' })}`);
        },
      });
      const pulled = pullModel(target, 'm').catch(({ code }) => code);
      expect(await pulled).toBe(outcome);
    }
  });

  test.each(['', ' ', '-x', 'a b', 'x\u001b', 'x'.repeat(257)])('of the name %j is refused', async (name) => {
    const { server, target } = await ollama();
    expect((await refusal(pullModel(target, name))).code).toBe('bad_model_name');
    expect((await refusal(deleteModel(target, name))).code).toBe('bad_model_name');
    expect(server.received).toEqual([]);
  });
});

describe('which Ollama is meant', () => {
  const box = { kind: 'ollama', baseUrl: 'http://box:1' } as const;
  const own = { kind: 'ollama' } as const;
  const choose = (providers: Parameters<typeof chooseModel>[0], name: string, provider?: string) => {
    const { model, target } = chooseModel(providers, { name, provider, offline: false });
    return [target.provider, model];
  };
  const code = (act: () => unknown) => {
    try {
      return act();
    } catch (error) {
      return (error as UserError).code;
    }
  };

  test('the only one, the one before the slash, or the one that is named', () => {
    expect(choose({ box, work: { kind: 'chat' } }, 'qwen3')).toEqual(['box', 'qwen3']);
    expect(choose({ box, own }, 'own/org/qwen3')).toEqual(['own', 'org/qwen3']);
    expect(choose({ box, own }, 'own/qwen3', 'box')).toEqual(['box', 'own/qwen3']);
    expect(choose({}, 'ollama/qwen3')).toEqual(['ollama', 'qwen3']);
  });

  test('several, one that is not there, and none offline are refused', () => {
    expect(code(() => choose({ box, own }, 'qwen3'))).toBe('several_providers');
    expect(code(() => choose({ box, work: { kind: 'chat' } }, 'qwen3', 'work'))).toBe('unknown_provider');
    expect(code(() => chooseModel({}, { name: 'qwen3', offline: true }))).toBe('no_provider');
    expect(code(() => chooseModel({ box }, { name: 'qwen3', offline: true }).model)).toBe('qwen3');
  });
});

test('a model that was pulled can be used at once where its Ollama is a provider, else once it is one', () => {
  expect(howToUse({}, 'ollama')).toBe('use it with');
  expect(howToUse({ openai: {}, ollama: { kind: 'ollama' } }, 'ollama')).toBe('use it with');
  expect(howToUse({ openai: { apiKey: 'k' } }, 'ollama')).toBe(
    'add it with `capybara providers add ollama`, then use it with',
  );
});

describe('the Ollama of this machine', () => {
  const nothing = { offline: false, providers: { openai: {} } };

  test('becomes the provider where none is configured, and its only model the default', async () => {
    const { server } = await ollama({ models: ['qwen3:8b'] });
    const { settings, said } = await withFoundOllama(nothing, { port: server.port, answerMs: 5_000 });
    expect(settings).toEqual({
      offline: false,
      providers: { openai: {}, ollama: { kind: 'ollama', baseUrl: server.url } },
      model: 'ollama/qwen3:8b',
    });
    expect(said).toBe(
      `No provider is configured; the Ollama 0.12.3 at ${server.url} is used, with qwen3:8b.`,
    );
  });

  test('with several models, or with one that is named, decides for nobody', async () => {
    const { server } = await ollama();
    const options = { port: server.port, answerMs: 5_000 };
    expect((await withFoundOllama(nothing, options)).settings).not.toHaveProperty('model');
    const named = await withFoundOllama({ ...nothing, model: 'mine' }, options);
    expect(named.settings).toMatchObject({ model: 'mine', providers: { ollama: {} } });
  });

  test('is not looked for offline, or where a provider is configured', async () => {
    const { server } = await ollama();
    for (const settings of [
      { ...nothing, offline: true },
      { ...nothing, providers: { openai: { apiKey: 'k' } } },
      { ...nothing, providers: { work: { kind: 'replay' as const } } },
      { ...nothing, providers: { env: { baseUrl: 'http://x' } } },
    ]) {
      expect(await withFoundOllama(settings, { port: server.port })).toEqual({ settings });
    }
    expect(server.received).toEqual([]);
  });

  test('that takes a moment to answer is not overlooked', async () => {
    const { server } = await ollama({ answersAfterMs: DISCOVERY_MS + 50 });
    expect(await findOllama({ port: server.port })).toMatchObject({ version: '0.12.3' });
  });

  test('is not waited for: one that says nothing, or is none, counts as away', async () => {
    const { server } = await ollama({ isSilent: true });
    const began = performance.now();
    expect(await findOllama({ port: server.port, answerMs: 100 })).toBeUndefined();
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(DISCOVERY_MS).toBeLessThan(500);
    expect(ANSWER_MS).toBeLessThan(5_000);
    const other = await ollama({ version: undefined });
    expect(await findOllama({ port: other.server.port, answerMs: 5_000 })).toBeUndefined();
    expect(await findOllama({ port: await freePort() })).toBeUndefined();
  });
});
