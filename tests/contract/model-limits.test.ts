import { describe, expect, test } from 'vitest';
import type { ModelMessage } from '../../src/model/model.ts';
import { raw, say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, eventStream, failureOf, kitOf, providers, requestOf } from './model-harness.ts';

/** What is too large for the store or for the stack costs neither the answer nor the requests after it. */
const MOST = 2_147_483_647;

/** An object of this many levels as JSON: lists in an object, with brackets in a string that count for nothing. */
function nested(levels: number): string {
  return `{"a\\"[[{":${'['.repeat(levels - 1)}"]}\\\\"${']'.repeat(levels - 1)}}`;
}

function usageBody(provider: string, count: number): string {
  const usage =
    provider === 'openai'
      ? { prompt_tokens: count, completion_tokens: count }
      : { input_tokens: count, cache_read_input_tokens: 1, output_tokens: count };
  const events =
    provider === 'openai'
      ? [{ choices: [{ index: 0, delta: { content: 'ok' }, finish_reason: 'stop' }], usage }]
      : [
          { type: 'message_start', message: { model: 'm-1', usage } },
          { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: count } },
          { type: 'message_stop' },
        ];
  return events
    .map((event) => `${'type' in event ? `event: ${event.type}\n` : ''}data: ${JSON.stringify(event)}\n\n`)
    .join('');
}

describe.each(providers)('$provider', (each) => {
  const { provider, answerTo } = kitOf(each);

  test('a count of tokens is kept up to what the store holds, and is that beyond', async () => {
    for (const count of [MOST - 1, MOST, MOST + 1, 1e300]) {
      const { events } = await answerTo(() => raw(eventStream(usageBody(provider, count))));
      const { usage } = answerOf(events);
      expect(usage.output).toBe(Math.min(count, MOST));
      expect(usage.input).toBe(Math.min(provider === 'openai' ? count : count + 1, MOST));
    }
  });

  async function sentArguments(text: string): Promise<unknown> {
    const messages: ModelMessage[] = [
      { role: 'user', text: 'Hello' },
      { role: 'assistant', parts: [{ type: 'tool', callId: 'c1', name: 'bash', arguments: text }] },
      { role: 'tool', callId: 'c1', text: 'no', isError: true },
    ];
    const { server, events } = await answerTo(() => say('ok'), requestOf({ messages }));
    answerOf(events);
    const sent = server.requests[0]?.body.messages;
    return provider === 'openai'
      ? JSON.parse(sent[2].tool_calls[0].function.arguments)
      : sent[1].content[0].input;
  }

  test('arguments of 500 levels are sent as they are, deeper ones as text', async () => {
    expect(await sentArguments(nested(500))).toEqual(JSON.parse(nested(500)));
    for (const levels of [501, 20_000]) {
      expect(await sentArguments(nested(levels))).toEqual({ invalid_json: nested(levels) });
    }
  });

  test('arguments with a string of a megabyte are sent as they are', async () => {
    const text = JSON.stringify({ text: '[\\"'.repeat(350_000) });
    expect(await sentArguments(text)).toEqual(JSON.parse(text));
  });

  test('a request that cannot be built is not called an answer', async () => {
    let deep: Record<string, unknown> = {};
    for (let level = 0; level < 20_000; level += 1) deep = { deep };
    const tools = [{ name: 'deep', description: 'Deep', parameters: deep }];
    const { server, events } = await answerTo(() => say('ok'), requestOf({ tools }));
    const failure = failureOf(events);
    expect(failure).toMatchObject({ kind: 'bug', code: 'model_bug' });
    expect(failure.message).toContain(`The request to Provider ${provider} could not be built: `);
    expect(server.requests).toHaveLength(0);
  });
});
