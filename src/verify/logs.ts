/** What the processes under test log: kept where asked for, and searched for errors of Capybara's own. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

export class Logs {
  readonly #dir: string | undefined;
  /** Lines of level `error`, and what is no log line at all: a process that broke. */
  readonly bugs: string[] = [];

  /** `dir`: where a file per process is written; nowhere if left out. */
  constructor(dir?: string) {
    this.#dir = dir;
    if (dir !== undefined) mkdirSync(dir, { recursive: true });
  }

  add(name: string, line: string): void {
    if (this.#dir !== undefined) appendFileSync(join(this.#dir, `${name}.log`), `${line}\n`);
    if (isBug(line)) this.bugs.push(`${name}: ${line}`);
  }
}

function isBug(line: string): boolean {
  try {
    return (JSON.parse(line) as { level?: string }).level === 'error';
  } catch {
    return line.trim() !== '';
  }
}
