import { EventEmitter, once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createApi, routesOf } from '../../src/api/app.ts';
import { PROBLEM_CODES } from '../../src/api/problem-codes.ts';
import { listen } from '../../src/api/server.ts';
import { watchBody } from '../../src/api/silent-bodies.ts';
import { TailHub } from '../../src/api/tails.ts';
import { Problem } from '../../src/api/wire.ts';
import { type LogFields, silentLog } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { mintKey, revokeKey } from '../../src/store/keys.ts';
import { lineTo } from '../store/reply-thief.ts';
import { keyOf } from '../support/store.ts';
import { type Answered, type Asking, askerOf, startTestApi, type TestApi } from './api-harness.ts';

let it: TestApi;
const lines: { fields: LogFields; message: string }[] = [];

beforeAll(async () => {
  it = await startTestApi(({ log }) => ({
    log: { ...log, error: (fields, message) => lines.push({ fields, message }) },
  }));
});
afterAll(() => it.close());

async function problem(method: string, path: string, asking?: Asking): Promise<[number, string, Answered]> {
  const answer = await it.ask(method, path, asking);
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  const { status, code, detail } = Problem.parse(answer.json);
  expect(status).toBe(answer.status);
  expect(detail).toMatch(/^[^\n]+\.$/);
  return [status, code, answer];
}

