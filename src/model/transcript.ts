import { type Round, roundsOf } from './history.ts';
import type { ModelMessage } from './model.ts';

/**
 * Writes conversations as the JSON of one wire format, each part of one once: a request at turn 2,000 writes what is new
 * since turn 1,999. What stands before the last answer is over, and its text is kept with its last message for as long as
 * that message lives; the worker hands over the same message objects as long as it has the session's log at hand.
 */
export class Transcript<Message extends object> {
  readonly #wire: (round: Round) => Message[];
  readonly #atEnd: (messages: Message[]) => Message[];
  readonly #over = new WeakMap<ModelMessage, string>();

  /** `wire`: a round's messages. `atEnd`: what is done to the newest ones, for this request only. */
  constructor(
    wire: (round: Round) => Message[],
    atEnd: (messages: Message[]) => Message[] = (messages) => messages,
  ) {
    this.#wire = wire;
    this.#atEnd = atEnd;
  }

  /** A JSON list, which begins with `first`. Put together once: nothing looks into the long text before it is sent. */
  textOf(messages: readonly ModelMessage[], first: readonly object[] = []): string {
    const answer = lastAnswer(messages);
    const over = this.#textBefore(messages, answer);
    const newest = inner(this.#atEnd(this.#wired(messages.slice(answer))));
    return `[${joined(inner(first), joined(over, newest))}]`;
  }

  /** The messages before `end`, where a round begins. One text per conversation is kept: the longest. */
  #textBefore(messages: readonly ModelMessage[], end: number): string {
    const last = messages[end - 1];
    if (last === undefined) return '';
    let known = end - 1;
    while (known >= 0 && !this.#over.has(messages[known] as ModelMessage)) known -= 1;
    const before = messages[known];
    if (before === last) return this.#over.get(last) ?? '';
    const text = joined(
      (before && this.#over.get(before)) ?? '',
      inner(this.#wired(messages.slice(known + 1, end))),
    );
    if (before !== undefined) this.#over.delete(before);
    this.#over.set(last, text);
    return text;
  }

  #wired(messages: readonly ModelMessage[]): Message[] {
    return roundsOf(messages).flatMap(this.#wire);
  }
}

/** The JSON of a list, without its brackets. */
function inner(list: readonly object[]): string {
  return JSON.stringify(list).slice(1, -1);
}

/** Where the last round of the model's begins; 0 where it has none. */
function lastAnswer(messages: readonly ModelMessage[]): number {
  let index = messages.length - 1;
  while (index > 0 && !(messages[index]?.role === 'assistant' && messages[index - 1]?.role !== 'assistant')) {
    index -= 1;
  }
  return Math.max(0, index);
}

function joined(first: string, second: string): string {
  return first === '' || second === '' ? first + second : `${first},${second}`;
}

/** Says to the SDKs that a body is written already. */
export const JSON_BODY = { 'content-type': 'application/json' } as const;

/** A request's JSON: its settings, and the list of its messages, which is written already. */
export function jsonBody(settings: object, messages: string): string {
  return `${JSON.stringify(settings).slice(0, -1)},"messages":${messages}}`;
}
