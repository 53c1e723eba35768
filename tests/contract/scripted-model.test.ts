import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { ociRefusal } from '../support/scripted-model/oci.ts';
import {
  call,
  hang,
  type Script,
  say,
  sequence,
  stop,
  think,
  usage,
} from '../support/scripted-model/scripted-model.ts';
import { serve } from './model-harness.ts';

/** The oracle of the other tests has to be right itself: here it is asked with plain `fetch`. */
const user = { role: 'user', content: 'Hello' };

async function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(url, { method: 'POST', body: text, headers });
  // biome-ignore lint/suspicious/noExplicitAny: the body is what is under test
  return { status: response.status, body: (await response.json()) as any };
}

const chat = { model: 'm-1', messages: [user] };
const messages = { ...chat, max_tokens: 100 };

test('an answer that is not streamed has the shape of a chat completion', async () => {
  const server = await serve(() => [
    think('Hm.'),
    say('Looking.'),
    call('ls', { path: '.' }, 'c1'),
    usage({ input: 7 }),
  ]);
  const { status, body } = await post(`${server.baseUrl}/chat/completions`, chat);
  expect(status).toBe(200);
  expect(body).toMatchObject({ object: 'chat.completion', model: 'm-1', usage: { prompt_tokens: 7 } });
  expect(body.choices).toEqual([
    {
      index: 0,
      logprobs: null,
      finish_reason: 'tool_calls',
      message: {
        role: 'assistant',
        content: 'Looking.',
        refusal: null,
        reasoning_content: 'Hm.',
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'ls', arguments: '{"path":"."}' } }],
      },
    },
  ]);
});

test('an answer that is not streamed has the shape of a message', async () => {
  const server = await serve(() => [
    think('Hm.', 'proof'),
    say('Looking.'),
    call('ls', {}, 'c1'),
    stop('length'),
  ]);
  const { status, body } = await post(`${server.url}/v1/messages`, messages);
  expect(status).toBe(200);
  expect(body).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'max_tokens' });
  expect(body.content).toMatchObject([
    { type: 'thinking', thinking: 'Hm.', signature: 'proof' },
    { type: 'text', text: 'Looking.' },
    { type: 'tool_use', id: 'c1', name: 'ls', input: {} },
  ]);
});

test('a streamed chat completion ends with usage only where it is asked for, and [DONE]', async () => {
  const server = await serve(() => say('ok'));
  const read = async (more: object) => {
    const body = JSON.stringify({ ...chat, stream: true, ...more });
    return (await fetch(`${server.baseUrl}/chat/completions`, { method: 'POST', body })).text();
  };
  expect(await read({})).not.toContain('prompt_tokens');
  const text = await read({ stream_options: { include_usage: true } });
  expect(text).toContain('prompt_tokens');
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
});

test('the blocks of parallel calls are open together and their pieces take turns', async () => {
  const server = await serve(() => [
    say('Now.'),
    call('a', { x: '1'.repeat(20) }),
    call('b', { y: '2'.repeat(20) }),
  ]);
  const body = JSON.stringify({ ...messages, stream: true });
  const text = await (await fetch(`${server.url}/v1/messages`, { method: 'POST', body })).text();
  const events = [...text.matchAll(/^data: (.*)$/gm)].map((match) => JSON.parse(match[1] ?? ''));
  const order = events
    .filter((event) => event.index !== undefined)
    .map((event) => `${event.type.split('_')[2]} ${event.index}`);
  expect(order.slice(0, 7)).toEqual([
    'start 0',
    'delta 0',
    'stop 0',
    'start 1',
    'start 2',
    'delta 1',
    'delta 2',
  ]);
  expect(order.slice(-2)).toEqual(['stop 1', 'stop 2']);
  expect(events.at(-1)).toEqual({ type: 'message_stop' });
});

