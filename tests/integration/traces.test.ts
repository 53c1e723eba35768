/** One trace of a task, from its submission through every turn, request, tool and child, at a real receiver. */
import { execFile } from 'node:child_process';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runApi } from '../../src/api/main.ts';
import { loadConfig } from '../../src/config.ts';
import { createLog, silentLog } from '../../src/log.ts';
import { createModels } from '../../src/model/providers.ts';
import { createPostgresQueueBackend } from '../../src/queue/postgres.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { FLUSH_MS } from '../../src/tracing/otlp.ts';
import { noTracing, openTracing, readTraceparent, type Tracing } from '../../src/tracing/tracing.ts';
import { startWorker } from '../../src/worker/worker.ts';
import { createTestDatabase } from '../support/database.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.ts';
import {
  call,
  type ScriptedModel,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';
import { HandWorker, startTestApi, type TestApi, uuid } from './api-harness.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CLIENT_SPAN = '00f067aa0ba902b7';
const TRACEPARENT = `00-${TRACE}-${CLIENT_SPAN}-01`;
const LEASE = { leaseMs: 1_500, renewMs: 200, marginMs: 300 };
const SECRET = 'planted-words-of-a-person';

describe('a task that delegates, and whose first worker is lost', () => {
  let receiver: OtlpReceiver;
  let model: ScriptedModel;
  let api: TestApi;
  let tracings: Tracing[];
  let spans: readonly ReceivedSpan[];
  let task: { id: string; sessionId: string };
  const lines: string[] = [];
  const log = createLog({ level: 'info', destination: { write: (line) => lines.push(line) } });

  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    model = await startScriptedModel({
      script: (request) => {
        const said = request.messages.map((each) => ('text' in each ? each.text : '')).join('\n');
        const isChild = said.includes('A part of it.');
        if (isChild) return request.answers === 0 ? call('read_file', { path: 'none' }) : say(SECRET);
        if (request.answers === 0) return call('write_file', { path: 'a', content: SECRET });
        return request.answers === 1
          ? call('delegate_task', { prompt: 'A part of it.', agent: 'build' })
          : say(SECRET);
      },
    });
    const config = { endpoint: `${receiver.url}/`, headers: 'x-key=k%201' };
    tracings = await Promise.all(['api', 'worker'].map((role) => openTracing(config, { log, role })));
    const [ofApi = noTracing, ofWorker = noTracing] = tracings;
    const models = createModels({ env: { baseUrl: model.baseUrl } }, { model: 'env/scripted' });
    api = await startTestApi(() => ({ models, tracing: ofApi, log }));
    const { db, bus, databaseUrl, dataDir } = api;
    const headers = { traceparent: TRACEPARENT };
    const body = { prompt: `${SECRET}: do it.`, mode: 'auto' };
    task = (await api.ask('POST', '/v1/tasks', { body, headers })).json;
    const lost = await new HandWorker(db).register();
    await lost.claim(uuid('session', task.sessionId));
    await db.sql`UPDATE worker SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE id = ${lost.id}`;
    const backend = createPostgresQueueBackend({ url: databaseUrl, log });
    const sandbox = createUnconfinedSandbox({ environment: process.env, killGraceMs: 100 });
    const worker = await startWorker({
      ...{ db, bus, backend, sandbox, log, models, directUrl: databaseUrl, version: 'test', concurrency: 4 },
      ...{ tools: createRegistry(builtinTools()), dataDir: join(dataDir, 'worker'), lease: LEASE },
      tracing: ofWorker,
    });
    const ends = async () =>
      expect((await api.ask('GET', `/v1/tasks/${task.id}`)).json.status).toBe('succeeded');
    await vi.waitFor(ends, { timeout: 60_000, interval: 100 });
    await api.ask('GET', '/healthz');
    await worker.stop();
    await sandbox.close();
    await backend.close();
    await Promise.all(tracings.map((each) => each.close()));
    spans = receiver.spans.filter(({ traceId }) => traceId === TRACE);
  }, 120_000);
  afterAll(async () => {
    await api.close();
    await model.close();
    await receiver.close();
  });

  const named = (name: string) => spans.filter((span) => span.name === name);
  const parentOf = ({ parentSpanId }: ReceivedSpan) => spans.find(({ spanId }) => spanId === parentSpanId);
  const only = (name: string) => {
    const [span, ...more] = named(name);
    if (span === undefined || more.length > 0) throw new Error(`${more.length + (span ? 1 : 0)} of ${name}`);
    return span;
  };

  test('is one trace, which the client began', () => {
    const submit = only('POST /v1/tasks');
    expect(submit).toMatchObject({
      ...{ parentSpanId: CLIENT_SPAN, kind: 2 },
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/v1/tasks',
        'http.response.status_code': 201,
      },
      resource: { 'service.name': 'capybara', 'capybara.role': 'api' },
    });
    const roots = spans.filter((span) => parentOf(span) === undefined);
    expect(roots).toEqual([submit]);
    expect(receiver.requests[0]).toMatchObject({
      path: '/v1/traces',
      headers: { 'x-key': 'k 1', 'content-type': 'application/x-protobuf' },
    });
  });

  test('goes from the submission to its turns, their requests and calls, and from a call to the turns of the child', () => {
    const turns = named('capybara.turn');
    const idOf = (kind: 'session' | 'task', id: string) => uuid(kind, id);
    const own = turns.filter(({ attributes }) => attributes['capybara.task.id'] === idOf('task', task.id));
    expect(own.map(({ attributes }) => attributes['capybara.turn.number']).toSorted()).toEqual([1, 2, 2, 3]);
    expect(new Set(own.map((span) => parentOf(span)?.name))).toEqual(new Set(['POST /v1/tasks']));
    expect(own[0]).toMatchObject({
      kind: 5,
      attributes: {
        'capybara.session.id': idOf('session', task.sessionId),
        'gen_ai.conversation.id': task.sessionId,
        'gen_ai.agent.name': 'build',
      },
      resource: { 'capybara.role': 'worker' },
    });
    const delegated = only('execute_tool delegate_task');
    expect(parentOf(delegated)?.attributes).toMatchObject({ 'capybara.turn.number': 2 });
    const childs = turns.filter((span) => !own.includes(span));
    expect(childs.map(({ parentSpanId }) => parentSpanId)).toEqual([delegated.spanId, delegated.spanId]);
    const read = only('execute_tool read_file');
    expect([childs.includes(parentOf(read) ?? read), read.status]).toEqual([true, 2]);
    expect(read.attributes).toMatchObject({ 'error.type': 'tool_error' });
    expect(only('execute_tool write_file')).toMatchObject({
      ...{ kind: 1, status: 0 },
      attributes: {
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.name': 'write_file',
        'gen_ai.tool.type': 'function',
        'gen_ai.tool.call.id': expect.any(String),
      },
    });
    const chats = named('chat scripted');
    expect(chats).toHaveLength(5);
    expect(chats.map((span) => parentOf(span)?.name)).toEqual(chats.map(() => 'capybara.turn'));
    expect(chats[0]).toMatchObject({
      kind: 3,
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'env',
        'gen_ai.request.model': 'scripted',
        'gen_ai.response.model': expect.any(String),
        'gen_ai.response.finish_reasons': ['tool_calls'],
        'gen_ai.usage.input_tokens': expect.any(Number),
        'gen_ai.usage.output_tokens': expect.any(Number),
      },
    });
  });

  test('says nothing that anybody said, and nothing of supervisors', () => {
    const sent = Buffer.concat(receiver.requests.map(({ body }) => body)).toString('latin1');
    expect(sent).toContain('execute_tool write_file');
    expect(sent).not.toContain(SECRET);
    expect(sent).not.toContain('A part of it');
    expect(sent).not.toContain('healthz');
    expect(sent).not.toContain(api.me.apiKey);
  });

  test('is told of in the log by its ids where its first worker was lost', async () => {
    const told = lines
      .map((line) => JSON.parse(line))
      .filter(({ message }) => String(message).startsWith('took over'));
    const id = expect.stringMatching(/^[0-9a-f-]{36}$/);
    const ids = { sessionId: uuid('session', task.sessionId), taskId: uuid('task', task.id) };
    expect(told).toMatchObject([{ teamId: api.me.teamId, ...ids, turnId: id, attemptId: id }]);
  });
});

