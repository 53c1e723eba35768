/**
 * The kinds of provider that the contract suite judges. A new one is an object here, with its wire in
 * `tests/support/scripted-model/wires.ts`, and every `model*.test.ts` runs for it.
 */
import { createAnthropicModel } from '../../src/model/anthropic.ts';
import { createChatModel } from '../../src/model/chat.ts';
import { wireId } from '../../src/model/history.ts';
import { createOllamaModel } from '../../src/model/ollama.ts';
import { createOpenAiModel } from '../../src/model/openai.ts';
import { shortId } from '../../src/model/openai-servers.ts';
import { type Body, behindAnswer, type Fields, type Kind, SSE } from './model-kind.ts';
import { oci } from './model-oci-kind.ts';

const PLAIN_MESSAGES = { model: 'm-1', stream: true, messages: [{ role: 'user', content: 'x' }] };

const isAssistant = ({ role }: Body) => role === 'assistant';

const chunk = (delta: Fields, finish_reason: string | null = null): Fields => ({
  choices: [{ index: 0, delta, finish_reason }],
});

export const chat: Kind = {
  provider: 'env',
  create: createChatModel,
  kind: 'chat',
  path: '/v1/chat/completions',
  baseUrl: (url) => `${url}/v1`,
  ends: ['', '/', '/v1', '/v1/', '/v1/chat/completions'],
  plainBody: PLAIN_MESSAGES,
  limitsIn: ({ temperature, max_tokens }) => ({ temperature, maxTokens: max_tokens }),
  optional: ['temperature', 'tools', 'max_tokens', 'max_completion_tokens'],
  defaultMaxTokens: undefined,
  sentId: (id) => id,
  reasoningIn: ({ messages }) => messages.find(isAssistant).reasoning_content,
  reasoning: 'Hm.',
  argumentsIn: ({ messages }) =>
    JSON.parse(messages.find((each: Body) => each.tool_calls !== undefined).tool_calls[0].function.arguments),
  newestIn: ({ messages }) => behindAnswer(messages, isAssistant),
  imagesOf: (callId, text, images) => [
    { role: 'tool', tool_call_id: callId, content: text },
    ...(images.length === 0
      ? []
      : [
          {
            role: 'user',
            content: [
              { type: 'text', text: `Returned by the tool call ${callId}, not sent by the user:` },
              ...images.map(({ mediaType, base64 }) => ({
                ...{ type: 'image_url', image_url: { url: `data:${mediaType};base64,${base64}` } },
              })),
            ],
          },
        ]),
  ],
  overflow: "This model's maximum context length is 128000 tokens.",
  ...SSE,
  endMark: '"finish_reason":"stop"',
  broken: 'data: {"id": \n\n',
  pieces: {
    head: [chunk({ tool_calls: [{ index: 0, id: 'id', function: { name: 'ls' } }] })],
    tail: [chunk({}, 'stop')],
    text: (content) => chunk({ content }),
    reasoning: (reasoning) => chunk({ reasoning }),
    arguments: (text) => chunk({ tool_calls: [{ index: 0, function: { arguments: text } }] }),
    nothing: chunk({}),
    call: (index, id, name, args) =>
      chunk({ tool_calls: [{ index, id, function: { name, arguments: JSON.stringify(args) } }] }),
    counted: (count) => [
      { ...chunk({ content: 'ok' }, 'stop'), usage: { prompt_tokens: count, completion_tokens: count } },
    ],
  },
};

const begin = (index: number, content_block: Fields): Fields => ({
  ...{ type: 'content_block_start', index, content_block },
});
const add = (index: number, delta: Fields): Fields => ({ type: 'content_block_delta', index, delta });