test('requests are counted by session and turn, with their attempts', async () => {
  const server = await serve(() => say('ok'));
  const ask = (session: string, turn: number) =>
    post(`${server.baseUrl}/chat/completions`, chat, {
      'x-capybara-session': session,
      'x-capybara-task': 'task_1',
      'x-capybara-turn': String(turn),
    });
  await ask('ses_1', 1);
  await ask('ses_1', 1);
  await ask('ses_1', 2);
  await ask('ses_2', 1);
  expect(server.requests.map(({ sessionId, turn, attempt }) => [sessionId, turn, attempt])).toEqual([
    ['ses_1', 1, 1],
    ['ses_1', 1, 2],
    ['ses_1', 2, 1],
    ['ses_2', 1, 1],
  ]);
  expect(server.requestsOf('ses_1')).toHaveLength(3);
  expect(server.requestsOf('ses_1', 1)).toHaveLength(2);
  expect(server.requestsOf()).toHaveLength(4);
  expect(
    server.requests.every((request) => request.outcome === 'answered' && request.taskId === 'task_1'),
  ).toBe(true);
});

test('a sequence goes by the answers in the request, and says so when it is over', async () => {
  const server = await serve(sequence([call('ls', {}, 'c1'), say('Done.')]));
  const url = `${server.baseUrl}/chat/completions`;
  const first = (await post(url, chat)).body.choices[0].message;
  expect((await post(url, chat)).body.choices[0].message.tool_calls).toEqual(first.tool_calls);
  const result = { role: 'tool', tool_call_id: 'c1', content: 'a.txt' };
  const second = await post(url, { ...chat, messages: [user, first, result] });
  expect(second.body.choices[0].message.content).toBe('Done.');
  expect(server.requests.at(-1)?.lastToolResults).toMatchObject([{ callId: 'c1', text: 'a.txt' }]);
  const over = await post(url, {
    ...chat,
    messages: [user, first, result, second.body.choices[0].message, user],
  });
  expect(over.status).toBe(400);
  expect(over.body.error.message).toContain('the script has 2 steps, but the request holds 2 answers');
});

test.each([
  ['chat/completions', 'not json'],
  ['chat/completions', { messages: [user] }],
  ['chat/completions', { model: 'm-1', messages: [] }],
  ['chat/completions', { ...chat, messages: [user, { role: 'tool', tool_call_id: 'c1', content: '' }] }],
  ['chat/completions', { ...chat, messages: [user, assistantWithCall('ls')] }],
  ['chat/completions', { ...chat, messages: [user, assistantWithCall('ls'), user] }],
  ['chat/completions', { ...chat, messages: [user, assistantWithCall('no such.name')] }],
  ['messages', chat],
  ['messages', { ...messages, messages: [{ role: 'assistant', content: 'Hi' }] }],
  ['messages', { ...messages, messages: [{ role: 'user', content: [{ type: 'text', text: ' ' }] }] }],
  ['messages', { ...messages, messages: [user, messageWithCall()] }],
  ['messages', { ...messages, messages: [user, messageWithCall(), user] }],
  ['messages', { ...messages, messages: [{ role: 'user', content: [resultOf('c1')] }] }],
  [
    'messages',
    {
      ...messages,
      messages: [
        user,
        messageWithCall(),
        { role: 'user', content: [{ type: 'text', text: 'x' }, resultOf('c1')] },
      ],
    },
  ],
  ['messages', { ...messages, messages: [user, messageWithCall('c1', 'text')] }],
])('%s refuses %j as the real API does', async (path, body) => {
  const server = await serve(() => say('ok'));
  const answer = await post(`${server.baseUrl}/${path}`, body);
  expect(answer.status).toBe(400);
  expect(typeof answer.body.error.message).toBe('string');
  expect(server.requests).toEqual([]);
  expect(server.refusals).toHaveLength(1);
});

const told = (role: string, text = 'x', more: object = {}) => ({
  ...{ role, content: [{ type: 'TEXT', text }] },
  ...more,
});
const toolCalls = [{ id: 'c1', type: 'FUNCTION', name: 'ls', arguments: '{}' }];

