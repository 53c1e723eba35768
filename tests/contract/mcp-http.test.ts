/** MCP servers at addresses: by Streamable HTTP, and by the older transport; restarted, gone, or sending without end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { type Access, NotSignedIn } from '../../src/mcp/client/access.ts';
import { tryAddress } from '../../src/mcp/client/address-trial.ts';
import { McpBridge } from '../../src/mcp/client/bridge.ts';
import { Connection } from '../../src/mcp/client/connection.ts';
import { MESSAGES_AT_ONCE } from '../../src/mcp/client/flow.ts';
import { HiddenKeys } from '../../src/mcp/client/hidden-keys.ts';
import { MCP_LIMITS, type UrlServer } from '../../src/mcp/client/server.ts';
import type { ServerGone } from '../../src/mcp/client/server-gone.ts';
import { UrlTransport } from '../../src/mcp/client/url-transport.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';

const DIST = join(import.meta.dirname, '../../node_modules/@modelcontextprotocol/server-everything/dist');
const MESSAGE_BYTES = 100_000;

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function startEverything(transport: 'streamableHttp' | 'sse', port: number): Promise<ChildProcess> {
  const env = { ...process.env, PORT: `${port}` };
  const child = spawn(process.execPath, [join(DIST, 'index.js'), transport], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  closing.push(() => end(child));
  await new Promise<void>((resolve) =>
    child.stderr?.on('data', (said) => /listening|running/.test(String(said)) && resolve()),
  );
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function freePort(): Promise<number> {
  const server = await listening(() => {});
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(listener: RequestListener): Promise<Server> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function serve(listener: RequestListener): Promise<string> {
  const server = await listening(listener);
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

interface Answering {
  readonly session?: string;
  /** Of each request that is not there to begin with. */
  readonly act?: (asked: Asked) => void;
  readonly get?: RequestListener;
  readonly end?: RequestListener;
}

interface Asked {
  readonly id: number;
  readonly method: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A server of no tools that begins as one does. */
function answering({ session, act = () => {}, get, end }: Answering): RequestListener {
  return async (request, response) => {
    if (request.method !== 'POST') {
      const listener = request.method === 'GET' ? get : end;
      return listener === undefined ? response.writeHead(405).end() : listener(request, response);
    }
    const { id, method, params } = (await json(request)) as {
      readonly id: number;
      readonly method: string;
      readonly params: { readonly protocolVersion: string };
    };
    if (id === undefined) return response.writeHead(202).end();
    if (method !== 'initialize') return act({ id, method, request, response });
    const { protocolVersion } = params;
    const result = { protocolVersion, capabilities: {}, serverInfo: { name: 'u', version: '1' } };
    response.writeHead(200, {
      'content-type': 'application/json',
      ...(session && { 'mcp-session-id': session }),
    });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
  };
}

const LET_IN: Access = { token: async () => 'a-token', renewed: async () => 'another' };

function connect(
  server: UrlServer,
  { callMs = 10_000, connectMs = 10_000, messageBytes = MESSAGE_BYTES, access = LET_IN } = {},
): Connection {
  const keys = new HiddenKeys(server);
  const connection = new Connection({
    shown: (words) => keys.shown(words),
    open: () => new UrlTransport(server, { messageBytes, access: keys.noting(access) }),
    roots: async () => [],
    ...{ version: '0', connectMs, callMs },
  });
  closing.push(() => connection.close());
  return connection;
}

const never = new AbortController().signal;
const call = (connection: Connection, name: string, args = {}) =>
  connection.call({ name, args, signal: never, onProgress: () => {} });

describe('a server at an address', () => {
  it.each(['http', 'sse'] as const)('that never answers by %s is given up in time', async (transport) => {
    const url = await serve(() => {});
    const connection = connect({ url, transport }, { connectMs: 300 });
    await expect(connection.tools(never)).rejects.toThrow('did not answer within 0.3 s of its start');
  });

  it.each(['streamableHttp', 'sse'] as const)('speaks %s, whatever is configured', async (transport) => {
    const port = await freePort();
    await startEverything(transport, port);
    const url = `http://127.0.0.1:${port}/${transport === 'sse' ? 'sse' : 'mcp'}`;
    const connection = connect({ url });
    const { tools } = await connection.tools(never);
    expect(tools.map(({ name }) => name)).toContain('echo');
    expect(await call(connection, 'echo', { message: 'hello' })).toMatchObject({
      kind: 'result',
      result: { content: [{ type: 'text', text: 'Echo: hello' }] },
    });
  });

  it('is called again in a new session where it was restarted', async () => {
    const port = await freePort();
    const first = await startEverything('streamableHttp', port);
    const connection = connect({ url: `http://127.0.0.1:${port}/mcp` });
    expect(await call(connection, 'echo', { message: 'one' })).toMatchObject({ kind: 'result' });
    await end(first);
    const away = await call(connection, 'echo', { message: 'two' });
    expect(away).toMatchObject({
      kind: 'failed',
      begun: false,
      why: expect.stringContaining('ECONNREFUSED'),
    });
    await startEverything('streamableHttp', port);
    expect(await call(connection, 'echo', { message: 'three' })).toMatchObject({ kind: 'result' });
  });

  it('gets the headers that are configured, and a redirect does not carry them to another', async () => {
    const seen: unknown[] = [];
    const other = await serve((request, response) => {
      seen.push(request.headers['x-key']);
      response.writeHead(404).end();
    });
    const url = await serve((request, response) => {
      seen.push(request.headers['x-key']);
      response.writeHead(307, { location: other }).end();
    });
    const connection = connect({ url, headers: { 'x-key': 'secret' }, transport: 'http' });
    await expect(connection.tools(never)).rejects.toThrow(/status 307|could not be reached/);
    expect(seen).toEqual(['secret']);
  });

  const NOTHING = ': nothing\n\n'.repeat(1_000);
  it.each([
    ['a message without end', 'application/json', NOTHING, 'sent a message of more than 100000 bytes'],
    ['events without end', 'text/event-stream', NOTHING, 'sent more than anybody can read'],
    [
      'an event without end',
      'text/event-stream',
      'data: no\r\n'.repeat(1_000),
      'sent a message of more than 100000 bytes',
    ],
  ])('that sends %s is gone', async (_, type, piece, why) => {
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': type });
      const more = () => {
        while (!response.destroyed && response.write(piece));
        response.once('drain', more);
      };
      more();
    });
    await expect(connect({ url, transport: 'http' }).tools(never)).rejects.toThrow(why);
  });

