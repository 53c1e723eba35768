import { expect, test, vi } from 'vitest';
import type { ModelMessage } from '../../src/model/model.ts';
import { DEFAULT_CONTEXT_TOKENS } from '../../src/model/ollama.ts';
import { createModels } from '../../src/model/providers.ts';
import { error, raw, say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, eventStream, failureOf, kitOf, requestOf, serve } from './model-harness.ts';
import { ollama } from './model-kinds.ts';

/** What is Ollama's own; the rest is the contract's, `model*.test.ts`. */
const { modelAt, answerTo } = kitOf(ollama);
const lines = (...objects: object[]) => raw(eventStream(ollama.frames(objects as never), ollama.contentType));
const end = { done: true, done_reason: 'stop' };

test('the window that is counted with is asked for, and nothing is to be forgotten in silence', async () => {
  const server = await serve(() => say('ok'));
  const unknown = modelAt(server);
  const known = modelAt(server, { settings: { contextTokens: 8_192, outputTokens: 1_000 } });
  for (const model of [unknown, known]) answerOf(await collect(model, requestOf({ maxTokens: 7 })));
  expect(unknown.info).toEqual({ contextTokens: DEFAULT_CONTEXT_TOKENS });
  expect(known.info).toEqual({ contextTokens: 8_192, outputTokens: 1_000 });
  expect(server.requests.map(({ body }) => body)).toMatchObject([
    { options: { num_ctx: DEFAULT_CONTEXT_TOKENS, num_predict: 7 }, truncate: false, shift: false },
    { options: { num_ctx: 8_192, num_predict: 7 }, truncate: false, shift: false },
  ]);
});

test('a conversation that does not fit is one that is too long, whatever the status', async () => {
  for (const status of [400, 500]) {
    const { events } = await answerTo(() => error(status, { message: ollama.overflow }));
    expect(failureOf(events)).toMatchObject({ kind: 'terminal', code: 'context_overflow' });
  }
});

test('a result says which tool it is of, to servers that know no ids', async () => {
  const calls = ['ls', 'no such.tool'].map((name, at) => ({
    ...{ type: 'tool' as const, callId: `c${at}`, name, arguments: '{}' },
  }));
  const messages: ModelMessage[] = [
    { role: 'user', text: 'Go.' },
    { role: 'assistant', parts: calls },
    ...calls.map(({ callId }): ModelMessage => ({ role: 'tool', callId, text: 'ok', isError: false })),
  ];
  const { server } = await answerTo(() => say('ok'), requestOf({ messages }));
  const sent = server.requests[0]?.body.messages.filter(({ role }: { role: string }) => role === 'tool');
  expect(sent.map((each: Record<string, string>) => [each.tool_call_id, each.tool_name])).toEqual([
    ['c0', 'ls'],
    ['c1', 'no_such_tool'],
  ]);
});

test('calls are each their own, without ids, with the same index, or in pieces of their own', async () => {
  const tool = (name: string, more: object = {}) => ({
    function: { index: 0, name, arguments: {} },
    ...more,
  });
  const { events } = await answerTo(() =>
    lines(
      { message: { tool_calls: [tool('ls'), tool('ls')] }, done: false },
      { message: { tool_calls: [tool('ls', { id: 'c1' })] }, done: false },
      { message: { content: '' }, ...end },
    ),
  );
  const { parts, stopReason } = answerOf(events);
  expect(parts).toMatchObject(Array(3).fill({ type: 'tool', name: 'ls', arguments: '{}' }));
  expect(stopReason).toBe('tool_calls');
  expect(events.filter(({ type }) => type === 'tool')).toHaveLength(3);
});

test('an answer without counts is one, and counts for nothing', async () => {
  const { events } = await answerTo(() => lines({ message: { content: 'Hi' }, ...end }));
  expect(answerOf(events).usage).toEqual({ input: 0, output: 0, cached: 0, reasoning: 0 });
});

test.each(['7', 'null', '[]', '"x"'])('a line that is %s is no answer', async (odd) => {
  const { events } = await answerTo(() => raw(eventStream(`${odd}\n`, ollama.contentType)));
  expect(failureOf(events).message).toBe('The stream of Provider ollama held a line that is no JSON object.');
});

test('what the SDK would write to the console is told to the caller alone', async () => {
  const spies = (['log', 'warn', 'error'] as const).map((name) =>
    vi.spyOn(console, name).mockImplementation(() => {}),
  );
  const page = (status: number, type: string, body: string) =>
    raw((response) => void response.writeHead(status, { 'content-type': type }).end(body));
  for (const step of [
    page(500, 'text/plain', 'a secret of the conversation'),
    page(500, 'application/json', '{"error": '),
    page(200, ollama.contentType, '{"message": {"content": "a secret\n'),
  ]) {
    failureOf((await answerTo(() => step)).events);
  }
  for (const spy of spies) {
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
  }
});

test('a provider of the kind is asked as one, where its address says so or a person', async () => {
  const server = await serve(() => say('ok'));
  const models = createModels({ box: { kind: 'ollama', baseUrl: server.url } });
  answerOf(await collect(models.resolve('box/qwen3:8b')));
  expect(server.requests[0]).toMatchObject({ protocol: 'ollama', model: 'qwen3:8b' });
});