describe('a receiver', () => {
  test('that a server is configured with hears of its requests before the server has stopped', async () => {
    const [database, receiver] = await Promise.all([createTestDatabase(), startOtlpReceiver()]);
    const env = {
      ...{ DATABASE_URL: database.url, CAPYBARA_PORT: '0', OPENAI_API_KEY: 'sk-none' },
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SERVICE_NAME: 'ours' },
    };
    const { config } = loadConfig({ env, trustWorkingDirectory: false, home: '/nowhere' });
    const server = await runApi(config, silentLog);
    await fetch(`${server.url}/v1/tasks`);
    await server.stop();
    expect(receiver.spans).toMatchObject([
      {
        name: 'GET /v1/tasks',
        attributes: { 'http.response.status_code': 401 },
        resource: { 'service.name': 'ours', 'capybara.role': 'api' },
      },
    ]);
    await receiver.close();
    await database.drop();
  });

  test.each(['away', 'silent'])(
    'that is %s holds nobody up',
    async (how) => {
      const sockets = new Set<Socket>();
      const silent = createServer((socket) => sockets.add(socket));
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
      const port = how === 'away' ? 1 : (silent.address() as AddressInfo).port;
      const lines: string[] = [];
      const log = createLog({ level: 'warn', destination: { write: (line) => lines.push(line) } });
      const endpoint = `http://127.0.0.1:${port}`;
      const tracing = await openTracing({ endpoint }, { log, role: 'worker' });
      const began = performance.now();
      for (let count = 0; count < 20_000; count += 1)
        tracing.span('capybara.turn', { kind: 'consumer', parent: TRACEPARENT }).end();
      expect(performance.now() - began).toBeLessThan(5_000);
      const closing = performance.now();
      await tracing.close();
      expect(performance.now() - closing).toBeLessThan(FLUSH_MS + 1_000);
      expect(lines.length).toBeLessThanOrEqual(1);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => silent.close(resolve));
    },
    20_000,
  );
});

