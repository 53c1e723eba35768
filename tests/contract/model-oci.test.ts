import { describe, expect, test } from 'vitest';
import type { ModelMessage } from '../../src/model/model.ts';
import { stream, TENANCY } from '../support/oci-server.ts';
import { answerOf, failureOf, requestOf, textIn } from './model-harness.ts';
import { type Answer, ask } from './model-oci-harness.ts';

const TOOLS = [
  {
    name: 'edit',
    description: 'Edits.',
    parameters: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: {
        path: { type: 'string', description: 'Where.' },
        lines: { type: 'array', items: { $ref: '#/$defs/line' } },
        mode: { anyOf: [{ type: 'null' }, { type: 'string', enum: ['a', 'b'] }] },
      },
      required: ['path'],
      $defs: { line: { type: 'integer' } },
    },
  },
];

const CONVERSATION: ModelMessage[] = [
  { role: 'user', text: 'Look.' },
  {
    role: 'assistant',
    parts: [
      { type: 'tool', callId: 'c1', name: 'ls', arguments: '{"path":"."}' },
      { type: 'tool', callId: 'c2', name: 'pwd', arguments: '' },
    ],
  },
  { role: 'tool', callId: 'c1', text: 'a.txt', isError: false },
  { role: 'tool', callId: 'c2', text: '/w', isError: false },
];
const THEN: ModelMessage[] = [
  ...CONVERSATION,
  { role: 'assistant', parts: [{ type: 'text', text: 'There is a.txt.' }] },
  { role: 'user', text: 'Go on.' },
];

