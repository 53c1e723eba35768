import type { ChildProcess, StdioOptions } from 'node:child_process';
import type { Writable } from 'node:stream';

const FIRST_DESCRIPTOR = 3;

/** What bwrap reads from descriptors of its own. */
export class Handed {
  readonly #contents: (Buffer | number)[] = [];
  readonly #stdin: number | 'ignore';

  constructor(stdin: number | 'ignore') {
    this.#stdin = stdin;
  }

  /** The descriptor's number. `content`: what is read from it, or a descriptor of this process that it is a copy of. */
  give(content: Buffer | number): string {
    return `${FIRST_DESCRIPTOR + this.#contents.push(content) - 1}`;
  }

  get stdio(): StdioOptions {
    const inherited = this.#contents.map((content) => (typeof content === 'number' ? content : 'pipe'));
    return [this.#stdin, 'pipe', 'pipe', ...inherited];
  }

  send(child: ChildProcess): void {
    for (const [index, content] of this.#contents.entries()) {
      if (typeof content === 'number') continue;
      const stream = child.stdio?.[FIRST_DESCRIPTOR + index] as Writable | null | undefined;
      // bwrap closes what it has read, and may end before it has: its own words then say why.
      stream?.on('error', () => {}).end(content);
    }
  }
}
