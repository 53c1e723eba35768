import type OpenAI from 'openai';
import type { Part } from '../core/entry.ts';
import {
  DEFAULT_TIMEOUTS,
  hostOf,
  type ModelOptions,
  originOf,
  traceHeaders,
  watchedFetch,
} from './connection.ts';
import { argumentsOf, REASONING_CONTENT, type Round, roundsOf, wireName } from './history.ts';
import type { Model, ModelRequest } from './model.ts';
import { type Chunk, OpenAiAnswer } from './openai-answer.ts';
import { streamAnswer } from './stream.ts';

type Body = OpenAI.Chat.Completions.ChatCompletionCreateParamsStreaming;
type Message = OpenAI.Chat.Completions.ChatCompletionMessageParam;

const OPENAI_URL = 'https://api.openai.com/v1';

/** A model behind the Chat Completions API, at OpenAI or at any endpoint that speaks it. */
export function createOpenAiModel(options: ModelOptions): Model {
  const baseUrl = chatBaseUrl(options.baseUrl);
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const origin = originOf(options, baseUrl);
  return {
    name: `${options.provider}/${options.model}`,
    stream: (request, signal) =>
      streamAnswer<Chunk>(
        {
          origin,
          timeouts,
          collector: new OpenAiAnswer(options.model),
          open: async (abort, onBytes) => {
            const client = await clientFor(baseUrl, onBytes);
            const authorization = origin.apiKey === undefined ? null : `Bearer ${origin.apiKey}`;
            const headers = { ...traceHeaders(request.trace), authorization };
            const body = bodyOf(request, options.model, hostOf(baseUrl));
            // The SDK's own timer must not fire before ours: ours knows what it was waiting for.
            const timeout = timeouts.firstTokenMs * 2;
            return client.chat.completions.create(body, { signal: abort, headers, timeout });
          },
        },
        signal,
      ),
  };
}

/**
 * One client per request: its `fetch` watches that request. Everything is passed explicitly, because what is left out the
 * SDK reads from the environment. The key travels in the request's headers, so the client never holds it.
 */
async function clientFor(baseURL: string, onBytes: () => void): Promise<OpenAI> {
  const { default: Client } = await import('openai');
  return new Client({
    apiKey: 'sent-as-header',
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    baseURL,
    maxRetries: 0,
    logLevel: 'off',
    fetch: watchedFetch(onBytes),
  });
}

/** An endpoint may be given as its host, its base, or the whole address of the method. */
function chatBaseUrl(given: string | undefined): string {
  const url = URL.parse(given?.trim() || OPENAI_URL);
  if (url === null) return given ?? '';
  url.pathname = url.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '') || '/v1';
  return url.href;
}

function bodyOf(request: ModelRequest, model: string, host: string): Body {
  const { temperature, maxTokens } = request;
  return {
    model,
    messages: [
      ...systemMessages(request.system),
      ...roundsOf(request.messages).flatMap((round) => wireMessages(round)),
    ],
    ...(request.tools.length > 0 ? { tools: request.tools.map(wireTool) } : {}),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : maxTokensOf(maxTokens, host)),
    stream: true,
    stream_options: { include_usage: true },
  };
}

/** OpenAI's reasoning models refuse `max_tokens`; most other servers know only that. */
function maxTokensOf(maxTokens: number, host: string) {
  const isOpenAi = host === 'api.openai.com' || host.endsWith('.api.openai.com');
  return isOpenAi ? { max_completion_tokens: maxTokens } : { max_tokens: maxTokens };
}

function systemMessages(system: string): Message[] {
  return system === '' ? [] : [{ role: 'system', content: system }];
}

function wireTool(tool: ModelRequest['tools'][number]) {
  const { name, description, parameters } = tool;
  return { type: 'function' as const, function: { name, description, parameters: { ...parameters } } };
}

function wireMessages(round: Round): Message[] {
  if (round.role === 'assistant') return assistantMessages(round.parts);
  const results = round.results.map(
    ({ callId, text }): Message => ({ role: 'tool', tool_call_id: callId, content: text }),
  );
  // One message for all texts: the templates of many open models want users and assistants to take turns.
  const user: Message[] =
    round.texts.length === 0 ? [] : [{ role: 'user', content: round.texts.join('\n\n') }];
  return [...results, ...user];
}

function assistantMessages(parts: readonly Part[]): Message[] {
  const text = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  const calls = parts.filter((part) => part.type === 'tool').map(wireCall);
  if (text === '' && calls.length === 0) return [];
  const reasoning = parts
    .map((part) => (part.type === 'reasoning' && part.signature === REASONING_CONTENT ? part.text : ''))
    .join('');
  return [
    {
      role: 'assistant',
      content: text === '' ? null : text,
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
      ...(reasoning === '' ? {} : { [REASONING_CONTENT]: reasoning }),
    },
  ];
}

function wireCall(part: Extract<Part, { type: 'tool' }>) {
  const args = JSON.stringify(argumentsOf(part));
  return {
    id: part.callId,
    type: 'function' as const,
    function: { name: wireName(part.name), arguments: args },
  };
}
