import type Anthropic from '@anthropic-ai/sdk';
import type { FilePart, Part } from '../core/entry.ts';
import type { Effort } from '../core/profile.ts';
import { AnthropicAnswer, type StreamEvent } from './anthropic-answer.ts';
import {
  DEFAULT_ANSWER_BYTES,
  DEFAULT_TIMEOUTS,
  hostOf,
  type ModelOptions,
  originOf,
  sentHeaders,
} from './connection.ts';
import { exchanging, guardedFetch } from './guarded-fetch.ts';
import {
  argumentsOf,
  isBlank,
  opened,
  REDACTED,
  type Round,
  sealOf,
  type ToolResult,
  wireId,
  wireName,
} from './history.ts';
import type { Model, ModelRequest, ToolSpec } from './model.ts';
import { streamAnswer } from './stream.ts';
import { imageMark, JSON_BODY, Transcript } from './transcript.ts';

type Message = Anthropic.MessageParam;
type Block = Anthropic.ContentBlockParam;
type Cacheable = Anthropic.TextBlockParam | Anthropic.ToolUseBlockParam | Anthropic.ToolResultBlockParam;
type ResultContent = NonNullable<Anthropic.ToolResultBlockParam['content']>;

const ANTHROPIC_URL = 'https://api.anthropic.com';

/** The API demands a maximum; this one where nothing is configured. */
export const DEFAULT_MAX_TOKENS = 4096;

