import { createHash } from 'node:crypto';
import type { FilePart, Part, ToolPart } from '../core/entry.ts';
import { hostOf, type Origin } from './connection.ts';
import type { ModelMessage } from './model.ts';

/**
 * How a log becomes the messages of a request: what every provider needs, whatever its wire format.
 */

export type ToolResult = Extract<ModelMessage, { role: 'tool' }>;

/** A log in the order that the providers demand: answers and what was said to them take turns. */
export type Round =
  | { readonly role: 'assistant'; readonly parts: readonly Part[] }
  /** Results come before images and texts: they have to follow the answer that asked for them. */
  | {
      readonly role: 'user';
      readonly results: readonly ToolResult[];
      /** Those of the person. */
      readonly images: readonly FilePart[];
      readonly texts: readonly string[];
    };

/** Whether a provider is sent reasoning with this signature. */
export type Opens = (signature: string) => boolean;

/**
 * Groups consecutive messages of one side. Blank texts are left out: Anthropic refuses them. So is reasoning that the provider
 * is not sent.
 */
export function roundsOf(messages: readonly ModelMessage[], opens: Opens = () => true): Round[] {
  const rounds: Round[] = [];
  for (const message of messages.filter(isSent)) {
    const last = rounds.at(-1);
    const next = joined(last, message, opens);
    if (last !== undefined && last.role === next.role) rounds.pop();
    rounds.push(next);
  }
  return rounds;
}

function joined(last: Round | undefined, message: ModelMessage, opens: Opens): Round {
  if (message.role === 'assistant') {
    const before = last?.role === 'assistant' ? last.parts : [];
    return { role: 'assistant', parts: [...before, ...sentParts(message.parts, opens)] };
  }
  const { results, images, texts } = last?.role === 'user' ? last : { results: [], images: [], texts: [] };
  if (message.role === 'tool') return { role: 'user', results: [...results, message], images, texts };
  return {
    role: 'user',
    results,
    images: [...images, ...(message.images ?? [])],
    texts: isBlank(message.text) ? texts : [...texts, message.text],
  };
}

/** What is sent of an answer: no reasoning that led to nothing, as where it was cut. Anthropic and OpenAI refuse that. */
function sentParts(parts: readonly Part[], opens: Opens): readonly Part[] {
  const sent = parts.filter((part) => isSendable(part, opens));
  return sent.slice(0, sent.findLastIndex(({ type }) => type !== 'reasoning') + 1);
}

/** Whether anything of a message is sent. */
export function isSent(message: ModelMessage): boolean {
  if (message.role === 'assistant')
    return message.parts.some((part) => part.type !== 'reasoning' && isSendable(part, () => false));
  return message.role === 'tool' || !isBlank(message.text) || (message.images ?? []).length > 0;
}

function isSendable(part: Part, opens: Opens): boolean {
  if (part.type === 'text') return !isBlank(part.text);
  return part.type === 'tool' || (part.signature !== undefined && opens(part.signature));
}

export function isBlank(text: string): boolean {
  return text.trim() === '';
}

/**
 * How the `signature` of reasoning begins: in which wire's words the rest is written, by which provider, at which host. Only
 * there it goes back: another would refuse what it cannot check or decrypt, and whoever asked it, with every later request.
 */
export function sealOf(wire: string, origin: Pick<Origin, 'provider' | 'endpoint'>): string {
  return `${wire} ${origin.provider}@${hostOf(origin.endpoint)} `;
}

/** What a signature says behind a seal; undefined where it has another, or none. */
export function opened(signature: string | undefined, seal: string): string | undefined {
  return signature?.startsWith(seal) === true ? signature.slice(seal.length) : undefined;
}

/**
 * The signature of reasoning that a Chat Completions server sent as `reasoning_content`. Such servers (DeepSeek, Kimi)
 * want it back under that name while tools are being called.
 */
export const REASONING_CONTENT = 'reasoning_content';

/** Before the reasoning's details as JSON, which OpenRouter sends and wants back under this name. */
export const REASONING_DETAILS = 'reasoning_details:';

/** Before what Gemini sends with a call and wants back with it, as JSON: the part stands before that call. */
export const EXTRA_CONTENT = 'extra_content:';

/** Before the signature of thinking that Anthropic redacted: the rest is the block's encrypted data. */
export const REDACTED = 'redacted_thinking:';

/** Longest tool name that both APIs accept in a conversation. */
export const MAX_NAME_LENGTH = 64;

/**
 * A tool name that both APIs accept. A model may ask for a tool that does not exist under a name that it could not have;
 * the log keeps what it wrote, but a request with that name would be refused for ever.
 */
export function wireName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, MAX_NAME_LENGTH) || 'unnamed';
}

/** Longest id of a call that Anthropic and OpenAI's Responses take. */
export const MAX_SENT_ID = 64;

/** Ids that another provider gave may hold characters that Anthropic refuses, or too many. */
export function wireId(callId: string): string {
  return callId.length > MAX_SENT_ID ? hashedId(callId) : callId.replace(/[^a-zA-Z0-9_-]/g, '_');
}

/** What stands for an id that cannot be sent: the same at each turn, and no other id's. */
export function hashedId(callId: string): string {
  return `call_${digest(callId).slice(0, 32)}`;
}

export function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Levels of objects and lists in a call's arguments: writing much deeper JSON overflows the stack, in every later turn. */
export const MAX_DEPTH = 500;

/** A JSON text, or '' where it is nested too deep to be written again. */
export function shallow(json: string): string {
  return depthOf(json) > MAX_DEPTH ? '' : json;
}

/** How deep the brackets of a JSON text are nested, those in its strings aside. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') quoted = !quoted;
    else if (quoted) at += char === '\\' ? 1 : 0;
    else if (char === '[' || char === '{') depth += 1;
    else if (char === ']' || char === '}') depth -= 1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

/** The arguments of a call as the object they should be. What is not one is shown to the model under `invalid_json`. */
export function argumentsOf(part: ToolPart): Record<string, unknown> {
  const text = isBlank(part.arguments) ? '{}' : part.arguments;
  const value = depthOf(text) > MAX_DEPTH ? undefined : parsedObject(text);
  return value ?? { invalid_json: part.arguments };
}

function parsedObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined; // The model wrote it; the caller passes it on as text.
  }
}
