/** Adds up lines with a number each; a submodule has none. */
export class Sizes {
  #rest = '';
  #files = 0;
  #sum = 0;
  readonly #check: (so: { readonly files: number; readonly sum: number }) => void;

  constructor(check: (so: { readonly files: number; readonly sum: number }) => void) {
    this.#check = check;
  }

  add(piece: Buffer): void {
    const lines = (this.#rest + piece.toString('latin1')).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#sum += Number(line) || 0;
    this.#files += lines.length;
    this.#check({ files: this.#files, sum: this.#sum });
  }
}
