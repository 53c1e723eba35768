/** Where commands of a worker sit, each in a control group of its own. One seat waits for the next command. */
import { messageOf } from '../core/errors.ts';
import type { Groups } from './groups.ts';
import type { Handed } from './handed.ts';
import { Seat, type Sitter } from './seat.ts';

export class Seats {
  readonly #groups: Groups;
  readonly #onTrouble: (reason: string) => void;
  #waiting: Seat | undefined;
  #preparing: Promise<void> = Promise.resolve();
  #isClosed = false;

  /** `onTrouble`: why a command has no group; it then has the limits of each of its processes alone. */
  constructor(groups: Groups, onTrouble: (reason: string) => void) {
    this.#groups = groups;
    this.#onTrouble = onTrouble;
  }

  /** For a command that begins now: the seat that waits, if it fits, else a new one. Undefined where none can be made. */
  async take(sitter: Sitter, handed: Handed): Promise<Seat | undefined> {
    const seat = this.#takeWaiting(sitter, handed) ?? (await this.#open(sitter, handed));
    if (seat !== undefined) this.#preparing = this.#preparing.then(() => this.#prepare(sitter));
    return seat;
  }

  #takeWaiting(sitter: Sitter, handed: Handed): Seat | undefined {
    const seat = this.#waiting;
    if (seat === undefined || !seat.fits(sitter, handed)) return undefined;
    this.#waiting = undefined;
    return seat;
  }

  async #open(sitter: Sitter, handed?: Handed): Promise<Seat | undefined> {
    try {
      return new Seat(await this.#groups.make(), sitter, handed);
    } catch (error) {
      this.#onTrouble(messageOf(error));
      return undefined;
    }
  }

  /** For another such command. */
  async #prepare(sitter: Sitter): Promise<void> {
    if (this.#waiting?.isFor(sitter) || this.#isClosed) return;
    this.#waiting?.leave();
    this.#waiting = undefined;
    const seat = await this.#open(sitter);
    if (this.#isClosed) seat?.leave();
    else this.#waiting = seat;
  }

  /** When all commands have ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#preparing;
    this.#waiting?.leave();
    this.#waiting = undefined;
    await this.#groups.close();
  }
}