export const anthropic: Kind = {
  provider: 'anthropic',
  create: createAnthropicModel,
  kind: 'anthropic',
  path: '/v1/messages',
  baseUrl: (url) => url,
  ends: ['', '/', '/v1', '/v1/', '/v1/messages'],
  plainBody: { ...PLAIN_MESSAGES, max_tokens: 10 },
  limitsIn: ({ temperature, max_tokens }) => ({ temperature, maxTokens: max_tokens }),
  optional: ['temperature', 'tools', 'system'],
  defaultMaxTokens: 4096,
  sentId: wireId,
  reasoningIn: ({ messages }) => messages.find(isAssistant).content[0],
  reasoning: { type: 'thinking', thinking: 'Hm.', signature: 'proof' },
  argumentsIn: ({ messages }) => messages[1].content[0].input,
  newestIn: ({ messages }) => behindAnswer(messages, isAssistant),
  imagesOf: (callId, text, images) => {
    const shown = images.map(({ mediaType, base64 }) => ({
      ...{ type: 'image', source: { type: 'base64', media_type: mediaType, data: base64 } },
    }));
    const content = images.length === 0 ? text : [{ type: 'text', text }, ...shown];
    const cache_control = { type: 'ephemeral' };
    return [
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: callId, content, cache_control }] },
    ];
  },
  overflow: 'prompt is too long: 210000 tokens > 200000 maximum',
  ...SSE,
  endMark: 'message_stop',
  broken: 'event: message_start\ndata: {"id": \n\n',
  pieces: {
    head: [
      begin(0, { type: 'text', text: '' }),
      begin(1, { type: 'thinking', thinking: '' }),
      begin(2, { type: 'tool_use', id: 'id', name: 'ls' }),
    ],
    tail: [{ type: 'message_stop' }],
    text: (text) => add(0, { type: 'text_delta', text }),
    reasoning: (thinking) => add(1, { type: 'thinking_delta', thinking }),
    arguments: (partial_json) => add(2, { type: 'input_json_delta', partial_json }),
    nothing: { type: 'ping' },
    call: (index, id, name, input) => begin(index, { type: 'tool_use', id, name, input }),
    counted: (count) => {
      const usage = { input_tokens: count, cache_read_input_tokens: 0, output_tokens: count };
      return [
        { type: 'message_start', message: { model: 'm-1', usage } },
        begin(0, { type: 'text', text: 'ok' }),
        { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: count } },
        { type: 'message_stop' },
      ];
    },
  },
};

const item = (output_index: number, given: Fields): Fields => ({
  ...{ type: 'response.output_item.added', output_index, item: given },
});
const deltaOf = (type: string, output_index: number, delta: string): Fields => ({
  ...{ type: `response.${type}.delta`, output_index, delta },
});
const whole = (more: Fields = {}): Fields => ({
  type: 'response.completed',
  response: { output: [], ...more },
});
const isOutput = ({ type, role }: Body) => type === 'function_call' || role === 'assistant';

export const openai: Kind = {
  provider: 'openai',
  kind: 'openai',
  create: createOpenAiModel,
  path: '/v1/responses',
  baseUrl: (url) => `${url}/v1`,
  ends: ['', '/', '/v1', '/v1/', '/v1/responses', '/v1/chat/completions'],
  plainBody: { model: 'm-1', stream: true, input: [{ role: 'user', content: 'x' }] },
  limitsIn: ({ temperature, max_output_tokens }) => ({ temperature, maxTokens: max_output_tokens }),
  optional: ['temperature', 'tools', 'max_output_tokens', 'instructions'],
  defaultMaxTokens: undefined,
  sentId: shortId,
  reasoningIn: ({ input }) => input.find(({ type }: Body) => type === 'reasoning'),
  reasoning: {
    ...{ type: 'reasoning', id: 'rs_1_0', encrypted_content: 'proof' },
    summary: [{ type: 'summary_text', text: 'Hm.' }],
  },
  argumentsIn: ({ input }) => JSON.parse(input.find(({ type }: Body) => type === 'function_call').arguments),
  newestIn: ({ input }) => behindAnswer(input, isOutput),
  imagesOf: (call_id, text, images) => {
    const shown = images.map(({ mediaType, base64 }) => ({
      ...{ type: 'input_image', detail: 'auto', image_url: `data:${mediaType};base64,${base64}` },
    }));
    const output = images.length === 0 ? text : [{ type: 'input_text', text }, ...shown];
    return [{ type: 'function_call_output', call_id, output }];
  },
  overflow: 'Your input exceeds the context window of this model.',
  ...SSE,
  endMark: 'event: response.completed',
  broken: 'event: response.created\ndata: {"type": \n\n',
  pieces: {
    head: [
      item(0, { type: 'message', content: [] }),
      item(1, { type: 'reasoning', summary: [] }),
      item(2, { type: 'function_call', call_id: 'id', name: 'ls', arguments: '' }),
    ],
    tail: [whole()],
    text: (text) => deltaOf('output_text', 0, text),
    reasoning: (text) => deltaOf('reasoning_summary_text', 1, text),
    arguments: (text) => deltaOf('function_call_arguments', 2, text),
    nothing: { type: 'response.in_progress' },
    call: (at, call_id, name, args) =>
      item(at, { type: 'function_call', call_id, name, arguments: JSON.stringify(args) }),
    counted: (count) => [
      item(0, { type: 'message', content: [] }),
      deltaOf('output_text', 0, 'ok'),
      whole({ usage: { input_tokens: count, output_tokens: count } }),
    ],
  },
};