test.each([
  [[told('USER')], undefined],
  [[told('USER'), told('ASSISTANT', '.', { toolCalls }), told('TOOL', 'x', { toolCallId: 'c1' })], undefined],
  [[told('USER'), told('ASSISTANT', '.', { toolCalls })], 'tool calls without a result: c1'],
  [[told('ASSISTANT', '.', { toolCalls }), told('USER')], 'tool calls without a result: c1'],
  [[told('TOOL', 'x', { toolCallId: 'c1' })], 'no tool call c1 before its result'],
  [[told('USER', ' ')], 'text must not be blank'],
  [[{ role: 'ASSISTANT', toolCalls }], 'content of ASSISTANT must not be empty'],
  [[told('user')], 'unknown role: user'],
  [[{ role: 'TOOL', content: [{ type: 'IMAGE' }] }], 'an image in a message of TOOL'],
  [[], 'messages must not be empty'],
])('of %j Oracle’s cloud says %s', (messages, said) => {
  const servingMode = { servingType: 'ON_DEMAND', modelId: 'm-1' };
  const chatRequest = { apiFormat: 'GENERIC', isStream: true, messages };
  const body = { compartmentId: 'c', servingMode, chatRequest };
  expect(ociRefusal(body)).toBe(said);
  const tools = [{ type: 'FUNCTION', name: 'ls', parameters: { anyOf: [] } }];
  const withTools = ociRefusal({ ...body, chatRequest: { ...chatRequest, tools } });
  expect(withTools).toBe(said ?? 'unsupported in a schema: "anyOf":');
  expect(ociRefusal({ ...body, compartmentId: undefined })).toBe('compartmentId must not be null');
  expect(ociRefusal({ ...body, servingMode: { ...servingMode, servingType: 'DEDICATED' } })).toContain(
    'servingMode',
  );
});

function assistantWithCall(name: string) {
  const calls = [{ id: 'c1', type: 'function', function: { name, arguments: '{}' } }];
  return { role: 'assistant', content: null, tool_calls: calls };
}

function messageWithCall(id = 'c1', input: unknown = {}) {
  return { role: 'assistant', content: [{ type: 'tool_use', id, name: 'ls', input }] };
}

function resultOf(id: string) {
  return { type: 'tool_result', tool_use_id: id, content: 'ok' };
}

test('keys, models and routes are checked with the bodies of each protocol', async () => {
  const server = await serve(() => say('ok'), { apiKey: 'right', models: ['m-1', 'm-2'] });
  const right = { authorization: 'Bearer right' };
  const wrong = await post(`${server.url}/v1/messages`, messages, { 'x-api-key': 'wrong' });
  expect(wrong).toMatchObject({
    status: 401,
    body: { type: 'error', error: { type: 'authentication_error' } },
  });
  expect((await post(`${server.url}/v1/messages`, messages, { 'x-api-key': 'right' })).status).toBe(200);
  const unknown = await post(`${server.baseUrl}/chat/completions`, { ...chat, model: 'm-3' }, right);
  expect(unknown).toMatchObject({ status: 404, body: { error: { code: 'model_not_found' } } });
  expect((await post(`${server.baseUrl}/nothing`, {}, right)).status).toBe(404);
  const list = (await (await fetch(`${server.baseUrl}/models`, { headers: right })).json()) as {
    data: { id: string }[];
  };
  expect(list.data.map((model) => model.id)).toEqual(['m-1', 'm-2']);
});

test('what hangs goes on when it is released, or when its promise settles', async () => {
  const gate = Promise.withResolvers<void>();
  const script: Script = (request) => [hang(request.model === 'm-1' ? undefined : gate.promise), say('ok')];
  const server = await serve(script);
  const first = post(`${server.baseUrl}/chat/completions`, chat);
  const second = post(`${server.baseUrl}/chat/completions`, { ...chat, model: 'm-2' });
  await server.waitForRequest((request) => request.model === 'm-1');
  await server.waitForRequest((request) => request.model === 'm-2');
  gate.resolve();
  expect((await second).status).toBe(200);
  expect(server.requests.find((request) => request.model === 'm-1')?.outcome).toBe('open');
  server.release();
  expect((await first).status).toBe(200);
  await expect(server.waitForRequest(() => false, 20)).rejects.toThrow(
    'no such request within 20 ms, of 2 requests',
  );
});

test('as a process it says where it listens and ends with its standard input', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'scripted-model-'));
  try {
    const script = join(directory, 'script.mjs');
    await writeFile(script, `export default () => ({ type: 'say', text: 'from a process' });\n`);
    const main = join(import.meta.dirname, '../support/scripted-model/main.ts');
    const child = spawn(process.execPath, [main, script, '--api-key', 'k', '--model', 'm-1'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const { url, baseUrl } = JSON.parse(line);
    expect(baseUrl).toBe(`${url}/v1`);
    const answer = await post(`${baseUrl}/chat/completions`, chat, { authorization: 'Bearer k' });
    expect(answer.body.choices[0].message.content).toBe('from a process');
    child.stdin.end();
    expect(await exited).toEqual([0, null]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