describe('without an endpoint', () => {
  test('a submission keeps the trace that its client names, and no span is made', async () => {
    expect(await openTracing({}, { log: createLog({ level: 'silent' }), role: 'api' })).toBe(noTracing);
    const api = await startTestApi();
    const kept = async (traceparent: string) => {
      const { json } = await api.ask('POST', '/v1/tasks', {
        body: { prompt: 'x' },
        headers: { traceparent },
      });
      const [row] = await api.db.sql`SELECT traceparent FROM task WHERE id = ${uuid('task', json.id)}`;
      return row?.traceparent;
    };
    expect(await kept(TRACEPARENT)).toBe(TRACEPARENT);
    expect(await kept('what is this')).toBeNull();
    await api.close();
  });

  test('nothing that would send anything is loaded, by API or worker', async () => {
    const loaded = async (config: string) => {
      const script = `
        import { registerHooks } from 'node:module';
        const seen = new Set();
        registerHooks({ resolve: (name, context, next) => { if (name.startsWith('@opentelemetry/')) seen.add(name); return next(name, context); } });
        await import('./src/api/main.ts');
        await import('./src/worker/main.ts');
        const { openTracing } = await import('./src/tracing/tracing.ts');
        const tracing = await openTracing(${config}, { log: undefined, role: 'x' });
        await tracing.close();
        console.log(JSON.stringify([...seen].sort()));`;
      const options = { cwd: join(import.meta.dirname, '..', '..') };
      const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], options);
      return JSON.parse((await run).stdout) as string[];
    };
    const [off, on] = await Promise.all([loaded('{}'), loaded(`{ endpoint: 'http://127.0.0.1:1' }`)]);
    // prom-client names what it would link samples to; that is an interface, and sends nothing.
    expect(off.filter((name) => name !== '@opentelemetry/api')).toEqual([]);
    expect(on).toContain('@opentelemetry/sdk-trace');
  }, 60_000);
});

test.each([
  [TRACEPARENT, TRACEPARENT],
  [`01-${TRACE}-${CLIENT_SPAN}-00-more`, `00-${TRACE}-${CLIENT_SPAN}-00`],
  [`${TRACEPARENT}-more`, undefined],
  [`ff-${TRACE}-${CLIENT_SPAN}-01`, undefined],
  [`00-${'0'.repeat(32)}-${CLIENT_SPAN}-01`, undefined],
  [`00-${TRACE}-${'0'.repeat(16)}-01`, undefined],
  [TRACEPARENT.toUpperCase(), undefined],
  [undefined, undefined],
])('the trace context %s is kept as %s', (header, expected) => {
  expect(readTraceparent(header)).toBe(expected);
});
