/** Requests as a careful client sends them: to whichever API answers, again and again, each of them repeatable. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Fleet } from './fleet.ts';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** A stopped API answers nothing: the other one is asked. */
const ANSWER_MS = 8_000;
const PAUSE_MS = 150;

export class Client {
  readonly #fleet: Fleet;
  readonly #apiKey: string;
  readonly #signal: AbortSignal;
  #turn = 0;

  constructor(fleet: Fleet, { apiKey, signal }: { readonly apiKey: string; readonly signal: AbortSignal }) {
    this.#fleet = fleet;
    this.#apiKey = apiKey;
    this.#signal = signal;
  }

  /** The first answer that is none of those that pass (429, 5xx). Rejects when the proof ends. */
  async ask(path: string, request: { readonly body?: unknown; readonly key?: string } = {}): Promise<Answer> {
    for (;;) {
      this.#signal.throwIfAborted();
      const answer = await this.#try(path, request).catch(() => undefined);
      if (answer !== undefined && answer.status < 500 && answer.status !== 429) return answer;
      await delay(PAUSE_MS, undefined, { signal: this.#signal });
    }
  }

  /** An event stream behind `after`; rejects where it does not open. */
  async stream(sessionId: string, after: number, signal: AbortSignal): Promise<Response> {
    const response = await fetch(`${this.#next()}/v1/sessions/${sessionId}/events`, {
      headers: { ...this.#headers(), accept: 'text/event-stream', 'last-event-id': String(after) },
      signal: AbortSignal.any([signal, this.#signal]),
    });
    if (response.ok) return response;
    await response.body?.cancel();
    throw new Error(`the stream of ${sessionId} answered ${response.status}`);
  }

  async #try(path: string, { body, key }: { body?: unknown; key?: string }): Promise<Answer> {
    const response = await fetch(`${this.#next()}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...this.#headers(),
        'content-type': 'application/json',
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      signal: AbortSignal.any([this.#signal, AbortSignal.timeout(ANSWER_MS)]),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  }

  #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.#apiKey}` };
  }

  #next(): string {
    const url = this.#fleet.apiUrl(this.#turn++);
    if (url === undefined) throw new Error('no API is there');
    return url;
  }
}