/** A model behind the Messages API, at Anthropic or at any endpoint that speaks it. */
export function createAnthropicModel(options: ModelOptions): Model {
  const baseUrl = messagesBaseUrl(options.baseUrl);
  const isAnthropic = hostOf(baseUrl) === hostOf(ANTHROPIC_URL);
  const refusesTemperature = options.settings?.temperature === false;
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const origin = originOf(options, baseUrl);
  let client: ReturnType<typeof createClient> | undefined;
  const seal = sealOf('messages', origin);
  const query = Object.fromEntries(URL.parse(baseUrl)?.searchParams ?? []);
  const transcript = new Transcript((round) => wireMessages(round, seal), {
    atEnd: cachedToTheEnd,
    opens: (signature) => signature.startsWith(seal),
  });
  return {
    name: `${options.provider}/${options.model}`,
    takesImages: options.images ?? options.settings?.images ?? true,
    info: options.settings ?? {},
    stream: (request, signal) =>
      streamAnswer<StreamEvent>(
        {
          origin,
          timeouts,
          answerBytes: options.answerBytes ?? DEFAULT_ANSWER_BYTES,
          collector: new AnthropicAnswer(options.model, seal),
          open: async (abort, onBytes) => {
            client ??= createClient(baseUrl);
            const sdk = await client;
            const headers = sentHeaders(options, request.trace, keyHeaders(origin.apiKey, isAnthropic));
            const body = bodyOf(request, options.model, { isAnthropic, refusesTemperature, transcript });
            // The SDK's own timer must not fire before ours: ours knows what it was waiting for.
            const timeout = timeouts.firstTokenMs * 2;
            // Not `messages.create`: that writes to the console about old models.
            return sdk.post<AsyncIterable<StreamEvent>>('/v1/messages', {
              stream: true,
              signal: abort,
              headers: JSON_BODY,
              timeout,
              query,
              fetchOptions: exchanging({ body, headers, onBytes }),
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
async function createClient(baseURL: string): Promise<Anthropic> {
  const { default: Client } = await import('@anthropic-ai/sdk');
  return new Client({
    apiKey: 'sent-as-header',
    webhookKey: null,
    baseURL: bare(baseURL),
    maxRetries: 0,
    logLevel: 'off',
    openTelemetry: false,
    fetch: guardedFetch,
  });
}

/** Compatible endpoints know the key by its older header; Anthropic's own takes the newer one. */
function keyHeaders(apiKey: string | undefined, isAnthropic: boolean): Record<string, string> {
  if (apiKey === undefined) return {};
  return { authorization: `Bearer ${apiKey}`, ...(isAnthropic ? {} : { 'x-api-key': apiKey }) };
}

/** The SDK adds `/v1/messages` itself; people also give the address with it, or with `/v1`. */
function messagesBaseUrl(given: string | undefined): string {
  const url = URL.parse(given?.trim() || ANTHROPIC_URL);
  if (url === null) return given ?? '';
  url.pathname = url.pathname.replace(/\/+$/, '').replace(/\/v1(\/messages)?$/, '');
  return url.href.replace(/\/$/, '');
}

/** The SDK would put the path behind what stands behind `?`. */
function bare(baseUrl: string): string {
  return baseUrl.replace(/[?#].*$/s, '').replace(/\/$/, '');
}

interface Wiring {
  readonly isAnthropic: boolean;
  readonly refusesTemperature: boolean;
  readonly transcript: Transcript<Message>;
}

/** The body's JSON. */
function bodyOf(
  request: ModelRequest,
  model: string,
  { isAnthropic, refusesTemperature, transcript }: Wiring,
): readonly Uint8Array[] {
  // The Messages API has had no temperature since its version 2026-10-21; compatible endpoints still do.
  const temperature = isAnthropic || refusesTemperature ? undefined : request.temperature;
  const settings = {
    model,
    max_tokens: request.maxTokens ?? DEFAULT_MAX_TOKENS,
    ...(isBlank(request.system) ? {} : { system: [cached({ type: 'text', text: request.system })] }),
    ...(request.tools.length > 0 ? { tools: request.tools.map(wireTool) } : {}),
    ...(temperature === undefined ? {} : { temperature }),
    ...thinkingOf(request.effort),
    stream: true,
  };
  return transcript.requestOf(settings, request);
}

function thinkingOf(
  effort: Effort | undefined,
): Pick<Anthropic.MessageCreateParams, 'thinking' | 'output_config'> {
  if (effort === undefined) return {};
  if (effort === 'none') return { thinking: { type: 'disabled' } };
  const wired = effort === 'minimal' ? 'low' : effort;
  return { thinking: { type: 'adaptive', display: 'summarized' }, output_config: { effort: wired } };
}

function cached<B extends Cacheable>(block: B): B {
  return { ...block, cache_control: { type: 'ephemeral' } };
}

/** Blocks before a breakpoint among which Anthropic looks for an earlier one. */
const LOOKBACK = 20;

/**
 * A cache breakpoint at the end: the next turn reads everything before it from the cache. Where an answer and its results are
 * so many blocks that the breakpoint of the turn before is out of sight, the answer's beginning has one as well.
 */
function cachedToTheEnd(messages: Message[]): Message[] {
  const blocks = messages.reduce((sum, { content }) => sum + content.length, 0);
  const [answer, ...rest] = endMarked(messages);
  if (blocks < LOOKBACK || answer?.role !== 'assistant' || !Array.isArray(answer.content))
    return endMarked(messages);
  const first = answer.content.findIndex(({ type }) => type === 'text' || type === 'tool_use');
  const content = answer.content.map((block, at) => (at === first ? cached(block as Cacheable) : block));
  return [{ role: 'assistant', content }, ...rest];
}

function endMarked(messages: Message[]): Message[] {
  const last = messages.at(-1);
  if (last?.role !== 'user' || !Array.isArray(last.content)) return messages;
  const block = last.content.at(-1);
  if (block?.type !== 'text' && block?.type !== 'tool_result') return messages;
  const content = [...last.content.slice(0, -1), cached(block)];
  return [...messages.slice(0, -1), { role: 'user', content }];
}

function wireTool(tool: ToolSpec): Anthropic.Tool {
  const { name, description, parameters } = tool;
  return { name, description, input_schema: { ...parameters, type: 'object' } };
}

function wireMessages(round: Round, seal: string): Message[] {
  const content =
    round.role === 'assistant' ? round.parts.flatMap((part) => wireBlocks(part, seal)) : userBlocks(round);
  return content.length === 0 ? [] : [{ role: round.role, content }];
}

function userBlocks(round: Extract<Round, { role: 'user' }>): Block[] {
  const results = round.results.map(
    (result): Block => ({
      type: 'tool_result',
      tool_use_id: wireId(result.callId),
      content: resultContent(result),
      // Of an error it takes text only; that it is one, the text says.
      ...(result.isError && result.images === undefined ? { is_error: true } : {}),
    }),
  );
  return [
    ...results,
    ...round.images.map(wireImage),
    ...round.texts.map((text): Block => ({ type: 'text', text })),
  ];
}

function resultContent({ text, images = [] }: ToolResult): ResultContent {
  const said = isBlank(text) ? '(empty)' : text;
  return images.length === 0 ? said : [{ type: 'text', text: said }, ...images.map(wireImage)];
}

function wireImage({ mediaType, hash }: FilePart): Anthropic.ImageBlockParam {
  return { type: 'image', source: { type: 'base64', media_type: mediaType, data: imageMark(hash) } };
}

function wireBlocks(part: Part, seal: string): Block[] {
  switch (part.type) {
    case 'text':
      return [{ type: 'text', text: part.text }];
    case 'tool':
      return [
        { type: 'tool_use', id: wireId(part.callId), name: wireName(part.name), input: argumentsOf(part) },
      ];
    case 'reasoning':
      return thinkingBlocks(part.text, opened(part.signature, seal));
  }
}

/** Thinking goes back exactly as it came, and only what Anthropic itself signed. */
function thinkingBlocks(thinking: string, signature: string | undefined): Block[] {
  if (signature === undefined) return [];
  if (signature.startsWith(REDACTED))
    return [{ type: 'redacted_thinking', data: signature.slice(REDACTED.length) }];
  return [{ type: 'thinking', thinking, signature }];
}
