import type { ChatRequest, ChatResponse, Message as SdkMessage } from 'ollama';
import type { FilePart, Part } from '../core/entry.ts';
import type { Effort } from '../core/profile.ts';
import {
  DEFAULT_ANSWER_BYTES,
  DEFAULT_TIMEOUTS,
  type ModelOptions,
  originOf,
  sentHeaders,
} from './connection.ts';
import { argumentsOf, REASONING_CONTENT, type Round, type ToolResult, wireName } from './history.ts';
import type { Model, ModelRequest, ToolSpec } from './model.ts';
import { OllamaAnswer } from './ollama-answer.ts';
import { keyHeaders, ollamaBaseUrl, ollamaCall, streamed } from './ollama-client.ts';
import { streamAnswer } from './stream.ts';
import { imageMark, Transcript } from './transcript.ts';

/** The SDK does not know the id of a call yet, which newer servers take with its result. */
type Message = SdkMessage & { readonly tool_call_id?: string };

/**
 * Tokens that a model's context has where nobody says how many. Ollama itself takes a few thousand, which a coding agent's
 * first request may exceed, and every token of a window costs memory: what the model could have is often more than there is.
 */
export const DEFAULT_CONTEXT_TOKENS = 32_768;

/** A model that an Ollama runs. */
export function createOllamaModel(options: ModelOptions): Model {
  const baseUrl = ollamaBaseUrl(options.baseUrl);
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const answerBytes = options.answerBytes ?? DEFAULT_ANSWER_BYTES;
  const origin = originOf(options, baseUrl);
  const { contextTokens = DEFAULT_CONTEXT_TOKENS, ...known } = options.settings ?? {};
  const transcript = new Transcript<Message>(wireMessages);
  return {
    name: `${options.provider}/${options.model}`,
    takesImages: options.images ?? known.images ?? true,
    info: { ...known, contextTokens },
    stream: (request, signal) =>
      streamAnswer<ChatResponse>(
        {
          ...{ origin, timeouts, answerBytes },
          collector: new OllamaAnswer(options.model),
          open: async (abort, onBytes) => {
            const { model } = options;
            const headers = sentHeaders(options, request.trace, keyHeaders(origin.apiKey));
            const settings = settingsOf(request, { model, contextTokens });
            const body = transcript.requestOf(settings, request, systemMessages(request.system));
            // How long a line may be is for `streamAnswer` to say, which counts the bytes.
            const lineBytes = Number.POSITIVE_INFINITY;
            const call = await ollamaCall({ baseUrl, headers, body, onBytes, lineBytes, signal: abort });
            return await streamed(call, (sdk) => sdk.chat({ model, stream: true }));
          },
        },
        signal,
      ),
  };
}

interface Asked {
  readonly model: string;
  readonly contextTokens: number;
}

/**
 * Its window is asked for in each request, and what does not fit is refused: left alone, Ollama would forget the beginning of the
 * conversation and say nothing.
 */
function settingsOf(
  { tools, temperature, maxTokens, effort }: ModelRequest,
  { model, contextTokens }: Asked,
) {
  return {
    model,
    ...(tools.length > 0 ? { tools: tools.map(wireTool) } : {}),
    options: {
      num_ctx: contextTokens,
      ...(temperature === undefined ? {} : { temperature }),
      ...(maxTokens === undefined ? {} : { num_predict: maxTokens }),
    },
    ...(effort === undefined ? {} : { think: thinkOf(effort) }),
    ...{ truncate: false, shift: false },
    stream: true,
  };
}

function thinkOf(effort: Effort): ChatRequest['think'] {
  if (effort === 'none') return false;
  if (effort === 'minimal' || effort === 'low') return 'low';
  return effort === 'medium' ? 'medium' : 'high';
}

function systemMessages(system: string): Message[] {
  return system === '' ? [] : [{ role: 'system', content: system }];
}

function wireTool({ name, description, parameters }: ToolSpec) {
  return { type: 'function' as const, function: { name, description, parameters: { ...parameters } } };
}

function wireMessages(round: Round, index: number, rounds: readonly Round[]): Message[] {
  if (round.role === 'assistant') return assistantMessages(round.parts);
  const results = round.results.map(
    ({ callId, text }): Message => ({
      ...{ role: 'tool', content: text, tool_call_id: callId },
      tool_name: nameOf(callId, rounds[index - 1]),
    }),
  );
  // One message for all that follows: the templates of many open models want users and assistants to take turns.
  const shown = round.results.filter(({ images = [] }) => images.length > 0);
  const isMixed = shown.length > 0 && round.images.length > 0;
  const content = [...shown.map(whose), ...(isMixed ? [SENT] : []), ...round.texts].join('\n\n');
  const files = [...shown.flatMap(({ images = [] }) => images), ...round.images];
  const images = files.map(wireImage);
  if (content === '' && images.length === 0) return results;
  return [...results, { role: 'user', content, ...(images.length === 0 ? {} : { images }) }];
}

/** Behind what tools returned. */
const SENT = 'The images behind those were sent by the user.';

/** Older servers know a result by its tool. */
function nameOf(callId: string, before: Round | undefined): string {
  const parts = before?.role === 'assistant' ? before.parts : [];
  const call = parts.find((part) => part.type === 'tool' && part.callId === callId);
  return wireName(call?.type === 'tool' ? call.name : '');
}

/** The templates of most models show images of a user's message only: they follow, and are told apart in words. */
function whose({ callId, images = [] }: ToolResult): string {
  const what = images.length === 1 ? 'An image' : `${images.length} images`;
  return `${what} returned by the tool call ${callId}, not sent by the user.`;
}

function wireImage({ hash }: FilePart): string {
  return imageMark(hash);
}

function assistantMessages(parts: readonly Part[]): Message[] {
  const content = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  const calls = parts.filter((part) => part.type === 'tool').map(wireCall);
  if (content === '' && calls.length === 0) return [];
  const thinking = parts
    .map((part) => (part.type === 'reasoning' && part.signature === REASONING_CONTENT ? part.text : ''))
    .join('');
  return [
    {
      ...{ role: 'assistant', content },
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
      ...(thinking === '' ? {} : { thinking }),
    },
  ];
}

function wireCall(part: Extract<Part, { type: 'tool' }>) {
  return { id: part.callId, function: { name: wireName(part.name), arguments: argumentsOf(part) } };
}