describe('the generic format', () => {
  const says = (text: string) => ({
    index: 0,
    message: { role: 'ASSISTANT', content: [{ type: 'TEXT', text }] },
    pad: 'a',
  });
  const DONE = { finishReason: 'stop' };

  test('an answer streams, and the request is signed and says what it has to', async () => {
    const usage = { promptTokens: 9, completionTokens: 5, promptTokensDetails: { cachedTokens: 4 } };
    const details = { completionTokensDetails: { reasoningTokens: 2 } };
    const thinks = { message: { role: 'ASSISTANT', reasoningContent: 'Hm.' } };
    const { events, sent, made } = await ask(
      'meta.llama-3.3-70b-instruct',
      (response) =>
        stream(response, [thinks, says('Hel'), says('lo.'), DONE, { usage: { ...usage, ...details } }]),
      requestOf({ tools: TOOLS, temperature: 0, maxTokens: 99 }),
    );
    expect(made.name).toBe('oracle/meta.llama-3.3-70b-instruct');
    expect(textIn(events, 'text')).toBe('Hello.');
    expect(answerOf(events)).toEqual({
      parts: [
        { type: 'reasoning', text: 'Hm.', signature: 'oci oracle@meta reasoning_content' },
        { type: 'text', text: 'Hello.' },
      ],
      stopReason: 'stop',
      usage: { input: 9, output: 5, cached: 4, reasoning: 2 },
      model: 'meta.llama-3.3-70b-instruct',
    });
    expect(sent).toMatchObject({
      method: 'POST',
      url: '/20231130/actions/chat',
      keyId: `${TENANCY}/ocid1.user.oc1..u/aa:bb`,
    });
    expect(sent?.headers).toMatchObject({ 'x-capybara-session': 'ses_1', accept: 'text/event-stream' });
    const parameters = {
      type: 'object',
      properties: {
        path: { type: 'string', description: 'Where.' },
        lines: { type: 'array', items: { type: 'integer' } },
        mode: { type: 'string', enum: ['a', 'b'] },
      },
      required: ['path'],
    };
    expect(sent?.body).toEqual({
      compartmentId: 'ocid1.compartment.oc1..c',
      servingMode: { servingType: 'ON_DEMAND', modelId: 'meta.llama-3.3-70b-instruct' },
      chatRequest: {
        apiFormat: 'GENERIC',
        isStream: true,
        streamOptions: { isIncludeUsage: true },
        tools: [{ type: 'FUNCTION', name: 'edit', description: 'Edits.', parameters }],
        temperature: 0,
        maxTokens: 99,
        messages: [
          { role: 'SYSTEM', content: [{ type: 'TEXT', text: 'You are a test.' }] },
          { role: 'USER', content: [{ type: 'TEXT', text: 'Hello' }] },
        ],
      },
    });
  });

  test('calls come in pieces, and go back with their results', async () => {
    const calls = (toolCalls: object[]) => ({ message: { role: 'ASSISTANT', toolCalls } });
    const { events, sent } = await ask(
      'grok-4',
      (response) =>
        stream(response, [
          calls([{ id: 'c9', type: 'FUNCTION', name: 'ls', arguments: '{"pa' }]),
          calls([{ arguments: 'th":"."}' }]),
          { finishReason: 'tool_calls' },
        ]),
      requestOf({ messages: CONVERSATION }),
    );
    const answer = answerOf(events);
    expect(answer.stopReason).toBe('tool_calls');
    expect(answer.parts).toEqual([{ type: 'tool', callId: 'c9', name: 'ls', arguments: '{"path":"."}' }]);
    expect(sent?.body.servingMode.modelId).toBe('xai.grok-4');
    expect(sent?.body.chatRequest.messages.slice(2)).toEqual([
      {
        role: 'ASSISTANT',
        content: [{ type: 'TEXT', text: '.' }],
        toolCalls: [
          { id: 'c1', type: 'FUNCTION', name: 'ls', arguments: '{"path":"."}' },
          { id: 'c2', type: 'FUNCTION', name: 'pwd', arguments: '{}' },
        ],
      },
      { role: 'TOOL', toolCallId: 'c1', content: [{ type: 'TEXT', text: 'a.txt' }] },
      { role: 'TOOL', toolCallId: 'c2', content: [{ type: 'TEXT', text: '/w' }] },
    ]);
  });

  test.each([
    ['openai.gpt-5', /^call_[0-9a-f]{32}$/],
    ['grok', /^functions/],
  ])('%s is sent the id of another provider’s call so that it takes it', async (model, expected) => {
    const callId = `functions.ls:0${'x'.repeat(40)}`;
    const messages: ModelMessage[] = [
      { role: 'user', text: 'Look.' },
      { role: 'assistant', parts: [{ type: 'tool', callId, name: 'ls', arguments: '{}' }] },
      { role: 'tool', callId, text: 'a.txt', isError: false },
    ];
    const { sent } = await ask(model, (response) => stream(response, [DONE]), requestOf({ messages }));
    const [asked, answered] = sent?.body.chatRequest.messages.slice(-2) ?? [];
    expect(asked.toolCalls[0].id).toMatch(expected);
    expect(answered.toolCallId).toBe(asked.toolCalls[0].id);
  });

  test('an endpoint of one’s own is asked by its OCID', async () => {
    const id = 'ocid1.generativeaiendpoint.oc1.us-chicago-1.e';
    const answer: Answer = (response) => stream(response, [says('ok'), DONE]);
    const { sent } = await ask(`meta.${id}`, answer);
    expect(sent?.body.servingMode).toEqual({ servingType: 'DEDICATED', endpointId: id });
  });
});

