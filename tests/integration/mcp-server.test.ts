/** Capybara as an MCP server, by the SDK's own client: over `/mcp` on a listening API with a real worker, and over stdio. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  type CallToolResult,
  CallToolResultSchema,
  CreateTaskResultSchema,
  type Progress,
} from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { listen } from '../../src/api/server.ts';
import { Problem } from '../../src/api/wire.ts';
import { PROBLEM_META } from '../../src/mcp/server/refusal.ts';
import { cliProgram } from '../support/cli.ts';
import { call, hang, say } from '../support/scripted-model/scripted-model.ts';
import { openShop, SHOP_TIMEOUT_MS, type Shop, write } from './session-harness.ts';

vi.setConfig({ testTimeout: SHOP_TIMEOUT_MS, hookTimeout: SHOP_TIMEOUT_MS });

let it: Shop;
let mine: Client;

beforeAll(async () => {
  it = await openShop();
  mine = await connect(it.url, it.me.apiKey);
});
afterAll(async () => {
  await mine.close();
  await it.close();
});

async function connect(url: string, apiKey: string): Promise<Client> {
  const client = new Client({ name: 'foreign', version: '1' });
  const headers = { authorization: `Bearer ${apiKey}` };
  const transport = new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit: { headers } });
  await client.connect(transport as Transport);
  return client;
}

// biome-ignore lint/suspicious/noExplicitAny: tests read what they expect
async function use(name: string, given: Record<string, unknown> = {}, client = mine): Promise<any> {
  const result = await client.callTool({ name, arguments: given });
  if (result.isError) throw new Error(textOf(result));
  return result.structuredContent;
}

function textOf(result: unknown): string {
  return (result as CallToolResult).content.map((part) => (part.type === 'text' ? part.text : '')).join();
}

async function refused(name: string, given: Record<string, unknown>, client = mine) {
  const result = await client.callTool({ name, arguments: given });
  expect(result.isError).toBe(true);
  return { text: textOf(result), ...(result._meta?.[PROBLEM_META] as { code: string; status?: number }) };
}

/** A task that was handed in, with a model that answers so. */
function submit(prompt: string, steps: Parameters<Shop['script']>[1], given = {}) {
  it.script(prompt, steps);
  return use('submit_task', { prompt, mode: 'auto', ...given });
}

