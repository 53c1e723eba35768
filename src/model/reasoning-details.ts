import { shallow } from './history.ts';
import { fields, stringOf } from './report.ts';
import { textOfArguments } from './tool-calls.ts';

type Detail = Record<string, unknown>;

/** Fields that come in pieces. */
const GROWING = ['text', 'summary', 'data'];

/**
 * Puts together what OpenRouter streams as `reasoning_details`: pieces of one kind and index that follow each other are one
 * detail. Whoever reasoned wants them back as they were.
 */
export class ReasoningDetails {
  readonly #details: Detail[] = [];
  /** Bytes of what has come. */
  size = 0;

  take(value: unknown): void {
    if (!Array.isArray(value)) return;
    for (const piece of value) if (stringOf(fields(piece).type) !== '') this.#add(fields(piece));
  }

  /** '' where there are none. */
  json(): string {
    return this.#details.length === 0 ? '' : shallow(textOfArguments(this.#details));
  }

  #add(piece: Detail): void {
    const last = this.#details.at(-1);
    const isSame = last !== undefined && last.type === piece.type && last.index === piece.index;
    const detail = isSame ? last : {};
    if (!isSame) this.#details.push(detail);
    for (const [name, value] of Object.entries(piece)) {
      this.size += typeof value === 'string' ? Buffer.byteLength(value) : 1;
      if (value === null || value === undefined) continue;
      const before = detail[name];
      const grows = GROWING.includes(name) && typeof before === 'string' && typeof value === 'string';
      detail[name] = grows ? before + value : value;
    }
  }
}
