import { type Clock, systemClock } from '../clock.ts';
import type { Failure } from '../core/errors.ts';
import type { Origin, Timeouts } from './connection.ts';
import { cancelledFailure, cutFailure, type Stage, timeoutFailure, toFailure } from './failure.ts';
import type { ModelAnswer, ModelEvent } from './model.ts';

/** Puts a provider's chunks together. One per request. */
export interface Collector<Chunk> {
  /** Takes a chunk in and returns what can be shown of it. Throws what the provider reports as an error. */
  take(chunk: Chunk): ModelEvent[];
  /** The whole answer once the provider has said that it is whole, else undefined. */
  answer(): ModelAnswer | undefined;
}

/** One request to a provider. */
export interface Call<Chunk> {
  readonly origin: Origin;
  readonly timeouts: Timeouts;
  readonly collector: Collector<Chunk>;
  /** Sends it; `onBytes` is to be called for every piece of the response's body. */
  open(signal: AbortSignal, onBytes: () => void): Promise<AsyncIterable<Chunk>>;
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
  const watch = new Watch(signal);
  let thrown: { error: unknown } | undefined;
  try {
    yield* read(call, watch);
  } catch (error) {
    thrown = { error };
  } finally {
    watch.stop();
  }
  const end = endOf(call, watch, thrown);
  yield 'kind' in end ? { type: 'failed', failure: end } : { type: 'finished', answer: end };
}

async function* read<Chunk>(call: Call<Chunk>, watch: Watch): AsyncGenerator<ModelEvent> {
  const { firstTokenMs, idleMs } = call.timeouts;
  watch.wait(firstTokenMs);
  const chunks = await call.open(watch.signal, () => watch.heard(idleMs));
  watch.stage = 'streaming';
  const iterator = chunks[Symbol.asyncIterator]();
  let whole = false;
  try {
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      watch.rest();
      yield* call.collector.take(next.value);
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

/** How it ended. A complete answer outlives a connection that breaks or falls silent after it. */
function outcome<Chunk>(
  call: Call<Chunk>,
  watch: Watch,
  thrown: { error: unknown } | undefined,
): ModelAnswer | Failure {
  if (watch.cancelled) return cancelledFailure();
  const failure = failureOf(call, watch, thrown);
  const answer = failure === undefined || isTransport(failure) ? call.collector.answer() : undefined;
  return answer ?? failure ?? cutFailure(call.origin);
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

function failureOf<Chunk>(call: Call<Chunk>, watch: Watch, thrown: { error: unknown } | undefined) {
  if (watch.timedOutAfter !== undefined) return timeoutFailure(call.origin, watch.timedOutAfter, watch.begun);
  return thrown === undefined ? undefined : failedBy(call, watch, thrown.error);
}

function failedBy<Chunk>(call: Call<Chunk>, watch: Watch, error: unknown): Failure {
  const now = (call.clock ?? systemClock)();
  return toFailure(error, call.origin, { stage: watch.stage, now });
}

function isTransport(failure: Failure): boolean {
  return failure.code === 'stream_cut' || failure.code === 'provider_timeout';
}

/**
 * Ends a request when its caller says so, or when nothing is heard from the provider for too long. The time counts only
 * while someone is waiting for the provider, never while the reader of the stream is busy with what it got.
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
  begun = false;
  cancelled = false;
  timedOutAfter: number | undefined;

  constructor(caller: AbortSignal) {
    this.#caller = caller;
    if (caller.aborted) this.#onAbort();
    else caller.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  wait(ms: number): void {
    this.rest();
    this.#timer = setTimeout(() => {
      this.timedOutAfter = ms;
      this.#controller.abort();
    }, ms);
  }

  heard(nextMs: number): void {
    this.begun = true;
    if (this.#timer !== undefined) this.wait(nextMs);
  }

  rest(): void {
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
