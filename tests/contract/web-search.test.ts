import type { IncomingMessage } from 'node:http';
import { text as textOf } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { DEFAULT_RESULTS, MAX_QUERY_LENGTH, MAX_RESULTS, webSearchTool } from '../../src/tools/web-search.ts';
import { callOf, useServer } from './web-harness.ts';

const server = useServer();
const KEY = 'hush-1234';
const PROVIDERS = ['brave', 'tavily', 'searxng'] as const;
type Name = (typeof PROVIDERS)[number];

/** As many results as wanted, in each provider's own form. */
function answerOf(name: Name, count: number): unknown {
  const results = Array.from({ length: count }, (_, index) => ({
    title: `Title ${index}`,
    url: `https://found.example/${index}`,
    [name === 'brave' ? 'description' : 'content']: `Words\n of ${index}`,
    score: 0.5,
  }));
  return name === 'brave' ? { type: 'search', web: { type: 'search', results } } : { query: 'q', results };
}

interface Asked {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** What the provider was asked, once it has answered with this. */
function provides(status: number, body: unknown, headers: Record<string, string> = {}): Asked[] {
  const asked: Asked[] = [];
  server.answers(async (request, response) => {
    const line = `${request.method} ${request.url}`;
    asked.push({ line, headers: request.headers, body: await textOf(request) });
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  return asked;
}

function search(name: Name, args: object = {}, timeoutMs?: number) {
  const tool = webSearchTool({ provider: name, apiKey: KEY, url: `${server.url()}/` }, timeoutMs);
  if (tool === undefined) throw new Error('there is no tool');
  return callOf(tool, { query: 'how to test', ...args });
}

describe.each(PROVIDERS)('%s', (name) => {
  test('gives what was found, marked as untrusted, no more than asked for', async () => {
    provides(200, answerOf(name, 10));
    expect(await search(name, { count: 2 })).toEqual({
      text: [
        `2 results of ${name}:`,
        '<untrusted source="web search">',
        ...['1. Title 0', '   https://found.example/0', '   Words of 0', ''],
        ...['2. Title 1', '   https://found.example/1', '   Words of 1'],
        '</untrusted>',
      ].join('\n'),
    });
    expect((await search(name)).text).toMatch(new RegExp(`^${DEFAULT_RESULTS} results`));
  });

  test('that finds nothing says so', async () => {
    provides(200, answerOf(name, 0));
    expect((await search(name)).text).toBe(`(${name} found nothing for 'how to test')`);
  });

  test.each([
    [401, 'refuses the key (401); a person has to mend CAPYBARA_WEB_SEARCH_API_KEY'],
    [403, 'refuses the key (403)'],
    [429, 'takes no more searches now (429)'],
    [500, 'answered with status 500, expected 200'],
    [302, 'answered with status 302, expected 200'],
  ])('answers with %i, and no key is told', async (status, why) => {
    const asked = provides(status, { error: KEY }, { location: 'http://elsewhere.example/' });
    const outcome = await search(name);
    expect(outcome).toMatchObject({ isError: true, text: expect.stringContaining(`${name} ${why}`) });
    expect(outcome.text).not.toContain(KEY);
    expect(asked).toHaveLength(1);
  });

  test.each([
    ['{"web":', 'no JSON'],
    ['<html>', 'no JSON'],
    ['{"web":{"results":[{}]},"results":[{}]}', "another form than expected (at '"],
    [JSON.stringify({ web: 'x'.repeat(3 * 1024 * 1024) }), 'more than 2097152 bytes'],
  ])('answers with what is no answer', async (body, why) => {
    provides(200, body);
    expect(await search(name)).toMatchObject({ isError: true, text: expect.stringContaining(why) });
  });

  test('that does not answer is given up, and an aborted search ends', async () => {
    server.answers(() => {});
    expect((await search(name, {}, 100)).text).toContain(
      `${name} cannot be asked: no answer within 0.1 seconds`,
    );
    const tool = webSearchTool({ provider: name, apiKey: KEY, url: server.url() });
    const abort = new AbortController();
    server.answers(() => abort.abort(new Error('stopped: cancel')));
    if (tool === undefined) throw new Error('there is no tool');
    expect((await callOf(tool, { query: 'x' }, abort.signal)).text).toBe('Error: Error: stopped: cancel');
  });
});

describe('what is sent', () => {
  test('to Brave: the query in the path, the key in a header of its own', async () => {
    const asked = provides(200, answerOf('brave', 1));
    await search('brave', { query: 'a b&c', count: 3 });
    expect(asked[0]?.line).toBe('GET /res/v1/web/search?q=a+b%26c&count=3&text_decorations=false');
    expect(asked[0]?.headers).toMatchObject({ 'x-subscription-token': KEY, accept: 'application/json' });
  });

  test('to Tavily: query and count as JSON, the key as bearer', async () => {
    const asked = provides(200, answerOf('tavily', 1));
    await search('tavily', { count: 3 });
    expect(asked[0]).toMatchObject({
      line: 'POST /search',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: '{"query":"how to test","max_results":3}',
    });
  });

  test('to SearXNG: the query, and no key', async () => {
    const asked = provides(200, answerOf('searxng', 1));
    await search('searxng');
    expect(asked[0]?.line).toBe('GET /search?q=how+to+test&format=json');
    expect(JSON.stringify(asked[0]?.headers)).not.toContain(KEY);
  });
});

describe('the configuration', () => {
  const refusal = (config: Parameters<typeof webSearchTool>[0]) => {
    try {
      webSearchTool(config);
    } catch (error) {
      if (error instanceof UserError) return error.message;
      throw error;
    }
    throw new Error('nothing was refused');
  };

  test('without a provider offers no search, also where there is a key', () => {
    expect(webSearchTool({})).toBeUndefined();
    expect(webSearchTool({ apiKey: KEY, url: 'http://x' })).toBeUndefined();
  });

  test('names what a provider lacks', () => {
    expect(refusal({ provider: 'brave' })).toBe(
      'CAPYBARA_WEB_SEARCH_PROVIDER is brave, which needs CAPYBARA_WEB_SEARCH_API_KEY (its key): set it, or no provider.',
    );
    expect(refusal({ provider: 'tavily' })).toContain('CAPYBARA_WEB_SEARCH_API_KEY');
    expect(refusal({ provider: 'searxng' })).toContain('CAPYBARA_WEB_SEARCH_URL');
  });
});

test.each([
  [{ query: ' ' }, true],
  [{ query: 'x'.repeat(MAX_QUERY_LENGTH) }, false],
  [{ query: 'x'.repeat(MAX_QUERY_LENGTH + 1) }, true],
  [{ count: 0 }, true],
  [{ count: MAX_RESULTS }, false],
  [{ count: MAX_RESULTS + 1 }, true],
])('arguments have their limits', async (args, isRefused) => {
  provides(200, answerOf('searxng', 30));
  const outcome = await search('searxng', args);
  expect(outcome.isError ?? false).toBe(isRefused);
  if (isRefused) expect(outcome.text).toContain('InvalidArguments');
});