describe('the tools', () => {
  test('are listed with titles, hints and schemas, each of them whole', async () => {
    const { tools } = await mine.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      ...['submit_task', 'watch_task', 'list_tasks', 'send_message', 'cancel_task', 'pause_task'],
      ...['resume_task', 'list_approvals', 'answer_approval', 'get_diff'],
    ]);
    for (const { name, title, description, annotations, inputSchema, outputSchema } of tools) {
      expect([name, typeof title, description !== undefined]).toEqual([name, 'string', true]);
      expect(Object.keys(annotations ?? {}).toSorted()).toEqual([
        ...['destructiveHint', 'idempotentHint', 'openWorldHint', 'readOnlyHint'],
      ]);
      // Clients that do not follow references see everything.
      expect(JSON.stringify([inputSchema, outputSchema])).not.toContain('$ref');
      // What a client has read of answers holds when an update adds to them; what it asks for is looked at closely.
      expect(JSON.stringify(outputSchema)).not.toContain('additionalProperties');
      expect(inputSchema.additionalProperties).toBe(false);
    }
    const reads = tools.filter(({ annotations }) => annotations?.readOnlyHint).map(({ name }) => name);
    expect(reads).toEqual(['watch_task', 'list_tasks', 'list_approvals', 'get_diff']);
    const asTasks = tools.filter(({ execution }) => execution?.taskSupport === 'optional');
    expect(asTasks.map(({ name }) => name)).toEqual(['submit_task']);
    expect(mine.getInstructions()).toContain('never instructions');
  });

  test('hand in a task, follow it with progress, and fetch what it changed', async () => {
    const { id, sessionId } = await submit('write it down', [write('a.txt', 'one\ntwo\n'), say('Written.')]);
    const told: Progress[] = [];
    const watched = await mine.callTool({ name: 'watch_task', arguments: { taskId: id } }, undefined, {
      onprogress: (progress) => void told.push(progress),
    });
    expect(watched.structuredContent).toMatchObject({
      id,
      status: 'succeeded',
      result: 'Written.',
      needs: null,
    });
    expect(JSON.parse(textOf(watched))).toEqual(watched.structuredContent);
    expect(told.map(({ progress }) => progress)).toEqual(told.map((_, index) => index + 1));
    const listed = await use('list_tasks', { sessionId });
    expect(listed).toMatchObject({ tasks: [{ id, status: 'succeeded' }], nextCursor: null });
    const diff = await use('get_diff', { sessionId });
    expect(diff.patch).toContain('+one\n+two\n');
    expect(diff).toMatchObject({ offset: 0, nextOffset: null, characters: diff.patch.length });
    expect(await refused('get_diff', { sessionId, version: 'other' })).toMatchObject({
      code: 'files_changed',
    });
  });

  test('give one task for one idempotency key', async () => {
    const given = { idempotencyKey: 'once' };
    const [first, again] = [await submit('once', [], given), await submit('once', [], given)];
    expect(again.id).toBe(first.id);
    const other = await refused('submit_task', { prompt: 'another', idempotencyKey: 'once' });
    expect(other).toMatchObject({ code: 'idempotency_conflict', status: 409 });
  });

  test('wait until an approval is open, tell what is asked, and answer it', async () => {
    const command = `curl x #${'y'.repeat(30_000)}`;
    const { id, sessionId } = await submit('ask me', [call('bash', { command }), say('Then not.')], {
      mode: 'safe',
    });
    const waiting = await use('watch_task', { taskId: id });
    expect(waiting).toMatchObject({ needs: expect.stringContaining('answer_approval') });
    const { approvals } = await use('list_approvals', { sessionId });
    expect(approvals).toMatchObject([{ taskId: id, tool: 'bash', status: 'open', agent: 'build' }]);
    expect(waiting.approvals).toMatchObject([{ id: approvals[0].id, tool: 'bash' }]);
    expect(approvals[0].arguments).toMatch(
      /^.{20000}\n\[cut here: \d+ characters more, which a person sees with/,
    );
    const answer = { id: approvals[0].id, decision: 'deny', message: 'No.' };
    expect(await use('answer_approval', answer)).toMatchObject({ status: 'denied' });
    const other = { ...answer, decision: 'allow' };
    expect(await refused('answer_approval', other)).toMatchObject({ code: 'already_resolved', status: 409 });
    expect(await use('watch_task', { taskId: id })).toMatchObject({ result: 'Then not.' });
  });

  test('steer, pause, resume and cancel; a wait that is taken back ends nothing but itself', async () => {
    const { id, sessionId } = await submit('think long', [[say('Well'), hang()]]);
    const leaving = new AbortController();
    const given = { name: 'watch_task', arguments: { taskId: id, waitSeconds: 600, until: 'end' } };
    const said: string[] = [];
    const watching = mine.callTool(given, undefined, {
      signal: leaving.signal,
      onprogress: ({ message = '' }) => void said.push(message),
    });
    expect(await use('send_message', { sessionId, text: 'Shorter!' })).toEqual({ sessionId, taskId: id });
    // Again until the wait has begun, which hears of it.
    await vi.waitFor(async () => {
      const paused = await use('pause_task', { taskId: id });
      expect(paused).toMatchObject({ needs: expect.stringContaining('resume_task') });
      expect(await use('resume_task', { taskId: id })).toMatchObject({ needs: null });
      expect(said).toEqual(expect.arrayContaining(['task paused', 'task resumed']));
    }, SHOP_TIMEOUT_MS);
    leaving.abort();
    await expect(watching).rejects.toThrow('aborted');
    expect((await use('watch_task', { taskId: id, waitSeconds: 0 })).status).not.toBe('cancelled');
    expect(await use('cancel_task', { taskId: id })).toMatchObject({ id });
    expect(await use('watch_task', { taskId: id, until: 'end' })).toMatchObject({ status: 'cancelled' });
  });
});

