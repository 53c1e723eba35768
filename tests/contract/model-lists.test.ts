/** What providers say of which models they have: real servers, each in its own words. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { ASKED_MS, Catalog } from '../../src/model/catalog.ts';
import {
  type Listed,
  type ListedProvider,
  listModels,
  listUrl,
  MAX_LIST_BYTES,
  MAX_LISTED_MODELS,
} from '../../src/model/list-models.ts';
import { closers } from './model-harness.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function at(handler: Handler) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { requests, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const json =
  (body: unknown, status = 200): Handler =>
  (_, response) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

async function listed(
  handler: Handler,
  { path = '', ...more }: Partial<ListedProvider> & { path?: string } = {},
  timeoutMs?: number,
) {
  const { url, requests } = await at(handler);
  const answer = await listModels(
    { provider: 'p', kind: 'chat', baseUrl: `${url}${path}`, ...more },
    timeoutMs,
  );
  return { answer, url, request: requests[0] };
}

function problemOf(answer: Listed) {
  if (!('problem' in answer)) throw new Error(`no problem: ${JSON.stringify(answer)}`);
  return answer.problem;
}

describe('the address and the headers', () => {
  test.each([
    ['chat', '', '/v1/models'],
    ['chat', '/', '/v1/models'],
    ['chat', '/v1/', '/v1/models'],
    ['openai', '/v1/chat/completions', '/v1/models'],
    ['openai', '/v1/responses', '/v1/models'],
    ['chat', '/openai/deployments?api-version=1', '/openai/deployments/models?api-version=1'],
    ['anthropic', '', '/v1/models?limit=1000'],
    ['anthropic', '/v1/messages', '/v1/models?limit=1000'],
    ['ollama', '', '/api/tags'],
    ['ollama', '/v1', '/api/tags'],
    ['ollama', '/api', '/api/tags'],
  ] as const)('%s at %j is asked at %s', async (kind, path, url) => {
    const { request } = await listed(json({ data: [] }), {
      kind,
      path,
      apiKey: ' key-1 ',
      headers: { 'x-team': 'a' },
    });
    expect(request?.url).toBe(url);
    expect(request?.headers).toMatchObject({ authorization: 'Bearer key-1', 'x-team': 'a' });
    expect(request?.headers['x-api-key']).toBe(kind === 'anthropic' ? 'key-1' : undefined);
  });

  test.each([
    ['https://x.openai.azure.com', 'https://x.openai.azure.com/openai/v1/models'],
    ['https://x.openai.azure.com/openai/v1/', 'https://x.openai.azure.com/openai/v1/models'],
    [
      'https://x.openai.azure.com/openai/deployments/mine/chat/completions?api-version=1',
      'https://x.openai.azure.com/openai/models?api-version=1',
    ],
  ])('in Azure %s is asked at %s', (baseUrl, url) => {
    expect(listUrl({ kind: 'chat', baseUrl }).href).toBe(url);
  });

  test('a configured header comes before what the key makes, and one of the connection’s own is refused', async () => {
    const headers = { Authorization: 'Token planted-own', 'X-Team': 'a' };
    const { request } = await listed(json({ data: [] }), { apiKey: 'key-1', headers });
    expect(request?.headers).toMatchObject({ authorization: 'Token planted-own', 'x-team': 'a' });
    const { answer } = await listed(json({ error: { message: 'no planted-own' } }, 400), { headers });
    expect(problemOf(answer).message).toContain('no [key]');
    const framed = await listed(json({ data: [] }), { headers: { Host: 'x' } });
    expect(problemOf(framed.answer).message).toContain(
      'is given the header host: leave it out of the headers.',
    );
    expect(framed.request).toBeUndefined();
  });

  test('without a key none is sent, but for the user of an address that has one', async () => {
    const { url, requests } = await at(json({ data: [] }));
    await listModels({ provider: 'p', kind: 'chat', baseUrl: url.replace('//', '//me:secret@') });
    await listModels({ provider: 'p', kind: 'chat', baseUrl: url });
    const sent = requests.map(({ headers }) => headers.authorization);
    expect(sent).toEqual(['Basic bWU6c2VjcmV0', undefined]);
  });
});

describe('what they say', () => {
  test.each([
    ['OpenAI', { data: [{ id: 'gpt-x', object: 'model' }] }, 'gpt-x', {}],
    [
      'Anthropic',
      { data: [{ type: 'model', id: 'claude-x', max_input_tokens: 1_000, max_tokens: 10 }], has_more: false },
      'claude-x',
      { contextTokens: 1_000, outputTokens: 10 },
    ],
    ['Ollama', { models: [{ name: 'qwen3:8b', model: 'qwen3:8b', size: 5 }] }, 'qwen3:8b', {}],
    ['Google', { data: [{ id: 'models/gemini-x' }] }, 'gemini-x', {}],
    ['vLLM', { data: [{ id: 'org/m', max_model_len: 32_768 }] }, 'org/m', { contextTokens: 32_768 }],
    [
      'OpenRouter',
      { data: [{ id: 'a/b:free', context_length: 9, top_provider: { max_completion_tokens: 3 } }] },
      'a/b:free',
      { contextTokens: 9, outputTokens: 3 },
    ],
    ['nonsense', { data: [{ id: 'm', context_length: -1, max_tokens: '9', top_provider: 7 }] }, 'm', {}],
  ])('%s', async (_, body, name, info) => {
    expect((await listed(json(body))).answer).toEqual({ models: [{ name, info }] });
  });

  test('what is no name is left out, and of many so many are told', async () => {
    const data = [
      { id: 'a b' },
      { id: 'x\u001b[2J' },
      {},
      null,
      7,
      { id: 'n'.repeat(257) },
      { id: 'n'.repeat(256) },
    ];
    expect((await listed(json({ data }))).answer).toEqual({ models: [{ name: 'n'.repeat(256), info: {} }] });
    const many = Array.from({ length: MAX_LISTED_MODELS + 1 }, (_, number) => ({ id: `m${number}` }));
    const { answer } = await listed(json({ data: many }));
    expect('models' in answer && answer.models.length).toBe(MAX_LISTED_MODELS);
  });
});

describe('what is wrong is told, each in its own words', () => {
  test.each([
    [
      401,
      { error: { message: 'no planted-key' } },
      'provider_auth',
      'The key for provider p was refused (401)',
    ],
    [400, [{ error: { message: 'API key not valid.', code: 400 } }], 'provider_auth', 'was refused (400)'],
    [404, {}, 'models_not_listed', 'Provider p does not list its models (http'],
    [405, {}, 'models_not_listed', 'has none, 405).'],
    [
      429,
      { error: { message: 'slowly, planted-key' } },
      'rate_limited',
      'asks to wait (429): slowly, [key].',
    ],
    [500, {}, 'provider_unavailable', 'could not answer (500)'],
    [307, {}, 'bad_endpoint', 'answered with a redirect'],
    [200, { message: 'hello' }, 'bad_endpoint', 'answered with something that is no list of models'],
    [200, 'a text', 'bad_endpoint', 'answered with something that is no list of models'],
  ])('%i %j', async (status, body, code, said) => {
    const problem = problemOf((await listed(json(body, status), { apiKey: 'planted-key' })).answer);
    expect(problem.code).toBe(code);
    expect(problem.message).toContain(said);
    expect(problem.message).not.toContain('planted');
  });

  test('one who does not answer, is not there, has no such name, or no URL', async () => {
    const slow = await listed(() => {}, {}, 50);
    expect(problemOf(slow.answer).code).toBe('provider_timeout');
    const gone = await listModels({ provider: 'p', kind: 'chat', baseUrl: 'http://127.0.0.1:1/v1' });
    expect(problemOf(gone)).toMatchObject({ code: 'provider_unreachable' });
    expect(problemOf(gone).message).toContain('could not be reached at http://127.0.0.1:1/v1 (ECONNREFUSED)');
    const none = await listModels({ provider: 'p', kind: 'chat', baseUrl: 'no url' });
    expect(problemOf(none).message).toBe(
      'The endpoint no url of provider p is not a URL: check its base URL.',
    );
    const replay = await listModels({ provider: 'p', kind: 'replay' });
    expect(problemOf(replay).message).toBe(
      'Provider p does not list its models (one of kind replay has none).',
    );
  });

  test('a list is read up to its most, and no further', async () => {
    const padded = (bytes: number) => {
      const head = '{"data":[{"id":"m"}],"x":"';
      return `${head}${'x'.repeat(bytes - head.length - 2)}"}`;
    };
    const of = async (bytes: number) =>
      (await listed((_, response) => void response.writeHead(200).end(padded(bytes)))).answer;
    expect(await of(MAX_LIST_BYTES)).toEqual({ models: [{ name: 'm', info: {} }] });
    expect(problemOf(await of(MAX_LIST_BYTES + 1)).message).toContain(
      'answered with more than a list of models',
    );
  });
});

describe('the catalogue', () => {
  test('has what settings, providers and the kept data say, in that order, and asks them together', async () => {
    const { url, requests } = await at(
      json({
        data: [
          { id: 'claude-haiku-4-5', max_tokens: 7 },
          { id: 'new', max_tokens: 8 },
        ],
      }),
    );
    let now = 0;
    const providers = new Map([
      ['gateway', { kind: 'anthropic' as const, baseUrl: url, models: { new: { outputTokens: 9 } } }],
      ['xai', { baseUrl: 'https://api.x.ai/v1' }],
    ]);
    const said = { 'claude-haiku-4-5': { images: false } };
    const catalog = new Catalog(providers, { said, clock: () => now, defaultOf: () => undefined });
    const [kept, xai] = await catalog.list({ ask: false });
    expect(kept?.models).toEqual([{ model: 'gateway/new', info: { outputTokens: 9 }, from: ['settings'] }]);
    expect(xai?.models.map(({ model }) => model)).toContain('xai/grok-4.3');
    expect(requests).toHaveLength(0);
    const offline = new Catalog(new Map([['gateway', providers.get('gateway') ?? {}]]), {
      said,
      clock: () => now,
    });
    const [asked] = await offline.list({ ask: true });
    expect(asked?.models).toEqual([
      { model: 'gateway/new', info: { outputTokens: 9 }, from: ['settings', 'provider'] },
      {
        model: 'gateway/claude-haiku-4-5',
        info: { outputTokens: 7, images: false, temperature: true },
        from: ['settings', 'provider', 'kept'],
      },
    ]);
    now = ASKED_MS - 1;
    await offline.list({ ask: true });
    expect(requests).toHaveLength(1);
    now = ASKED_MS;
    await offline.list({ ask: true });
    expect(requests).toHaveLength(2);
  });

  test('of one that cannot be asked it has what is kept, and why', async () => {
    const config = { baseUrl: 'http://127.0.0.1:1/v1', models: { mine: {} } };
    const said = { 'home/ours': { images: false }, 'away/theirs': { images: false } };
    const [found] = await new Catalog(new Map([['home', config]]), { said }).list({ ask: true });
    expect(found).toMatchObject({
      ...{ provider: 'home', kind: 'chat', isLocal: true, problem: { code: 'provider_unreachable' } },
      models: [
        { model: 'home/mine', from: [] },
        { model: 'home/ours', info: { images: false }, from: ['settings'] },
      ],
    });
  });
});