  it.each([
    [
      'an error of JSON-RPC whose number looks like a status',
      200,
      404,
      { begun: true, why: 'answered with an error' },
    ],
    ['its answer under a status of 400', 400, -32603, { begun: true, why: 'answered with an error' }],
    ['its refusal under a status of 400', 400, -32602, { begun: false, why: 'answered with an error' }],
  ])('is called once where it says %s', async (_, status, code, told) => {
    let calls = 0;
    const act = ({ id, response }: Asked) => {
      calls += 1;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ jsonrpc: '2.0', id, error: { code, message: 'the order was placed' } }));
    };
    const url = await serve(answering({ session: 'one', act }));
    const errors = expect.stringContaining('the order was placed');
    const end = await call(connect({ url, transport: 'http' }), 'order');
    expect(end).toEqual({ kind: 'failed', errors, ...told });
    expect(calls).toBe(1);
  });

  it.each([
    [undefined, 1],
    ['one', 2],
  ])('that forgets the session %s is called %i times', async (session, times) => {
    let calls = 0;
    const act = ({ response }: Asked) => {
      calls += 1;
      response.writeHead(404).end('gone');
    };
    const url = await serve(answering({ ...(session && { session }), act }));
    expect(await call(connect({ url, transport: 'http' }), 'order')).toMatchObject({ begun: true });
    expect(calls).toBe(times);
  });

  it.each(['answers with the status 500', 'breaks off'])(
    'that gives nobody its stream may have made a call that it %s after',
    async (how) => {
      const { promise: streamRefused, resolve: refuse } = Promise.withResolvers<void>();
      const access: Access = {
        token: async () => 'a-token',
        renewed: async () => {
          refuse();
          throw new NotSignedIn('wants somebody to sign in', undefined);
        },
      };
      const act = async ({ response }: Asked) => {
        await streamRefused;
        if (how === 'breaks off') response.destroy();
        else response.writeHead(500).end();
      };
      const get: RequestListener = (_request, response) => void response.writeHead(401).end();
      const url = await serve(answering({ act, get }));
      const end = await call(connect({ url }, { access }), 'order');
      expect(end).toMatchObject({ kind: 'failed', begun: true });
      expect(end).not.toMatchObject({ why: expect.stringContaining('sign in') });
    },
  );

  it.each([
    [403, { 'www-authenticate': 'Bearer error="insufficient_scope"' }],
    [429, {}],
  ])('that refuses one call by the status %i answers to others all the same', async (status, headers) => {
    const { promise: held, resolve: hold } = Promise.withResolvers<Asked>();
    let calls = 0;
    const act = (asked: Asked) => {
      calls += 1;
      if (calls === 1) hold(asked);
      else asked.response.writeHead(status, headers).end();
    };
    const renewed = () => Promise.reject(new NotSignedIn('wants more', undefined));
    const url = await serve(answering({ act }));
    const connection = connect({ url, transport: 'http' }, { access: { ...LET_IN, renewed } });
    const first = call(connection, 'order');
    const { id, response } = await held;
    expect(await call(connection, 'order')).toMatchObject({ kind: 'failed', begun: false });
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [] } }));
    expect(await first).toEqual({ kind: 'result', result: { content: [] } });
  });

  it('that does not answer to its end is not waited for', async () => {
    const url = await serve(answering({ session: 'one', end: () => {} }));
    const connection = connect({ url, transport: 'http' });
    await connection.tools(never);
    const before = performance.now();
    await connection.close();
    expect(performance.now() - before).toBeLessThan(5_000);
  });

  it.each([
    ['a key of a header', { 'x-key': 'Basic a-header' }, 'a-header'],
    ['a key of its address', {}, 'a%20key'],
    ['a token', {}, 'a-token'],
  ])('that repeats %s shows it to nobody', async (_, headers, key) => {
    const url = await serve((request, response) => {
      response.writeHead(403).end(`${request.url} ${JSON.stringify(request.headers)} ${'x'.repeat(9_000)}`);
    });
    const { errors = '' } = await connect({ url: `${url}?key=a%20key`, headers, transport: 'http' })
      .tools(never)
      .then(
        () => expect.unreachable(),
        (error: ServerGone) => error,
      );
    expect(errors).toContain('********');
    expect(errors).not.toContain(key);
    expect(errors.length).toBeLessThan(4_100);
  });

  it('that sends more messages than anybody can read is gone', async () => {
    const act = ({ response }: Asked) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"jsonrpc":"2.0","method":"a"}\n\n'.repeat(40 * MESSAGES_AT_ONCE));
    };
    const url = await serve(answering({ session: 'one', act }));
    const server = { url, transport: 'http' } as const;
    const why = 'sent more than anybody can read, and the connection was ended';
    // It takes a while where the machine is busy.
    const flooded = connect(server, { messageBytes: 16e6, callMs: 60_000 });
    expect(await call(flooded, 'flood')).toMatchObject({ why, begun: true });
  });

  it('that tells of its progress without end is heard now and then', async () => {
    const heard = Promise.withResolvers<void>();
    const act = ({ id, response }: Asked) => {
      const progress = (n: number) =>
        `data: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: id, progress: n } })}\n\n`;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(Array.from({ length: 500 }, (_, n) => progress(n)).join(''));
      const result = { content: [] };
      void heard.promise.then(() =>
        response.end(`data: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`),
      );
    };
    const url = await serve(answering({ act }));
    const said: string[] = [];
    const connection = connect({ url, transport: 'http' });
    const onProgress = (text: string) => {
      said.push(text);
      heard.resolve();
    };
    const asked = { name: 'work', args: {}, signal: never, onProgress };
    expect(await connection.call(asked)).toMatchObject({ kind: 'result' });
    expect(said[0]).toBe('progress (0)\n');
    expect(said.length).toBeLessThan(10);
  });

  it('that wants its stream asked for without a pause is asked now and then', async () => {
    const at: number[] = [];
    const often = Promise.withResolvers<void>();
    const get: RequestListener = (_request, response) => {
      at.push(performance.now());
      if (at.length === 4) often.resolve();
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .end(`retry: 0\nid: ${at.length}\ndata:\n\n`);
    };
    const url = await serve(answering({ get }));
    await connect({ url, transport: 'http' }).tools(never);
    await often.promise;
    // After 100, 200 and 400 ms: they may come a little later or sooner one by one.
    expect((at[3] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(600);
  });

  it.each([
    ['a refusal of the older transport', 'sse', 'answered with the HTTP status 500'],
    ['no answer of MCP', 'http', 'answered in another form than MCP has'],
  ] as const)(
    'that says something in %s is told of, its words apart from ours',
    async (_, transport, why) => {
      const url = await serve((request, response) => {
        if (request.method === 'GET') {
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.write('event: endpoint\ndata: /post\n\n');
        } else if (transport === 'sse') response.writeHead(500).end('do as I say');
        else response.writeHead(200, { 'content-type': 'do as I say' }).end('do as I say');
      });
      const trial = {
        messageBytes: MESSAGE_BYTES,
        version: '0',
        connectMs: 5_000,
        callMs: 5_000,
        signal: never,
      };
      const said = expect.stringContaining('do as I say');
      expect(await tryAddress('u', { url, transport }, trial)).toMatchObject({ ok: false, why, said });
    },
  );
});

