/** One request that waits until a tree has something new: it costs a place in a list, and no query of its own. */
import type { EventRow } from '../store/views-events.ts';
import { invalidKey } from './auth.ts';
import { sessionDeleted } from './problem.ts';
import type { EndReason, Listener } from './tail.ts';

export interface WaiterOptions {
  /** The sequence number behind which it waits. */
  readonly after: number;
  readonly keyId: string;
  readonly read: (after: number, limit: number) => Promise<EventRow[]>;
}

export class Waiter implements Listener {
  readonly keyId: string;
  readonly #read: WaiterOptions['read'];
  #known: number;
  #ended: EndReason | undefined;
  #wake: () => void = () => {};

  constructor({ after, keyId, read }: WaiterOptions) {
    this.keyId = keyId;
    this.#read = read;
    this.#known = after;
  }

  notice(seq: number): void {
    this.#known = Math.max(this.#known, seq);
    this.#wake();
  }

  live(): void {}

  beat(): void {}

  end(why: EndReason): void {
    this.#ended ??= why;
    this.#wake();
  }

  /** At most `limit` events behind `seq` as soon as there are some; none once it has ended. Throws `ApiProblem` (401) where its key was revoked, (404) where the session was deleted. */
  async behind(seq: number, limit: number): Promise<EventRow[]> {
    for (;;) {
      while (this.#ended === undefined && this.#known <= seq)
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      if (this.#ended === 'revoked') throw invalidKey();
      if (this.#ended === 'deleted') throw sessionDeleted();
      if (this.#ended !== undefined) return [];
      const events = await this.#read(seq, limit);
      if (events.length > 0) return events;
      this.#known = seq;
    }
  }
}