describe('a request that Node refuses', () => {
  const HOST = 'Host: capybara\r\n';

  /** All that comes until the server ends the connection. */
  const answerTo = (...pieces: string[]) => answerOf(it.url, ...pieces);

  async function answerOf(url: string, ...pieces: string[]): Promise<string> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    for (const piece of pieces) socket.write(piece);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    return text;
  }

  test.each([
    [
      'headers that are too long',
      [`GET / HTTP/1.1\r\n${HOST}x: ${'y'.repeat(300_000)}\r\n\r\n`],
      431,
      'request_header_too_large',
    ],
    [
      'an address that is too long',
      [`GET /${'y'.repeat(20_000)} HTTP/1.1\r\n`, HOST, '\r\n'],
      431,
      'request_header_too_large',
    ],
    ['no HTTP', ['hello\r\n\r\n', 'hello?\r\n'], 400, 'malformed_request'],
    [
      'two lengths',
      [`POST /v1/tasks HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx`],
      400,
      'malformed_request',
    ],
    ['no host', ['GET /healthz HTTP/1.1\r\n\r\n'], 400, 'malformed_request'],
    ['two hosts', [`GET /healthz HTTP/1.1\r\n${HOST}${HOST}\r\n`], 400, 'malformed_request'],
    ['a tunnel', [`CONNECT example.com:443 HTTP/1.1\r\n${HOST}\r\n`], 405, 'method_not_allowed'],
    [
      'an expectation',
      [`GET /healthz HTTP/1.1\r\n${HOST}Expect: miracles\r\n\r\n`],
      417,
      'expectation_failed',
    ],
  ] as const)('for %s gets a problem, and its connection ends', async (_, pieces, status, code) => {
    const text = await answerTo(...pieces);
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`]);
    const [head = '', body = ''] = text.split('\r\n\r\n');
    expect(head).toMatch(/^content-type: application\/problem\+json; charset=utf-8$/im);
    expect(head).toMatch(/^connection: close$/im);
    const problem = Problem.parse(JSON.parse(body));
    expect(problem).toMatchObject({ status, code, detail: expect.stringMatching(/^[^\n]+\.$/) });
    expect(PROBLEM_CODES).toHaveProperty(code);
  });

  const submission = (prompt: string, length: number) => {
    const head = `${HOST}Authorization: Bearer ${it.me.apiKey}\r\nContent-Type: application/json\r\n`;
    return `POST /v1/tasks HTTP/1.1\r\n${head}Content-Length: ${length}\r\n\r\n${JSON.stringify({ prompt })}`;
  };

  test.each(['X\r\n\r\n', `CONNECT x:1 HTTP/1.1\r\n${HOST}\r\n`])(
    'behind a good one waits for its answer, which is the last: %j',
    async (garbage) => {
      const good = submission('first', JSON.stringify({ prompt: 'first' }).length);
      const text = await answerTo(good + good + garbage, 'more of it\r\n\r\n');
      expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 201', 'HTTP/1.1 201']);
      expect(text).toMatch(/^connection: close$/im);
    },
  );

  test('in the middle of a body is told so, and nothing is made', async () => {
    const chunked = submission('never', 0).replace('Content-Length: 0', 'Transfer-Encoding: chunked');
    const text = await answerTo(chunked);
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400']);
  });

  test('since its body stopped in the middle gets a problem, and its connection ends', async () => {
    const before = lines.length;
    const server = await listen(createApi(it.deps), { host: '127.0.0.1', port: 0, silenceMs: 100 });
    const text = await answerOf(server.url, submission('half', 500));
    expect(text).toMatch(/^HTTP\/1\.1 408 .*^connection: close.*"code":"request_timeout"/ims);
    const newest = () => it.ask('GET', '/v1/audit?limit=1');
    await expect.poll(async () => (await newest()).json.data).toMatchObject([{ status: 408, subject: null }]);
    await server.close();
    expect(lines.slice(before)).toEqual([]);
  });

  test('is none whose body moves, or waits to be read', () => {
    vi.useFakeTimers();
    const socket = { bytesRead: 0 };
    const headers = { 'content-length': '9' };
    const request = Object.assign(new EventEmitter(), {
      headers,
      socket,
      readableLength: 0,
      complete: false,
    });
    const giveUp = vi.fn();
    watchBody(request as unknown as IncomingMessage, 100, giveUp);
    for (let n = 0; n < 5; n++) {
      socket.bytesRead++;
      vi.advanceTimersByTime(100);
    }
    request.readableLength = 5;
    vi.advanceTimersByTime(500);
    expect(giveUp).not.toHaveBeenCalled();
    request.readableLength = 0;
    vi.advanceTimersByTime(500);
    expect(giveUp).toHaveBeenCalledOnce();
    vi.useRealTimers();
  });

  test('behind the beginning of another’s answer breaks off, and adds nothing to it', async () => {
    const { sessionId } = await it.submit();
    const stream = `GET /v1/sessions/${sessionId}/events HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\nAuthorization: Bearer ${it.me.apiKey}\r\n\r\n`;
    const socket = connect(Number(new URL(it.url).port), '127.0.0.1');
    socket.write(stream);
    let text = '';
    socket
      .on('error', () => undefined)
      .on('data', (chunk) => {
        text += String(chunk);
        if (text.includes('id: 1')) socket.write('hello\r\n\r\n');
      });
    await once(socket, 'close');
    expect(text).not.toContain('malformed_request');
  });
});

describe('a key', () => {
  test('that is missing is 401, with what is wanted', async () => {
    const [status, code, { headers }] = await problem('GET', '/v1/tasks', { key: null });
    expect([status, code]).toEqual([401, 'missing_key']);
    expect(headers.get('www-authenticate')).toBe('Bearer realm="capybara"');
  });

  test('that is wrong, malformed or revoked is 401', async () => {
    const { teamId } = it.me;
    const { id: keyId, apiKey } = await keyOf(it.db, { ...it.me, name: 'short' });
    await revokeKey(it.db, { teamId, keyId });
    const headers = [mintKey(), 'x', `${it.me.apiKey}x`, apiKey].map((key) => `Bearer ${key}`);
    for (const authorization of [...headers, it.me.apiKey, `Basic ${it.me.apiKey}`, '']) {
      const [status, code, answer] = await problem('GET', '/v1/tasks', {
        key: null,
        headers: { authorization },
      });
      expect([status, code]).toEqual([401, 'invalid_key']);
      expect(answer.headers.get('www-authenticate')).toContain('error="invalid_token"');
    }
  });

  test('is looked at before the body', async () => {
    const [, code] = await problem('POST', '/v1/tasks', { key: null, raw: '{' });
    expect(code).toBe('missing_key');
  });

  test('may be sent under a scheme in any case', async () => {
    const headers = { authorization: `bearer  ${it.me.apiKey}` };
    expect((await it.ask('GET', '/v1/tasks', { key: null, headers })).status).toBe(200);
  });
});

describe('an address', () => {
  test.each(['/v1/nothing', '/', '/v1/sessions/x/y/z', '/v1/tasks/%zz'])('%s is not there', async (path) => {
    const [status, code] = await problem('GET', path);
    expect([status, code]).toEqual([404, 'not_found']);
  });

  test.each([
    '/v1/tasks/x',
    '/v1/tasks/task_12',
    `/v1/tasks/ses_${'0'.repeat(32)}`,
    `/v1/tasks/task_${'0'.repeat(33)}`,
    '/v1/sessions/%00',
    '/v1/outputs/out_x',
  ])('with a malformed id, %s, is not there', async (path) => {
    const [status, code] = await problem('GET', path);
    expect([status, code]).toEqual([404, 'not_found']);
  });

  test('says which methods it takes', async () => {
    const [status, code, { headers }] = await problem('DELETE', '/v1/tasks');
    expect([status, code]).toEqual([405, 'method_not_allowed']);
    expect(headers.get('allow')).toBe('POST, GET');
  });
});

describe('a body', () => {
  const headers = { 'content-type': 'application/json' };

  test.each(['{', '{"prompt":', 'no', '{"prompt": "x"} y', '"text"', ''])(
    '%j is not JSON of ours',
    async (raw) => {
      const [status, code] = await problem('POST', '/v1/tasks', { raw, headers });
      expect(status).toBe(400);
      expect(['malformed_json', 'invalid_request']).toContain(code);
    },
  );

  test('must say that it is JSON', async () => {
    const raw = 'prompt=x';
    for (const type of ['application/x-www-form-urlencoded', 'text/plain']) {
      const [status, code] = await problem('POST', '/v1/tasks', { raw, headers: { 'content-type': type } });
      expect([status, code]).toEqual([415, 'unsupported_media_type']);
    }
    const [status] = await problem('POST', '/v1/tasks');
    expect(status).toBe(415);
    const strange = { 'content-type': 'application/json; charset=klingon' };
    expect((await problem('POST', '/v1/tasks', { raw: '{}', headers: strange }))[0]).toBe(415);
  });

  test('may be compressed, and counts as what it unpacks to', async () => {
    const packed = { ...headers, 'content-encoding': 'gzip' };
    const ok = gzipSync(JSON.stringify({ prompt: 'packed' }));
    expect((await it.ask('POST', '/v1/tasks', { raw: new Uint8Array(ok), headers: packed })).status).toBe(
      201,
    );
    const bomb = new Uint8Array(gzipSync(Buffer.alloc(50_000_000, ' ')));
    const [status, code] = await problem('POST', '/v1/tasks', { raw: bomb, headers: packed });
    expect([status, code]).toEqual([413, 'body_too_large']);
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ])('that says %s is unpacked; one that is not, or is cut short, is refused', async (encoding, pack) => {
    const packed = { ...headers, 'content-encoding': encoding };
    const whole = new Uint8Array(pack(JSON.stringify({ prompt: 'packed' })));
    expect((await it.ask('POST', '/v1/tasks', { raw: whole, headers: packed })).status).toBe(201);
    for (const raw of ['{"prompt": "not packed at all"}', whole.slice(0, 9)]) {
      const { status, json: body } = await it.ask('POST', '/v1/tasks', { raw, headers: packed });
      expect({ status, body }).toMatchObject({
        status: 400,
        body: {
          code: 'malformed_json',
          detail: 'The request body is not what its Content-Encoding says, or is cut short.',
        },
      });
    }
  });

  test('in an encoding that is not known is told which are', async () => {
    const { status, json: body } = await it.ask('POST', '/v1/tasks', {
      raw: '{}',
      headers: { ...headers, 'content-encoding': 'compress' },
    });
    expect({ status, body }).toMatchObject({
      status: 415,
      body: { detail: expect.stringMatching(/Unicode charset .* gzip, deflate, br or zstd\.$/) },
    });
  });
});

describe('when something is wrong here', () => {
  test('an unexpected error is 500 with an id that is in the log, and tells nothing else', async () => {
    const models = {
      list: () => [],
      catalog: async () => [],
      resolve: () => {
        throw new TypeError('secret inner words');
      },
    };
    const broken = await startTestApi(({ log }) => ({
      models,
      log: { ...log, error: (fields, message) => lines.push({ fields, message }) },
    }));
    const { status, json, text } = await broken.ask('POST', '/v1/tasks', { body: { prompt: 'x' } });
    expect([status, json.code]).toEqual([500, 'internal']);
    expect(text).not.toMatch(/secret|\.ts/);
    const id = /[0-9a-f-]{36}/.exec(json.detail)?.[0];
    expect(lines.at(-1)).toMatchObject({
      message: 'a request failed',
      fields: { requestId: id, method: 'POST', path: '/v1/tasks' },
    });
    await broken.close();
  });

  test('a full disk is 507, and a line in the log', async () => {
    const models = {
      list: () => [],
      catalog: async () => [],
      resolve: () => {
        throw Object.assign(new Error('EDQUOT: write /secret'), { code: 'EDQUOT' });
      },
    };
    const full = await startTestApi(({ log }) => ({
      models,
      log: { ...log, error: (fields, message) => lines.push({ fields, message }) },
    }));
    const before = lines.length;
    const { status, json, text } = await full.ask('POST', '/v1/tasks', { body: { prompt: 'x' } });
    expect([status, json.code, json.title]).toEqual([507, 'disk_full', 'Insufficient Storage']);
    expect(text).not.toContain('secret');
    expect(lines.slice(before)).toEqual([
      {
        message: 'a request was refused: the disk is full',
        fields: expect.objectContaining({ error: 'EDQUOT: write /secret', path: '/v1/tasks' }),
      },
    ]);
    await full.close();
  });

  test('a Postgres that is away is 503 with Retry-After, whatever asks', async () => {
    const home = await startTestApi();
    const line = await lineTo(home.databaseUrl);
    const db = openDatabase({ url: line.url, log: silentLog, patienceMs: 300 });
    const server = await listen(createApi({ ...home.deps, db }), { host: '127.0.0.1', port: 0 });
    const away = { ...home, ask: askerOf(server.url, home.me) };
    const { sessionId, id } = await away.submit();
    const session = `/v1/sessions/${sessionId}`;
    const asked = [`/v1/tasks/${id}`, `${session}/entries`, `${session}/why`, '/v1/workers', '/readyz'];
    for (const path of asked) expect((await away.ask('GET', path)).status).toBe(200);
    await line.close();
    for (const path of asked) {
      const { status, json, headers } = await away.ask('GET', path);
      const code = path === '/readyz' ? 'not_ready' : 'database_unavailable';
      expect([path, status, json.code]).toEqual([path, 503, code]);
      expect(headers.get('retry-after')).toBe('1');
    }
    const refused = await away.ask('POST', '/v1/tasks', { body: { prompt: 'x' } });
    expect(refused.status).toBe(503);
    expect((await away.ask('GET', '/healthz')).json).toEqual({ status: 'ok' });
    await server.close();
    await db.close();
    await home.close();
  });
});

test('health needs no key, and a probe may add what it likes', async () => {
  for (const path of ['/healthz?at=1', '/readyz?at=1', '/openapi.json', '/docs'])
    expect((await it.ask('GET', path, { key: null })).status).toBe(200);
});

describe('the OpenAPI document', () => {
  type Json = Record<string, unknown>;
  interface Document {
    readonly openapi: string;
    readonly paths: Record<string, Record<string, Operation>>;
    readonly components: { readonly schemas: Json };
  }
  interface Operation {
    readonly operationId: string;
    readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: Json }> }>;
    readonly parameters?: { readonly name: string; readonly in: string; readonly schema: Json }[];
    readonly requestBody?: { readonly content: Record<string, { readonly schema: Json }> };
  }
  let document: Document;

  beforeAll(async () => {
    document = (await it.ask('GET', '/openapi.json')).json;
  });

  const operations = () => Object.values(document.paths).flatMap((methods) => Object.values(methods));

  test('has every route that serves, and no other', () => {
    const served = routesOf(it.deps, new TailHub(it.deps)).map(
      ({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`,
    );
    const written = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(written.sort()).toEqual(served.sort());
    expect(served).toContain('post /v1/tasks');
  });

  test('is OpenAPI 3.1 whose references lead somewhere', () => {
    expect(document.openapi).toBe('3.1.0');
    const ids = operations().map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { responses } of operations()) {
      expect(Object.keys(responses).some((status) => /^20[01]$/.test(status))).toBe(true);
    }
    const [refs, types] = [valuesOf(document, '$ref'), valuesOf(document, 'type')];
    expect(refs.length).toBeGreaterThan(10);
    for (const ref of refs) expect([ref, resolves(String(ref))]).toEqual([ref, true]);
    const known = ['string', 'number', 'integer', 'boolean', 'null', 'array', 'object', 'http'];
    for (const type of types.filter((each) => typeof each === 'string')) expect(known).toContain(type);
  });

  test('declares the variables of each path', () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const { parameters = [] } of Object.values(methods)) {
        const declared = parameters.filter((each) => each.in === 'path').map(({ name }) => `{${name}}`);
        expect(declared).toEqual(path.match(/\{\w+\}/g) ?? []);
      }
    }
  });

  function resolves(ref: string): boolean {
    const path = ref.replace(/^#\//, '').split('/');
    return path.reduce<unknown>((at, name) => (at as Json | undefined)?.[name], document) !== undefined;
  }

  /** What stands under a name, anywhere in the document. */
  function valuesOf(value: unknown, name: string): unknown[] {
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).flatMap(([key, inner]) => [
      ...(key === name ? [inner] : []),
      ...valuesOf(inner, name),
    ]);
  }
});