it('is never sent what its team has signed in with where a project names it', async () => {
  const sent = new Map<string | undefined, string | undefined>();
  const url = await serve((request, response) => {
    sent.set(request.url, request.headers.authorization);
    response.writeHead(404).end();
  });
  const access = { token: async () => 'planted', renewed: async () => 'planted' };
  const sandbox = createUnconfinedSandbox({ environment: {}, killGraceMs: 1 });
  closing.push(async () => sandbox.close());
  const bridge = new McpBridge({
    ...{ limits: MCP_LIMITS, directory: '/nowhere', version: '0', log: silentLog },
    sandbox,
    ...{ isAllowed: () => true, access: () => access },
  });
  closing.push(() => bridge.close());
  const ofTeam = { ofTeam: true } as const;
  const servers = {
    theirs: { url: `${url}/team`, ...ofTeam },
    own: { url: `${url}/project`, ...ofTeam, ofProject: true as const },
  };
  const session = {
    teamId: 't',
    sessionId: 's',
    servers,
    signal: never,
    workspace: async () => Promise.reject(),
  };
  const { missing } = await bridge.toolsOf(session, ['theirs', 'own']);
  expect(missing.map(({ server }) => server)).toEqual(['theirs', 'own']);
  expect([sent.get('/mcp/team'), sent.get('/mcp/project')]).toEqual(['Bearer planted', undefined]);
});
