/** Longest text of a number or a word (`null`, `true`) that is taken for whole: such a value has no end of its own. */
const MAX_BARE = 32;

/**
 * A text that grows, and may be JSON. Each character is looked at once and the text is parsed once, however often someone
 * asks: where its first value has closed, nothing but blanks can follow, and what is not JSON then never becomes it.
 */
export class GrowingJson {
  text = '';
  #depth = 0;
  #quoted = false;
  #escaped = false;
  #closed = false;
  #whole: boolean | undefined;

  add(piece: string): void {
    this.text += piece;
    for (let at = 0; at < piece.length && !this.#closed; at += 1) this.#look(piece[at] as string);
    if (this.#whole === true && piece.trim() !== '') this.#whole = false;
  }

  isWhole(): boolean {
    if (!this.#closed) return this.text.length <= MAX_BARE && isJson(this.text);
    this.#whole ??= isJson(this.text);
    return this.#whole;
  }

  #look(char: string): void {
    if (this.#quoted) this.#lookInString(char);
    else if (char === '"') this.#quoted = true;
    else if (char === '{' || char === '[') this.#depth += 1;
    else if (char === '}' || char === ']') this.#leave(this.#depth - 1);
  }

  #lookInString(char: string): void {
    if (this.#escaped) this.#escaped = false;
    else if (char === '\\') this.#escaped = true;
    else if (char === '"') {
      this.#quoted = false;
      this.#leave(this.#depth);
    }
  }

  #leave(depth: number): void {
    this.#depth = depth;
    this.#closed = depth <= 0;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
