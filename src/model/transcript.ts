import { randomUUID } from 'node:crypto';
import { isSent, type Opens, type Round, roundsOf } from './history.ts';
import type { ModelMessage, ModelRequest } from './model.ts';

/** Nobody who writes into a conversation knows it: what it stands before is a hash of ours. */
const MARK = `image-${randomUUID()}-`;
const MARKED = new RegExp(`${MARK}([0-9a-f]{64})`);

/** Stands in a message for the base64 of an image, which is put there as the request is sent. */
export function imageMark(hash: string): string {
  return `${MARK}${hash}`;
}

export interface TranscriptOptions<Message> {
  /** What is done to the newest messages, for one request only. */
  readonly atEnd?: (messages: Message[]) => Message[];
  /** Which reasoning is sent back; all that is signed where undefined. */
  readonly opens?: Opens;
  /** The name of the list in the request: `messages` where undefined. */
  readonly list?: string;
}

/** A round's messages. A round of the user's stands behind the answer that it belongs to. */
type Wire<Message> = (round: Round, index: number, rounds: readonly Round[]) => Message[];

/**
 * Writes conversations as the JSON of one wire format, each part of one once: a request at turn 2,000 writes what is new
 * since turn 1,999. What stands before the last answer is over, and its bytes are kept with its last message for as long as
 * that message lives; the worker hands over the same message objects as long as it has the session's log at hand. Images are
 * kept by their hash only: their bytes belong to the request.
 */
export class Transcript<Message extends object> {
  readonly #wire: Wire<Message>;
  readonly #atEnd: (messages: Message[]) => Message[];
  readonly #opens: Opens | undefined;
  readonly #opening: string;
  readonly #over = new WeakMap<ModelMessage, GrowingList>();

  /** `wire`: a round's messages. */
  constructor(
    wire: Wire<Message>,
    { atEnd = (messages) => messages, opens, list = 'messages' }: TranscriptOptions<Message> = {},
  ) {
    this.#wire = wire;
    this.#atEnd = atEnd;
    this.#opens = opens;
    this.#opening = `,"${list}":[`;
  }

  /** A request's JSON in UTF-8, in pieces: its settings, and the list of messages, which begins with `first`. */
  requestOf(
    settings: object,
    request: Pick<ModelRequest, 'messages' | 'images'>,
    first: readonly object[] = [],
  ): readonly Uint8Array[] {
    const opening = Buffer.from(JSON.stringify(settings).slice(0, -1) + this.#opening);
    return [opening, ...this.listOf(request, first), CLOSING];
  }

  /** The list alone, without its brackets. */
  listOf(
    { messages, images = NO_IMAGES }: Pick<ModelRequest, 'messages' | 'images'>,
    first: readonly object[] = [],
  ): readonly Uint8Array[] {
    const answer = lastAnswer(messages);
    const newest = this.#atEnd(this.#wired(messages.slice(answer)));
    const lists = [
      [Buffer.from(inner(first))],
      this.#listBefore(messages, answer).pieces(images),
      listOf(inner(newest)).pieces(images),
    ].filter(([start]) => start !== undefined && start.length > 0);
    return lists.flatMap((list, index) => (index === 0 ? list : [COMMA, ...list]));
  }

  /** The messages before `end`, where a round begins. One list per conversation is kept: the longest. */
  #listBefore(messages: readonly ModelMessage[], end: number): GrowingList {
    const last = messages[end - 1];
    if (last === undefined) return new GrowingList();
    let known = end - 1;
    while (known >= 0 && !this.#over.has(messages[known] as ModelMessage)) known -= 1;
    const before = messages[known];
    const list = (before && this.#over.get(before)) ?? new GrowingList();
    if (before === last) return list;
    list.add(inner(this.#wired(messages.slice(known + 1, end))));
    if (before !== undefined) this.#over.delete(before);
    this.#over.set(last, list);
    return list;
  }

  #wired(messages: readonly ModelMessage[]): Message[] {
    return roundsOf(messages, this.#opens).flatMap(this.#wire);
  }
}

const COMMA = Buffer.from(',');
const CLOSING = Buffer.from(']}');
/** How much more room is taken than is needed: a long list is copied to a larger place a few times only. */
const GROWTH = 1.5;

const NO_IMAGES: ReadonlyMap<string, Uint8Array> = new Map();

/**
 * The JSON of a list without its brackets, in UTF-8, and where in it which image belongs: what is added is all that is
 * written. What was given out stays as it is.
 */
class GrowingList {
  #buffer = Buffer.alloc(0);
  #length = 0;
  readonly #images: { readonly at: number; readonly hash: string }[] = [];

  /** Images in their places. */
  pieces(images: ReadonlyMap<string, Uint8Array>): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    let from = 0;
    for (const { at, hash } of this.#images) {
      const image = images.get(hash);
      if (image === undefined) throw new Error(`the request names the image ${hash}, and does not have it`);
      pieces.push(this.#buffer.subarray(from, at), image);
      from = at;
    }
    return [...pieces, this.#buffer.subarray(from, this.#length)];
  }

  /** Also without brackets. */
  add(items: string): void {
    if (items === '') return;
    const [start = '', ...rest] = items.split(MARKED);
    this.#write(this.#length === 0 ? start : `,${start}`);
    // By turns a hash, and the text behind it.
    for (let index = 0; index < rest.length; index += 2) {
      this.#images.push({ at: this.#length, hash: rest[index] ?? '' });
      this.#write(rest[index + 1] ?? '');
    }
  }

  #write(text: string): void {
    const length = this.#length + Buffer.byteLength(text);
    if (length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.ceil(length * GROWTH));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    this.#buffer.write(text, this.#length);
    this.#length = length;
  }
}

function listOf(items: string): GrowingList {
  const list = new GrowingList();
  list.add(items);
  return list;
}

/** The JSON of a list, without its brackets. */
function inner(list: readonly object[]): string {
  return JSON.stringify(list).slice(1, -1);
}

/**
 * Where the last round of the model's begins; 0 where it has none. What is not sent is nobody's: else two rounds of one side would
 * follow each other, and only where the conversation is written bit by bit.
 */
function lastAnswer(messages: readonly ModelMessage[]): number {
  let begins: number | undefined;
  for (let index = messages.length - 1; index >= 0; index -= 1) {
    const message = messages[index] as ModelMessage;
    if (!isSent(message)) continue;
    if (message.role === 'assistant') begins = index;
    else if (begins !== undefined) return begins;
  }
  return 0;
}

/** Says to the SDKs that a body is written already, and to the server what it is. */
export const JSON_BODY = { 'content-type': 'application/json' } as const;
