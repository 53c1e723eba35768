import type OpenAI from 'openai';
import type { FilePart, Part } from '../core/entry.ts';
import {
  DEFAULT_ANSWER_BYTES,
  DEFAULT_TIMEOUTS,
  hostOf,
  type ModelOptions,
  originOf,
  traceHeaders,
} from './connection.ts';
import { exchanging, guardedFetch } from './guarded-fetch.ts';
import { argumentsOf, REASONING_CONTENT, type Round, type ToolResult, wireName } from './history.ts';
import type { Model, ModelRequest } from './model.ts';
import { type Chunk, OpenAiAnswer } from './openai-answer.ts';
import { streamAnswer } from './stream.ts';
import { imageMark, JSON_BODY, Transcript } from './transcript.ts';

type Settings = Omit<OpenAI.Chat.Completions.ChatCompletionCreateParamsStreaming, 'messages'>;
type Message = OpenAI.Chat.Completions.ChatCompletionMessageParam;
type Content = OpenAI.Chat.Completions.ChatCompletionContentPart;

const OPENAI_URL = 'https://api.openai.com/v1';

/** A model behind the Chat Completions API, at OpenAI or at any endpoint that speaks it. */
export function createOpenAiModel(options: ModelOptions): Model {
  const baseUrl = chatBaseUrl(options.baseUrl);
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const origin = originOf(options, baseUrl);
  let client: ReturnType<typeof createClient> | undefined;
  const transcript = new Transcript(wireMessages);
  return {
    name: `${options.provider}/${options.model}`,
    takesImages: options.images ?? options.settings?.images ?? true,
    info: options.settings ?? {},
    stream: (request, signal) =>
      streamAnswer<Chunk>(
        {
          origin,
          timeouts,
          answerBytes: options.answerBytes ?? DEFAULT_ANSWER_BYTES,
          collector: new OpenAiAnswer(options.model),
          open: async (abort, onBytes) => {
            client ??= createClient(baseUrl);
            const sdk = await client;
            const authorization = origin.apiKey === undefined ? null : `Bearer ${origin.apiKey}`;
            const headers = {
              ...JSON_BODY,
              ...options.headers,
              ...traceHeaders(request.trace),
              authorization,
            };
            const body = bodyOf(request, options.model, { host: hostOf(baseUrl), transcript });
            // The SDK's own timer must not fire before ours: ours knows what it was waiting for.
            const timeout = timeouts.firstTokenMs * 2;
            const fetchOptions = exchanging({ body, onBytes });
            // Not `chat.completions.create`: that would write the whole conversation anew.
            return sdk.post<AsyncIterable<Chunk>>('/chat/completions', {
              ...{ signal: abort, headers, timeout, fetchOptions },
              stream: true,
            });
          },
        },
        signal,
      ),
  };
}

/**
 * Made when it is first needed: an SDK takes long to load. Everything is passed explicitly, because what is left out the SDK
 * reads from the environment. The key travels in each request's headers, so the client never holds it.
 */
async function createClient(baseURL: string): Promise<OpenAI> {
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
    fetch: guardedFetch,
  });
}

/** An endpoint may be given as its host, its base, or the whole address of the method. */
function chatBaseUrl(given: string | undefined): string {
  const url = URL.parse(given?.trim() || OPENAI_URL);
  if (url === null) return given ?? '';
  url.pathname = url.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '') || '/v1';
  return url.href;
}

/** The body's JSON. A conversation begins with what the agent is told, which belongs to its profile. */
function bodyOf(
  request: ModelRequest,
  model: string,
  { host, transcript }: { readonly host: string; readonly transcript: Transcript<Message> },
): readonly Uint8Array[] {
  const { temperature, maxTokens } = request;
  const settings: Settings = {
    model,
    ...(request.tools.length > 0 ? { tools: request.tools.map(wireTool) } : {}),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : maxTokensOf(maxTokens, host)),
    stream: true,
    stream_options: { include_usage: true },
  };
  return transcript.requestOf(settings, request, systemMessages(request.system));
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
  // One message for all that follows: the templates of many open models want users and assistants to take turns.
  const images = [...round.results.flatMap(wireImages), ...sentImages(round)];
  const texts = round.texts.join('\n\n');
  if (images.length === 0)
    return [...results, ...(texts === '' ? [] : [{ role: 'user' as const, content: texts }])];
  const content: Content[] = texts === '' ? images : [...images, { type: 'text', text: texts }];
  return [...results, { role: 'user', content }];
}

/** They are told apart from those of calls, where there are both. */
function sentImages({ results, images }: Extract<Round, { role: 'user' }>): Content[] {
  if (images.length === 0) return [];
  const isMixed = results.some((result) => (result.images ?? []).length > 0);
  const what: Content[] = isMixed ? [{ type: 'text', text: 'Sent by the user:' }] : [];
  return [...what, ...images.map(wireImage)];
}

/** A tool's message can hold none: they follow, and say whose they are. */
function wireImages({ callId, images = [] }: ToolResult): Content[] {
  if (images.length === 0) return [];
  const what = `Returned by the tool call ${callId}, not sent by the user:`;
  return [{ type: 'text', text: what }, ...images.map(wireImage)];
}

function wireImage({ mediaType, hash }: FilePart): Content {
  return { type: 'image_url', image_url: { url: `data:${mediaType};base64,${imageMark(hash)}` } };
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
