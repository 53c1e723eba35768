/** A piece of an answer that is being written. `offset` counts UTF-16 units of its channel since the attempt began. */
export interface Piece {
  readonly attemptId: string;
  readonly offset: number;
  readonly text: string;
}

export interface Addition {
  /** What was printed so far is void: another attempt has begun the answer again. */
  readonly restarts: boolean;
  readonly text: string;
}

const NOTHING: Addition = { restarts: false, text: '' };

/**
 * What of one answer has been printed. Pieces may be missing, doubled or late, and may come from an attempt that was given
 * up; the whole answer, once it is committed, completes what was printed.
 */
export class LiveAnswer {
  #attemptId: string | undefined;
  readonly #givenUp = new Set<string>();
  #text = '';
  #printed = 0;

  /** What to print of a piece: nothing where text before it is missing, for then the whole answer will tell. */
  add(piece: Piece): Addition {
    if (this.#givenUp.has(piece.attemptId)) return NOTHING;
    const restarts = this.#startAttempt(piece.attemptId);
    const isNext = piece.offset <= this.#text.length;
    if (isNext) this.#text += piece.text.slice(this.#text.length - piece.offset);
    return { restarts, text: this.#unprinted(this.#text) };
  }

  /** What to print of the whole answer. It is over then: the next piece starts another one. */
  complete(text: string): Addition {
    const restarts = this.#printed > 0 && !text.startsWith(this.#text.slice(0, this.#printed));
    if (restarts) this.#printed = 0;
    const rest = text.slice(this.#printed);
    if (this.#attemptId !== undefined) this.#givenUp.add(this.#attemptId);
    this.#attemptId = undefined;
    this.#text = '';
    this.#printed = 0;
    return { restarts, text: rest };
  }

  #startAttempt(attemptId: string): boolean {
    if (attemptId === this.#attemptId) return false;
    if (this.#attemptId !== undefined) this.#givenUp.add(this.#attemptId);
    const restarts = this.#printed > 0;
    this.#attemptId = attemptId;
    this.#text = '';
    this.#printed = 0;
    return restarts;
  }

  /** Half of a surrogate pair waits for its other half. */
  #unprinted(text: string): string {
    const last = text.charCodeAt(text.length - 1);
    const end = last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length;
    const fresh = text.slice(this.#printed, end);
    this.#printed = Math.max(this.#printed, end);
    return fresh;
  }
}
