/**
 * A name or path as its bytes, one character for each (latin1). File names need not be UTF-8, and the order of these
 * strings is the order of their bytes, which is git's.
 */
export type BytePath = string;

export function bytesOf(text: string): BytePath {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** For people and models: bytes that are no UTF-8 become U+FFFD. */
export function textOf(path: BytePath): string {
  return isAscii(path) ? path : Buffer.from(path, 'latin1').toString('utf8');
}

/** What Node's file functions take: they would encode a string with bytes above 127 a second time. */
export function systemPath(path: BytePath): string | Buffer {
  return isAscii(path) ? path : Buffer.from(path, 'latin1');
}

export function joinBytes(directory: BytePath, name: BytePath): BytePath {
  return directory === '' ? name : `${directory}/${name}`;
}

function isAscii(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
  return !/[^\u0000-\u007f]/.test(text);
}

/** Paths that can be asked for themselves, and for whether any lies below a directory. */
export class PathSet {
  readonly paths: readonly BytePath[];

  constructor(paths: Iterable<BytePath>) {
    this.paths = [...new Set(paths)].sort(compareBytes);
  }

  has(path: BytePath): boolean {
    return this.paths[this.#firstFrom(path)] === path;
  }

  hasBelow(directory: BytePath): boolean {
    const prefix = `${directory}/`;
    return this.paths[this.#firstFrom(prefix)]?.startsWith(prefix) ?? false;
  }

  #firstFrom(path: BytePath): number {
    let [low, high] = [0, this.paths.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.paths[middle] as string) < path) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function compareBytes(a: BytePath, b: BytePath): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
