import { type BytePath, bytesOf, compareBytes, textOf } from './byte-path.ts';

/** Of a root: enough to say what is lost where they are. */
export const MAX_IGNORED = 20;
/** A longer one is left out, in bytes. */
export const MAX_IGNORED_BYTES = 200;

interface Name {
  readonly path: BytePath;
  /** How many directories lead to it. */
  readonly depth: number;
}

/** What a walk found ignored, and not part of the snapshot: directories as a whole. The nearest to the root are kept. */
export class IgnoredNames {
  #nearest: Name[] = [];
  /** Where there are enough: the farthest of them. */
  #farthest: Name | undefined;

  add(path: BytePath, isDirectory: boolean): void {
    const name = { path: isDirectory ? `${path}/` : path, depth: path.split('/').length };
    if (this.#farthest !== undefined && byDistance(name, this.#farthest) > 0) return;
    // One that is no UTF-8 could not be found again by what is told of it.
    if (name.path.length > MAX_IGNORED_BYTES || bytesOf(textOf(path)) !== path) return;
    this.#nearest.push(name);
    if (this.#nearest.length < 2 * MAX_IGNORED) return;
    this.#nearest = this.#nearest.sort(byDistance).slice(0, MAX_IGNORED);
    this.#farthest = this.#nearest.at(-1);
  }

  /** Always the same of the same files, in whatever order they were found. */
  get names(): readonly string[] {
    const sorted = this.#nearest.toSorted(byDistance).slice(0, MAX_IGNORED);
    return sorted.map(({ path }) => textOf(path));
  }
}

function byDistance(a: Name, b: Name): number {
  return a.depth - b.depth || compareBytes(a.path, b.path);
}