describe('Cohere’s format', () => {
  test('an answer streams, its last message repeats it, and what was said before stands apart', async () => {
    const apiFormat = 'COHERE';
    const toolCalls = [{ name: 'ls', parameters: { path: '.' } }];
    const { events, sent } = await ask(
      'command-a',
      (response) =>
        stream(response, [
          { apiFormat, text: 'I ' },
          { apiFormat, text: 'look.' },
          { apiFormat, toolCalls },
          {
            apiFormat,
            text: 'I look.',
            chatHistory: [],
            toolCalls,
            finishReason: 'COMPLETE',
            usage: { promptTokens: 7, completionTokens: 3 },
          },
        ]),
      requestOf({ messages: THEN, tools: TOOLS, maxTokens: 50 }),
    );
    const answer = answerOf(events);
    expect(answer).toMatchObject({ stopReason: 'tool_calls', usage: { input: 7, output: 3 } });
    const callId = expect.stringMatching(/^call_/);
    expect(answer.parts).toEqual([
      { type: 'text', text: 'I look.' },
      { type: 'tool', callId, name: 'ls', arguments: '{"path":"."}' },
    ]);
    const calls = [
      { name: 'ls', parameters: { path: '.' } },
      { name: 'pwd', parameters: {} },
    ];
    expect(sent?.body.servingMode.modelId).toBe('cohere.command-a-03-2025');
    expect(sent?.body.chatRequest).toEqual({
      apiFormat: 'COHERE',
      isStream: true,
      streamOptions: { isIncludeUsage: true },
      preambleOverride: 'You are a test.',
      tools: [
        {
          name: 'edit',
          description: 'Edits.',
          parameterDefinitions: {
            path: { description: 'Where.', type: 'str', isRequired: true },
            lines: {
              description: 'JSON Schema: {"items":{"type":"integer"}}',
              type: 'list',
              isRequired: false,
            },
            mode: { description: 'JSON Schema: {"enum":["a","b"]}', type: 'str', isRequired: false },
          },
        },
      ],
      maxTokens: 50,
      message: 'Go on.',
      chatHistory: [
        { role: 'USER', message: 'Look.' },
        { role: 'CHATBOT', message: ' ', toolCalls: calls },
        {
          role: 'TOOL',
          toolResults: [
            { call: calls[0], outputs: [{ output: 'a.txt' }] },
            { call: calls[1], outputs: [{ output: '/w' }] },
          ],
        },
        { role: 'CHATBOT', message: 'There is a.txt.' },
      ],
    });
  });

  test('results that are new stand beside an empty message, and behind the model where a person said more', async () => {
    const answer: Answer = (response) => stream(response, [{ text: 'ok', finishReason: 'COMPLETE' }]);
    const { events, sent } = await ask('command-r', answer, requestOf({ messages: CONVERSATION }));
    expect(answerOf(events).parts).toEqual([{ type: 'text', text: 'ok' }]);
    const { message, toolResults, chatHistory } = sent?.body.chatRequest ?? {};
    expect(message).toBe('');
    expect(toolResults.map(({ call }: { call: { name: string } }) => call.name)).toEqual(['ls', 'pwd']);
    expect(chatHistory.at(-1).role).toBe('CHATBOT');
    const steered = requestOf({ messages: [...CONVERSATION, { role: 'user', text: 'Hurry.' }] });
    const second = (await ask('command-r', answer, steered)).sent?.body.chatRequest;
    expect(second).toMatchObject({ message: 'Hurry.' });
    expect(second).not.toHaveProperty('toolResults');
    expect(second.chatHistory.slice(-2).map(({ role }: { role: string }) => role)).toEqual([
      'TOOL',
      'CHATBOT',
    ]);
  });

  test.each([
    ['MAX_TOKENS', 'length'],
    ['ERROR_TOXIC', 'refusal'],
  ])('%s is %s', async (finishReason, expected) => {
    const { events } = await ask('command-a', (response) => stream(response, [{ text: 'x', finishReason }]));
    expect(answerOf(events).stopReason).toBe(expected);
  });

  test.each([
    ['ERROR', 'provider_unavailable'],
    ['ERROR_LIMIT', 'context_overflow'],
  ])('%s ends an answer as %s', async (finishReason, code) => {
    const { events } = await ask('command-a', (response) => stream(response, [{ text: 'x', finishReason }]));
    expect(failureOf(events)).toMatchObject({ code, mayHaveCost: true });
  });

  test('a model that reasons is spoken to in the second format', async () => {
    const content = (each: object) => ({
      apiFormat: 'COHEREV2',
      message: { role: 'ASSISTANT', content: [each] },
    });
    const toolCalls = [{ id: 'v1', type: 'FUNCTION', function: { name: 'ls', arguments: '{}' } }];
    const { events, sent } = await ask(
      'command-a-reasoning',
      (response) =>
        stream(response, [
          content({ type: 'THINKING', thinking: 'Hm.' }),
          content({ type: 'TEXT', text: 'Look.' }),
          { message: { toolCalls } },
          { finishReason: 'TOOL_CALL' },
        ]),
      requestOf({ messages: CONVERSATION }),
    );
    expect(answerOf(events).parts.map(({ type }) => type)).toEqual(['reasoning', 'text', 'tool']);
    const { apiFormat, messages } = sent?.body.chatRequest ?? {};
    expect(apiFormat).toBe('COHEREV2');
    expect(messages[2].toolCalls[0].function).toEqual({ name: 'ls', arguments: '{"path":"."}' });
  });
});
