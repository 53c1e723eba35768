import { z } from 'zod';
import { messageOf } from '../core/errors.ts';
import type { BusMessage } from './bus.ts';

const id = z.string().min(1).max(200);
const count = z.int().nonnegative();
const ofTurn = { rootId: id, sessionId: id, taskId: id, turn: count };

const busMessage = z.discriminatedUnion('type', [
  z.object({ type: z.literal('events'), rootId: id, seq: count }),
  z.object({
    type: z.literal('delta'),
    ...ofTurn,
    attemptId: id,
    channel: z.enum(['text', 'reasoning']),
    offset: count,
    text: z.string(),
  }),
  z.object({ type: z.literal('tool_output'), ...ofTurn, callId: id, text: z.string() }),
  z.object({ type: z.enum(['cancel', 'pause']), rootId: id, taskId: id }),
  z.object({ type: z.literal('pinned'), rootId: id, workerId: id, turnId: id, wake: count }),
]) satisfies z.ZodType<BusMessage>;

const envelope = z.object({ messages: z.array(z.unknown()) });

/** `{"n":0,"messages":[]}` with the longest `n`. */
const ENVELOPE_BYTES = 40;
/** The least room for text beside a message's other fields; ids of that length do not exist. */
const MIN_TEXT_BYTES = 16;

/**
 * Messages as payloads of at most `maxBytes` (UTF-8) each, in order; several share one. A text that is too long for one
 * is cut. `number` makes each payload unlike every other: Postgres drops one that repeats another of its transaction.
 */
export function pack(messages: readonly BusMessage[], maxBytes: number, number: () => number): string[] {
  const payloads: string[] = [];
  let group: string[] = [];
  let bytes = ENVELOPE_BYTES;
  const close = () => {
    if (group.length > 0) payloads.push(`{"n":${number()},"messages":[${group.join(',')}]}`);
    group = [];
    bytes = ENVELOPE_BYTES;
  };
  for (const message of messages) {
    for (const json of encode(message, maxBytes - ENVELOPE_BYTES - 1)) {
      const size = Buffer.byteLength(json) + 1;
      if (bytes + size > maxBytes) close();
      group.push(json);
      bytes += size;
    }
  }
  close();
  return payloads;
}

export interface Unpacked {
  readonly messages: BusMessage[];
  /** What was found wrong: one sentence for each message that is left out, or for the whole payload. */
  readonly problems: string[];
}

/** The messages of a payload, as far as they are messages: anyone who reaches the database can notify. */
export function unpack(payload: string): Unpacked {
  const messages: BusMessage[] = [];
  const problems: string[] = [];
  const outer = envelope.safeParse(jsonOf(payload));
  if (!outer.success) return { messages, problems: ['not a payload of Capybara'] };
  for (const item of outer.data.messages) {
    const parsed = busMessage.safeParse(item);
    if (parsed.success) messages.push(parsed.data);
    else problems.push(z.prettifyError(parsed.error));
  }
  return { messages, problems };
}

function jsonOf(payload: string): unknown {
  try {
    return JSON.parse(payload);
  } catch (error) {
    return messageOf(error);
  }
}

function encode(message: BusMessage, maxBytes: number): string[] {
  const whole = JSON.stringify(message);
  if (Buffer.byteLength(whole) <= maxBytes || !('text' in message)) return [whole];
  const frame = Buffer.byteLength(JSON.stringify({ ...message, text: '', ...longestOffset(message) }));
  const room = Math.max(maxBytes - frame, MIN_TEXT_BYTES);
  let at = 0;
  return cut(message.text, room).map((text) => {
    const start = at;
    at += text.length;
    const moved = message.type === 'delta' ? { offset: message.offset + start } : {};
    return JSON.stringify({ ...message, ...moved, text });
  });
}

function longestOffset(message: BusMessage): { offset?: number } {
  return message.type === 'delta' ? { offset: Number.MAX_SAFE_INTEGER } : {};
}

/** Pieces that take at most `maxBytes` inside a JSON string. A surrogate pair stays in one piece. */
function cut(text: string, maxBytes: number): string[] {
  const pieces: string[] = [];
  let start = 0;
  let at = 0;
  let bytes = 0;
  for (const character of text) {
    const size = jsonBytes(character);
    if (bytes + size > maxBytes) {
      pieces.push(text.slice(start, at));
      start = at;
      bytes = 0;
    }
    bytes += size;
    at += character.length;
  }
  pieces.push(text.slice(start));
  return pieces;
}

/** An upper bound: control characters and lone surrogates as `\\uXXXX`. */
function jsonBytes(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20 || (code >= 0xd800 && code <= 0xdfff)) return 6;
  if (character === '"' || character === '\\') return 2;
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}