describe('a call that is an MCP task', () => {
  test('has the id of the task, tells how it stands, and is listed', async () => {
    it.script('as a task', [say('Done as one.')]);
    const stream = mine.experimental.tasks.callToolStream(
      { name: 'submit_task', arguments: { prompt: 'as a task', mode: 'auto' } },
      CallToolResultSchema,
      { task: { ttl: 60_000 } },
    );
    const seen = [];
    for await (const message of stream) seen.push(message);
    const created = seen.find((message) => message.type === 'taskCreated');
    expect(created?.task).toMatchObject({
      taskId: expect.stringMatching(/^task_/),
      status: 'working',
      ttl: null,
    });
    const last = seen.at(-1);
    expect(last).toMatchObject({
      type: 'result',
      result: { structuredContent: { id: created?.task.taskId, result: 'Done as one.' } },
    });
    const { tasks } = await mine.experimental.tasks.listTasks();
    expect(tasks).toContainEqual(
      expect.objectContaining({ taskId: created?.task.taskId, status: 'completed' }),
    );
  });

  test('is cancelled as the task is, and then cannot be again', async () => {
    const taskId = await beginTask('never ends', [[say('Hm'), hang()]]);
    const waiting = mine.experimental.tasks.getTaskResult(taskId, CallToolResultSchema);
    expect(await mine.experimental.tasks.cancelTask(taskId)).toMatchObject({ status: 'cancelled' });
    expect(await waiting).toMatchObject({ isError: true, structuredContent: { status: 'cancelled' } });
    await expect(mine.experimental.tasks.cancelTask(taskId)).rejects.toThrow(`The task ${taskId} has ended`);
  });

  test('is refused for a tool that answers at once, and where the API refuses the task', async () => {
    const task = { task: {} };
    const asTask = (name: string, given: Record<string, unknown>) =>
      mine.request({ method: 'tools/call', params: { name, arguments: given } }, CallToolResultSchema, task);
    await expect(asTask('list_tasks', {})).rejects.toMatchObject({ code: -32601 });
    await expect(asTask('submit_task', { prompt: 'x', agent: 'nobody' })).rejects.toMatchObject({
      ...{ code: -32602, data: { code: 'unknown_agent', status: 400 } },
      message: expect.stringContaining('nobody'),
    });
  });
});

/** Hands in a call as an MCP task; returns its id. */
async function beginTask(
  prompt: string,
  steps: Parameters<Shop['script']>[1],
  client = mine,
): Promise<string> {
  it.script(prompt, steps);
  const params = { name: 'submit_task', arguments: { prompt, mode: 'auto' } };
  const { task } = await client.request({ method: 'tools/call', params }, CreateTaskResultSchema, {
    task: {},
  });
  return task.taskId;
}

describe('a restart of the API', () => {
  /** `onRequest` is told of each path that is asked for. */
  const start = (port: number, onRequest = (_path: string) => {}) => {
    const app = createApi(it.deps);
    const api = (request: IncomingMessage, response: ServerResponse) => {
      onRequest(request.url ?? '');
      app(request, response);
    };
    return listen(Object.assign(api, app), { host: '127.0.0.1', port });
  };

  test('loses no task of a client, which goes on where it was', async () => {
    const waits = Promise.withResolvers<void>();
    const before = await start(0, (path) => path.includes('/events?') && waits.resolve());
    const client = await connect(before.url, it.me.apiKey);
    const goesOn = Promise.withResolvers<void>();
    const taskId = await beginTask('survive', [[say('It is '), hang(goesOn.promise), say('done.')]], client);
    const waiting = client.callTool({ name: 'watch_task', arguments: { taskId } });
    await waits.promise;
    await before.close();
    // Whoever waits is told, and not left.
    const told = await waiting;
    expect([told.isError, told._meta?.[PROBLEM_META]]).toEqual([true, { code: 'stopping', status: 503 }]);
    await expect(use('watch_task', { taskId }, client)).rejects.toThrow();

    const after = await start(Number(new URL(before.url).port));
    goesOn.resolve();
    const result = { structuredContent: { id: taskId, status: 'succeeded', result: 'It is done.' } };
    expect(await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema)).toMatchObject(result);
    const another = await connect(after.url, it.me.apiKey);
    expect(await another.experimental.tasks.getTask(taskId)).toMatchObject({ taskId, status: 'completed' });
    expect(await another.experimental.tasks.getTaskResult(taskId, CallToolResultSchema)).toMatchObject(
      result,
    );
    expect(await use('watch_task', { taskId }, another)).toMatchObject(result.structuredContent);
    await Promise.all([client.close(), another.close()]);
    await after.close();
  });
});

