import type OpenAI from 'openai';
import type { FilePart, Part } from '../core/entry.ts';
import { ChatAnswer, type Chunk } from './chat-answer.ts';
import {
  DEFAULT_ANSWER_BYTES,
  DEFAULT_TIMEOUTS,
  type ModelOptions,
  originOf,
  sentHeaders,
} from './connection.ts';
import { exchanging } from './guarded-fetch.ts';
import {
  argumentsOf,
  EXTRA_CONTENT,
  opened,
  REASONING_CONTENT,
  REASONING_DETAILS,
  type Round,
  sealOf,
  type ToolResult,
  wireName,
} from './history.ts';
import type { Model, ModelRequest } from './model.ts';
import { createOpenAiClient } from './openai-client.ts';
import {
  bearer,
  chatIds,
  isOpenAi,
  methodBase,
  OPENAI_URL,
  takesTemperature,
  wantsWordBehindResults,
} from './openai-servers.ts';
import { streamAnswer } from './stream.ts';
import { imageMark, JSON_BODY, Transcript } from './transcript.ts';

type Settings = Omit<OpenAI.Chat.Completions.ChatCompletionCreateParamsStreaming, 'messages'>;
type Message = OpenAI.Chat.Completions.ChatCompletionMessageParam;
type Content = OpenAI.Chat.Completions.ChatCompletionContentPart;

/** A model behind the Chat Completions API, at OpenAI or at any endpoint that speaks it. */
export function createChatModel(options: ModelOptions): Model {
  const baseUrl = methodBase(options.baseUrl?.trim() || OPENAI_URL, '/chat/completions', options.model);
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const origin = originOf(options, baseUrl);
  let client: ReturnType<typeof createOpenAiClient> | undefined;
  const wire = {
    seal: sealOf('chat', origin),
    idOf: chatIds(baseUrl),
    behindResults: wantsWordBehindResults(options.model) ? TOOK_RESULTS : [],
  };
  const transcript = new Transcript((round) => wireMessages(round, wire), {
    opens: (signature) => signature.startsWith(wire.seal),
  });
  const wiring = {
    transcript,
    isOpenAi: isOpenAi(baseUrl),
    takesTemperature: takesTemperature(options.model, { settings: options.settings, baseUrl }),
  };
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
          collector: new ChatAnswer(options.model, wire.seal),
          open: async (abort, onBytes) => {
            client ??= createOpenAiClient(baseUrl);
            const sdk = await client;
            const headers = sentHeaders(options, request.trace, bearer(origin.apiKey, baseUrl));
            const body = bodyOf(request, options.model, wiring);
            // The SDK's own timer must not fire before ours: ours knows what it was waiting for.
            const timeout = timeouts.firstTokenMs * 2;
            const fetchOptions = exchanging({ body, headers, onBytes });
            // Not `chat.completions.create`: that would write the whole conversation anew.
            return sdk.post<AsyncIterable<Chunk>>('/chat/completions', {
              ...{ signal: abort, headers: JSON_BODY, timeout, fetchOptions },
              stream: true,
            });
          },
        },
        signal,
      ),
  };
}

interface Wiring {
  readonly transcript: Transcript<Message>;
  readonly isOpenAi: boolean;
  readonly takesTemperature: boolean;
}

/** The body's JSON. A conversation begins with what the agent is told, which belongs to its profile. */
function bodyOf(
  request: ModelRequest,
  model: string,
  { transcript, ...server }: Wiring,
): readonly Uint8Array[] {
  const { temperature, maxTokens, effort } = request;
  const settings: Settings = {
    model,
    ...(request.tools.length > 0 ? { tools: request.tools.map(wireTool) } : {}),
    ...(temperature === undefined || !server.takesTemperature ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : maxTokensOf(maxTokens, server.isOpenAi)),
    ...(effort === undefined ? {} : { reasoning_effort: effort }),
    stream: true,
    stream_options: { include_usage: true },
  };
  return transcript.requestOf(settings, request, systemMessages(request.system));
}

/** OpenAI's reasoning models refuse `max_tokens`; most other servers know only that. */
function maxTokensOf(maxTokens: number, isOpenAiServer: boolean) {
  return isOpenAiServer ? { max_completion_tokens: maxTokens } : { max_tokens: maxTokens };
}

function systemMessages(system: string): Message[] {
  return system === '' ? [] : [{ role: 'system', content: system }];
}

function wireTool(tool: ModelRequest['tools'][number]) {
  const { name, description, parameters } = tool;
  return { type: 'function' as const, function: { name, description, parameters: { ...parameters } } };
}

/** How one server is written to. */
interface Wire {
  readonly seal: string;
  readonly idOf: (callId: string) => string;
  /** What stands between results and what a user says. */
  readonly behindResults: readonly Message[];
}

const TOOK_RESULTS: readonly Message[] = [{ role: 'assistant', content: 'I have the results.' }];

function wireMessages(round: Round, wire: Wire): Message[] {
  if (round.role === 'assistant') return assistantMessages(round.parts, wire);
  const results = round.results.map(
    ({ callId, text }): Message => ({ role: 'tool', tool_call_id: wire.idOf(callId), content: text }),
  );
  // One message for all that follows: the templates of many open models want users and assistants to take turns.
  const ofTools = round.results.flatMap((result) =>
    wireImages({ ...result, callId: wire.idOf(result.callId) }),
  );
  const images = [...ofTools, ...sentImages(round)];
  const texts = round.texts.join('\n\n');
  if (texts === '' && images.length === 0) return results;
  const content: Content[] = texts === '' ? images : [...images, { type: 'text', text: texts }];
  const between = results.length === 0 ? [] : wire.behindResults;
  return [...results, ...between, { role: 'user', content: images.length === 0 ? texts : content }];
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

function assistantMessages(parts: readonly Part[], wire: Wire): Message[] {
  const text = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  const calls = parts.flatMap((part, at) =>
    part.type === 'tool' ? [{ ...wireCall(part, wire), ...extraOf(parts[at - 1], wire) }] : [],
  );
  if (text === '' && calls.length === 0) return [];
  return [
    {
      role: 'assistant',
      content: text === '' ? null : text,
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
      ...reasoningOf(parts, wire),
    },
  ];
}

/** What the server wants back of its reasoning, under the names it had. */
function reasoningOf(parts: readonly Part[], { seal }: Wire): Record<string, unknown> {
  let content = '';
  const details: unknown[] = [];
  for (const part of parts) {
    if (part.type !== 'reasoning') continue;
    const proof = opened(part.signature, seal) ?? '';
    if (proof === REASONING_CONTENT) content += part.text;
    if (proof.startsWith(REASONING_DETAILS))
      details.push(...JSON.parse(proof.slice(REASONING_DETAILS.length)));
  }
  return {
    ...(content === '' ? {} : { [REASONING_CONTENT]: content }),
    ...(details.length === 0 ? {} : { reasoning_details: details }),
  };
}

function extraOf(before: Part | undefined, { seal }: Wire): Record<string, unknown> {
  const proof = before?.type === 'reasoning' ? opened(before.signature, seal) : undefined;
  return proof?.startsWith(EXTRA_CONTENT) === true
    ? { extra_content: JSON.parse(proof.slice(EXTRA_CONTENT.length)) }
    : {};
}

function wireCall(part: Extract<Part, { type: 'tool' }>, { idOf }: Wire) {
  const args = JSON.stringify(argumentsOf(part));
  return {
    id: idOf(part.callId),
    type: 'function' as const,
    function: { name: wireName(part.name), arguments: args },
  };
}
