import { type Clock, systemClock } from '../clock.ts';
import type { Failure } from '../core/errors.ts';
import type { Origin, Timeouts } from './connection.ts';
import {
  cancelledFailure,
  cutFailure,
  type Stage,
  timeoutFailure,
  toFailure,
  tooLongFailure,
} from './failure.ts';
import type { FailedRequest, ModelAnswer, ModelEvent } from './model.ts';

/** Puts a provider's chunks together. One per request. */
export interface Collector<Chunk> {
  /** Takes a chunk in and returns what can be shown of it. Throws what the provider reports as an error. */
  take(chunk: Chunk): ModelEvent[];
  /** Bytes of text, reasoning and arguments that have come so far. */
  readonly size: number;
  /** The whole answer once the provider has said that it is whole, else undefined. */
  answer(): ModelAnswer | undefined;
}

/** One request to a provider. */
export interface Call<Chunk> {
  readonly origin: Origin;
  readonly timeouts: Timeouts;
  /** The most that is read of text, reasoning and arguments. */
  readonly answerBytes: number;
  readonly collector: Collector<Chunk>;
  /** Sends it; `onBytes` is to be called for every piece of the response's body. */
  open(signal: AbortSignal, onBytes: (bytes: number) => void): Promise<AsyncIterable<Chunk>>;
  readonly clock?: Clock;
}

/**
 * Runs one request by the contract of `Model.stream`: never throws, and ends with exactly one `finished` or `failed`.
 * Whoever stops reading early closes the request.
 */
export async function* streamAnswer<Chunk>(
  call: Call<Chunk>,
  signal: AbortSignal,
): AsyncGenerator<ModelEvent> {
  const watch = new Watch(signal, call);
  let thrown: { error: unknown } | undefined;
  try {
    yield* read(call, watch);
  } catch (error) {
    thrown = { error };
  } finally {
    watch.stop();
  }
  const end = endOf(call, watch, thrown);
  if ('kind' in end) yield { type: 'failed', failure: failedRequest(end, watch) };
  else yield { type: 'finished', answer: end };
}

async function* read<Chunk>(call: Call<Chunk>, watch: Watch): AsyncGenerator<ModelEvent> {
  const { firstTokenMs, idleMs } = call.timeouts;
  watch.sent = !watch.signal.aborted;
  watch.wait(firstTokenMs);
  const chunks = await call.open(watch.signal, (bytes) => watch.heard(bytes, idleMs));
  watch.stage = 'streaming';
  const iterator = chunks[Symbol.asyncIterator]();
  let whole = false;
  try {
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      watch.rest();
      // What came already, or waits for nothing, does not end by itself.
      if (watch.cancelled) return;
      const events = call.collector.take(next.value);
      if (watch.took(call.collector.size)) return;
      yield* events;
      watch.wait(idleMs);
    }
    whole = true;
  } finally {
    watch.rest();
    // The request is closed before the iterator, which would else wait for the rest of the answer.
    if (!whole) await close(watch, iterator);
  }
}

async function close(watch: Watch, iterator: AsyncIterator<unknown>): Promise<void> {
  watch.close();
  await iterator.return?.();
}

/** How it ended. A complete answer outlives whatever comes after it: an error, rubbish, silence, the connection's end. */
function outcome<Chunk>(
  call: Call<Chunk>,
  watch: Watch,
  thrown: { error: unknown } | undefined,
): ModelAnswer | Failure {
  if (watch.cancelled) return cancelledFailure();
  if (watch.tooLong) return tooLongFailure(call.origin, call.answerBytes);
  return call.collector.answer() ?? failureOf(call, watch, thrown);
}

/** `outcome`, also where the answer's parts cannot be put together. */
function endOf<Chunk>(
  call: Call<Chunk>,
  watch: Watch,
  thrown: { error: unknown } | undefined,
): ModelAnswer | Failure {
  try {
    return outcome(call, watch, thrown);
  } catch (error) {
    return failedBy(call, watch, error);
  }
}

