/** The `*** Begin Patch` format: what models are trained to write as an edit of several files. */
import { EditError, type Hunk, type HunkLine } from './line-edit.ts';

export type FileOperation =
  | { readonly type: 'add'; readonly path: string; readonly line: number; readonly text: string }
  | { readonly type: 'delete'; readonly path: string; readonly line: number }
  | {
      readonly type: 'update';
      readonly path: string;
      readonly line: number;
      readonly moveTo: string | undefined;
      readonly hunks: readonly Hunk[];
    };

const BEGIN = '*** Begin Patch';
const END = '*** End Patch';
const END_OF_FILE = '*** End of File';
const OPERATION = /^\*\*\* (Add|Delete|Update) File:(.*)$/;
const MOVE = /^\*\*\* Move to:(.*)$/;
/** As in other patches: its numbers are not used, and what stands behind them is often cut. */
const NUMBERED_HEADER = /^@@ -\d+(,\d+)? \+\d+(,\d+)? @@/;
const EXPECTED_OPERATION = "'*** Add File: PATH', '*** Update File: PATH' or '*** Delete File: PATH'";

/** Throws `EditError` with the line where the text stops being a patch. */
export function parsePatch(text: string): FileOperation[] {
  const reader = new PatchReader(text);
  reader.begin();
  const operations: FileOperation[] = [];
  while (!reader.atEnd()) operations.push(reader.operation());
  if (operations.length === 0) throw reader.unexpected(EXPECTED_OPERATION);
  reader.end();
  return operations;
}

class PatchReader {
  readonly #lines: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#lines = text
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  /** Also in a code fence or a here-document, as models wrap it. */
  begin(): void {
    this.#skip(
      (line) => line.trim() === '' || /^(```+[\w-]*|(apply_patch\s+)?<<-?\s*(['"]?)\w+\3)$/.test(line.trim()),
    );
    if (this.#line()?.trim() !== BEGIN) throw this.unexpected(`'${BEGIN}'`);
    this.#at += 1;
    this.#skip((line) => line.trim() === '');
  }

  atEnd(): boolean {
    return this.#line()?.trim() === END;
  }

  end(): void {
    this.#at += 1;
    this.#skip((line) => /^(|```+|[A-Z]+)$/.test(line.trim()));
    if (this.#line() !== undefined) throw this.unexpected(`nothing behind '${END}'`);
  }

  operation(): FileOperation {
    const [, kind, rest = ''] = OPERATION.exec(this.#line()?.trim() ?? '') ?? [];
    const path = rest.trim();
    if (kind === undefined) throw this.unexpected(`${EXPECTED_OPERATION}, or '${END}'`);
    if (path === '') throw this.unexpected(`a path behind '${this.#line()?.trim()}'`);
    const at = { path, line: this.#at + 1 };
    this.#at += 1;
    if (kind === 'Add') return { type: 'add', ...at, text: this.#added() };
    if (kind === 'Update') return { type: 'update', ...at, ...this.#update() };
    this.#skip((line) => line.trim() === '');
    return { type: 'delete', ...at };
  }

  unexpected(expected: string): EditError {
    const line = this.#line();
    const found = line === undefined ? 'the end of the patch' : `'${line.slice(0, 80)}'`;
    return new EditError(`line ${this.#at + 1} of the patch: found ${found}, expected ${expected}.`);
  }

  #line(): string | undefined {
    return this.#lines[this.#at];
  }

  #skip(fits: (line: string) => boolean): void {
    for (let line = this.#line(); line !== undefined && fits(line); line = this.#line()) this.#at += 1;
  }

  #added(): string {
    const lines: string[] = [];
    for (let line = this.#line(); line?.startsWith('+'); line = this.#line()) {
      lines.push(line.slice(1));
      this.#at += 1;
    }
    this.#skip((line) => line.trim() === '');
    if (!this.#isOperation()) throw this.unexpected("'+' in front of each line of a new file");
    return lines.map((line) => `${line}\n`).join('');
  }

  #update(): { readonly moveTo: string | undefined; readonly hunks: readonly Hunk[] } {
    const moveTo = MOVE.exec(this.#line() ?? '')?.[1]?.trim();
    if (moveTo === '') throw this.unexpected("a path behind '*** Move to:'");
    if (moveTo !== undefined) this.#at += 1;
    const hunks: Hunk[] = [];
    this.#skip((line) => line === '');
    while (!this.#isOperation()) hunks.push(this.#hunk());
    if (hunks.length === 0 && moveTo === undefined) throw this.unexpected("'@@' and the lines that change");
    return { moveTo, hunks };
  }

  #hunk(): Hunk {
    const name = `the hunk at line ${this.#at + 1} of the patch`;
    const headers = this.#headers();
    const lines = this.#hunkLines();
    const atEnd = this.#line()?.trimEnd() === END_OF_FILE;
    if (!lines.some(({ kind }) => kind !== 'keep'))
      throw this.unexpected("a line that begins with '-' or '+'");
    if (atEnd) this.#at += 1;
    this.#skip((line) => line === '');
    if (this.#isOperation() || this.#line()?.startsWith('@@')) return { name, headers, lines, atEnd };
    throw this.unexpected("' ', '-' or '+' in front of each line of a hunk, '@@', or the next '***' line");
  }

  #headers(): string[] {
    const headers: string[] = [];
    for (let line = this.#line(); line?.startsWith('@@'); line = this.#line()) {
      const header = NUMBERED_HEADER.test(line)
        ? ''
        : line
            .slice(2)
            .replace(/\s@@\s*$/, '')
            .trim();
      if (header !== '') headers.push(header);
      this.#at += 1;
    }
    return headers;
  }

  /** A line without anything is an empty one of the file, but behind the last change it only parts the patch. */
  #hunkLines(): HunkLine[] {
    const lines: HunkLine[] = [];
    let bare = 0;
    for (let line = this.#line(); line !== undefined; line = this.#line()) {
      const kind = line === '' ? 'keep' : KINDS.get(line.slice(0, 1));
      if (kind === undefined) break;
      bare = line === '' ? bare + 1 : 0;
      lines.push({ kind, text: line.slice(1) });
      this.#at += 1;
    }
    return bare === 0 ? lines : lines.slice(0, -bare);
  }

  #isOperation(): boolean {
    return this.atEnd() || OPERATION.test(this.#line() ?? '');
  }
}

const KINDS: ReadonlyMap<string, HunkLine['kind']> = new Map([
  [' ', 'keep'],
  ['-', 'cut'],
  ['+', 'add'],
]);