const piece = (message: Fields): Fields => ({ message, done: false });
const done = (message: Fields, counts: Fields = {}): Fields => ({
  ...{ model: 'm-1', message, done: true, done_reason: 'stop', ...counts },
});

export const ollama: Kind = {
  provider: 'ollama',
  create: createOllamaModel,
  kind: 'ollama',
  path: '/api/chat',
  baseUrl: (url) => url,
  ends: ['', '/', '/v1', '/v1/', '/v1/chat/completions', '/api', '/api/', '/api/chat'],
  plainBody: { model: 'm-1', messages: [{ role: 'user', content: 'x' }] },
  limitsIn: ({ options }) => ({ temperature: options.temperature, maxTokens: options.num_predict }),
  optional: ['tools', 'format', 'think', 'options.temperature', 'options.num_predict'],
  defaultMaxTokens: undefined,
  sentId: (id) => id,
  reasoningIn: ({ messages }) => messages.find(isAssistant).thinking,
  reasoning: 'Hm.',
  argumentsIn: ({ messages }) =>
    messages.find((each: Body) => each.tool_calls !== undefined).tool_calls[0].function.arguments,
  newestIn: ({ messages }) => behindAnswer(messages, isAssistant),
  imagesOf: (callId, text, images) => [
    { role: 'tool', content: text, tool_call_id: callId, tool_name: 'look' },
    ...(images.length === 0
      ? []
      : [
          {
            role: 'user',
            content: `${images.length === 1 ? 'An image' : `${images.length} images`} returned by the tool call ${callId}, not sent by the user.`,
            images: images.map(({ base64 }) => base64),
          },
        ]),
  ],
  overflow: 'the input length exceeds the context length',
  frames: (events) => events.map((event) => `${JSON.stringify(event)}\n`).join(''),
  contentType: 'application/x-ndjson',
  frameEnd: '\n',
  errorFrame: (json) => `${json}\n`,
  endMark: '"done":true',
  broken: '{"message": \n',
  keepAlive: '\n',
  lacks: ['cached', 'reasoning', 'refusal', 'status of errors inside the stream', 'a seal by its address'],
  pieces: {
    head: [piece({ tool_calls: [{ id: 'id', function: { name: 'ls' } }] })],
    tail: [done({})],
    text: (content) => piece({ content }),
    reasoning: (thinking) => piece({ thinking }),
    arguments: (text) => piece({ tool_calls: [{ function: { arguments: text } }] }),
    nothing: piece({}),
    call: (index, id, name, args) =>
      piece({ tool_calls: [{ id, function: { index, name, arguments: args } }] }),
    counted: (count) => [done({ content: 'ok' }, { prompt_eval_count: count, eval_count: count })],
  },
};

export const kinds: readonly Kind[] = [openai, chat, anthropic, ollama, oci];
