import type { ChildProcess } from 'node:child_process';
import type { Writable } from 'node:stream';

/** What bwrap reads from descriptors of its own, from the number `first` on. */
export class Handed {
  readonly #contents: (Buffer | number)[] = [];
  readonly #first: number;

  constructor(first = 3) {
    this.#first = first;
  }

  /** The descriptor's number. `content`: what is read from it, or a descriptor of this process that it is a copy of. */
  give(content: Buffer | number): string {
    return `${this.#first + this.#contents.push(content) - 1}`;
  }

  get stdio(): (number | 'pipe')[] {
    return this.#contents.map((content) => (typeof content === 'number' ? content : 'pipe'));
  }

  send(child: ChildProcess): void {
    for (const [index, content] of this.#contents.entries()) {
      if (typeof content === 'number') continue;
      const stream = child.stdio?.[this.#first + index] as Writable | null | undefined;
      // bwrap closes what it has read, and may end before it has: its own words then say why.
      stream?.on('error', () => {}).end(content);
    }
  }
}