describe('over stdio', () => {
  test('the same is there, and outlives the API that it speaks to', async () => {
    const before = await listen(createApi(it.deps), { host: '127.0.0.1', port: 0 });
    const [client, { PATH = '', NODE_COMPILE_CACHE = '' }] = [
      new Client({ name: 'foreign', version: '1' }),
      process.env,
    ];
    const where = { CAPYBARA_URL: before.url, CAPYBARA_API_KEY: it.me.apiKey, HOME: it.dataDir };
    const transport = new StdioClientTransport({
      ...{ command: process.execPath, args: [cliProgram(), 'mcp', 'serve'], stderr: 'pipe' },
      env: { PATH, NODE_COMPILE_CACHE, ...where },
    });
    let stderr = '';
    transport.stderr?.on('data', (text) => (stderr += text));
    await client.connect(transport);
    const goesOn = Promise.withResolvers<void>();
    const taskId = await beginTask('by stdio', [[say('Still '), hang(goesOn.promise), say('here.')]], client);
    await before.close();
    expect(await refused('watch_task', { taskId }, client)).toMatchObject({ code: 'server_unreachable' });
    const after = await listen(createApi(it.deps), {
      host: '127.0.0.1',
      port: Number(new URL(before.url).port),
    });
    goesOn.resolve();
    const done = { id: taskId, status: 'succeeded', result: 'Still here.' };
    expect(await use('watch_task', { taskId, until: 'end' }, client)).toMatchObject(done);
    const last = await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema);
    expect(last.structuredContent).toMatchObject(done);
    await client.close();
    await after.close();
    expect(stderr).toBe('');
  });
});