function failureOf<Chunk>(call: Call<Chunk>, watch: Watch, thrown: { error: unknown } | undefined): Failure {
  const { timedOutAfter, begun, isIdling } = watch;
  if (timedOutAfter !== undefined) return timeoutFailure(call.origin, timedOutAfter, { begun, isIdling });
  return thrown === undefined ? cutFailure(call.origin) : failedBy(call, watch, thrown.error);
}

function failedBy<Chunk>(call: Call<Chunk>, watch: Watch, error: unknown): Failure {
  const now = (call.clock ?? systemClock)();
  return toFailure(error, call.origin, { stage: watch.stage, now });
}

/** Of a request that was refused, never arrived or was not sent nothing is charged; of one that was given up on, who knows. */
function failedRequest(failure: Failure, { begun, stage, sent }: Watch): FailedRequest {
  const hasAnswered = begun || stage === 'streaming';
  const isGivenUp = failure.kind === 'cancelled' || failure.code === 'provider_timeout';
  return { ...failure, mayHaveCost: sent && (hasAnswered || isGivenUp) };
}

/** Bytes that a chunk may have for each that an answer may have: JSON writes some characters as several. */
const CHUNK_FACTOR = 2;

/**
 * How many times as long as silence may last, an answer may be waited for that does not grow, though bytes come: whatever keeps
 * the connection alive must not keep a turn for ever.
 */
export const IDLING_FACTOR = 10;

/**
 * Ends a request when its caller says so, when nothing is heard from the provider for too long, or when there is no end to
 * what is heard. The time counts only while someone is waiting for the provider, never while the reader of the stream is busy
 * with what it got.
 */
class Watch {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal;
  readonly #onAbort = () => {
    this.cancelled = true;
    this.#controller.abort();
  };
  #timer: NodeJS.Timeout | undefined;
  stage: Stage = 'connecting';
  sent = false;
  /** Bytes of the body of a success have come. */
  begun = false;
  cancelled = false;
  timedOutAfter: number | undefined;
  /** It was not silent, but said nothing. */
  isIdling = false;
  tooLong = false;
  readonly #answerBytes: number;
  readonly #longestIdlingMs: number;
  #chunks = 0;
  /** Bytes since the last chunk. */
  #unread = 0;
  #size = 0;
  /** Milliseconds of waiting since the answer last grew, but for those since `#since`. */
  #waited = 0;
  #since = performance.now();

  constructor(
    caller: AbortSignal,
    { answerBytes, timeouts }: Pick<Call<unknown>, 'answerBytes' | 'timeouts'>,
  ) {
    this.#caller = caller;
    this.#answerBytes = answerBytes;
    this.#longestIdlingMs = Math.max(timeouts.firstTokenMs, timeouts.idleMs) * IDLING_FACTOR;
    if (caller.aborted) this.#onAbort();
    else caller.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  wait(ms: number): void {
    this.rest();
    this.#since = performance.now();
    this.#timer = setTimeout(() => {
      this.timedOutAfter = ms;
      this.#controller.abort();
    }, ms);
  }

  heard(bytes: number, nextMs: number): void {
    this.begun = true;
    if (this.#timer !== undefined) this.wait(nextMs);
    if (this.#waited > this.#longestIdlingMs) {
      this.isIdling = true;
      this.timedOutAfter = this.#longestIdlingMs;
      this.#controller.abort();
    }
    this.#unread += bytes;
    if (this.#unread <= this.#answerBytes * CHUNK_FACTOR) return;
    this.tooLong = true;
    this.#controller.abort();
  }

  /** A chunk was read; the collector holds `size` bytes. A chunk of nothing counts as one. True: no more of them. */
  took(size: number): boolean {
    this.#unread = 0;
    this.#chunks += 1;
    if (size > this.#size) this.#waited = 0;
    this.#size = size;
    this.tooLong ||= Math.max(size, this.#chunks) > this.#answerBytes;
    return this.tooLong;
  }

  rest(): void {
    if (this.#timer !== undefined) this.#waited += performance.now() - this.#since;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Closes the request, whatever its state. */
  close(): void {
    this.#controller.abort();
  }

  stop(): void {
    this.rest();
    this.#caller.removeEventListener('abort', this.#onAbort);
  }
}