describe('what a client may do', () => {
  test('is what its key may: scopes hold, and another team has nothing', async () => {
    const { id, sessionId } = await submit('ours', [say('Ours.')]);
    const reader = await it.addPerson('ours', 'Rita', ['read']);
    const stranger = await it.addPerson('theirs', 'Bo');
    const reads = await connect(it.url, reader.apiKey);
    const foreign = await connect(it.url, stranger.apiKey);
    expect(await use('watch_task', { taskId: id }, reads)).toMatchObject({ id });
    const { text } = await refused('submit_task', { prompt: 'x' }, reads);
    expect(text).toBe(
      'This needs a key with the scope submit, and the one that was sent has read: ask an administrator of your team for another. (missing_scope)',
    );
    const given = { taskId: id };
    const calls = { watch_task: given, cancel_task: given, pause_task: given, get_diff: { sessionId } };
    for (const [name, given] of Object.entries(calls)) {
      expect(await refused(name, given, foreign)).toMatchObject({ code: 'not_found', status: 404 });
    }
    expect(await use('list_tasks', {}, foreign)).toEqual({ tasks: [], nextCursor: null });
    await expect(foreign.experimental.tasks.getTask(id)).rejects.toMatchObject({ code: -32602 });
    await expect(foreign.experimental.tasks.getTaskResult(id, CallToolResultSchema)).rejects.toMatchObject({
      code: -32602,
    });
    await expect(foreign.experimental.tasks.cancelTask(id)).rejects.toMatchObject({ code: -32602 });
    await Promise.all([reads.close(), foreign.close()]);
  });

  test('is told in a sentence where its arguments do not fit', async () => {
    expect((await refused('submit_task', { prompt: 1 })).text).toBe(
      'The arguments of submit_task cannot be used at prompt: expected string, received number. (invalid_request)',
    );
    expect((await refused('submit_task', { prompt: 'x', workspace: {} })).code).toBe('invalid_request');
    for (const taskId of ['../keys', '', '.', '\ud800', 'ses_01a21c300ef77282965cb36cbb10e1f0'])
      expect((await refused('watch_task', { taskId })).text).toBe(
        'The arguments of watch_task cannot be used at taskId: expected an id: task_ and 32 hexadecimal digits. (invalid_request)',
      );
    for (const taskId of ['', '.', '..', '\ud800'])
      await expect(mine.experimental.tasks.getTask(taskId)).rejects.toMatchObject({
        code: -32602,
        message: expect.stringContaining(`${JSON.stringify(taskId)} is no name or id of anything`),
      });
    await expect(mine.callTool({ name: 'rm' })).rejects.toThrow(
      'There is no tool "rm": expected one of submit',
    );
  });

  test.each([
    ['initialize', undefined, 'params: expected object, received undefined'],
    ['tools/call', {}, 'params.name: expected string, received undefined'],
    [
      'tools/call',
      { name: 'list_tasks', arguments: [1] },
      'params.arguments: expected record, received array',
    ],
    ['tasks/get', { taskId: 1 }, 'params.taskId: expected string, received number'],
  ])('is told where its %s with %j is none', async (method, params, fault) => {
    const headers = { accept: 'application/json, text/event-stream' };
    const answer = await it.ask('POST', '/mcp', { headers, body: { jsonrpc: '2.0', id: 1, method, params } });
    const [, data = '{}'] = /^data: (.*)$/m.exec(answer.text) ?? [];
    const message = `The request ${method} cannot be answered at ${fault}.`;
    expect(JSON.parse(data)).toEqual({ jsonrpc: '2.0', id: 1, error: { code: -32602, message } });
  });

  test('needs a key, and of a page an origin that is allowed', async () => {
    const initialize = (headers: Record<string, string>, key: string | null = it.me.apiKey) =>
      it.ask('POST', '/mcp', {
        key,
        headers: { accept: 'application/json, text/event-stream', ...headers },
        body: { jsonrpc: '2.0', id: 1, method: 'initialize', params: INITIALIZE },
      });
    const without = await initialize({}, null);
    expect([without.status, without.headers.get('www-authenticate')]).toEqual([
      401,
      'Bearer realm="capybara"',
    ]);
    const evil = await initialize({ origin: 'http://evil.example:7070' });
    expect([evil.status, Problem.parse(evil.json).code]).toEqual([403, 'origin_not_allowed']);
    const own = await initialize({ origin: 'http://localhost:6274' });
    expect([own.status, own.headers.get('mcp-session-id')]).toEqual([
      200,
      expect.stringMatching(/^[\w-]{36}$/),
    ]);
    const stream = await it.ask('GET', '/mcp', { headers: { accept: 'text/event-stream' } });
    expect([stream.status, stream.headers.get('allow')]).toEqual([405, 'POST']);
    const list = await it.ask('POST', '/mcp', { body: [] });
    expect([list.status, Problem.parse(list.json).code]).toEqual([400, 'invalid_request']);
  });

  test('ends a wait of its own in the same conversation, and nobody else’s', async () => {
    const { id } = await submit('long wait', [[say('Well'), hang()]]);
    const send = (message: object, key: string, conversation: string) =>
      fetch(`${it.url}/mcp`, {
        method: 'POST',
        headers: {
          ...{ 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
          ...{ authorization: `Bearer ${key}`, 'mcp-session-id': conversation },
        },
        body: JSON.stringify({ jsonrpc: '2.0', ...message }),
      });
    const params = { name: 'watch_task', arguments: { taskId: id, waitSeconds: 600 } };
    const { body } = await send({ id: 7, method: 'tools/call', params }, it.me.apiKey, 'a');
    let isOpen = true;
    const ended = new Response(body).text().finally(() => {
      isOpen = false;
    });
    const stranger = await it.addPerson('strangers', 'Sam');
    const cancel = { method: 'notifications/cancelled', params: { requestId: 7 } };
    const others = [
      await send(cancel, stranger.apiKey, 'a'),
      await send(cancel, it.me.apiKey, 'b'),
      await send({ ...cancel, params: { requestId: '7' } }, it.me.apiKey, 'a'),
    ];
    expect([...others.map(({ status }) => status), isOpen]).toEqual([202, 202, 202, true]);
    await send(cancel, it.me.apiKey, 'a');
    expect(await ended).not.toContain('result');
    expect((await it.ask('POST', `/v1/tasks/${id}/cancel`)).json.cancelRequested).toBe(true);
  });

  test('stands in the audit trail once, as what it asked of the API', async () => {
    const { apiKey } = await it.addPerson('audited', 'Eve');
    const client = await connect(it.url, apiKey);
    it.script('audited', [say('Fine.')]);
    const { id } = await use('submit_task', { prompt: 'audited' }, client);
    await client.close();
    const records = async () => (await it.ask('GET', '/v1/audit', { key: apiKey })).json.data;
    await expect.poll(records).toMatchObject([{ action: 'POST /v1/tasks', subject: id, status: 201 }]);
  });
});

const INITIALIZE = {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'x', version: '1' },
};
