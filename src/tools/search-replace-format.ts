/** Blocks of `<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`, each behind a line with its path. */
import { EditError, type Hunk, type HunkLine } from './line-edit.ts';

export interface Block {
  readonly path: string;
  readonly name: string;
  readonly search: readonly string[];
  readonly replace: readonly string[];
}

const START = /^(<{5,}) SEARCH\s*$/;
const FENCE = /^\s*(`{3,}|~{3,})[\w+.#-]*\s*$/;
/** `**src/a.ts**`, `### src/a.ts`, `` `src/a.ts`: `` */
const DECORATION = /^(?:#+\s+)?(\*\*|`)?(.*?)(:?)\1(:?)$/;

/** Throws `EditError` with the line where the text is no block, what was found there and what was expected. */
export function parseBlocks(text: string): Block[] {
  const lines = text
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  const blocks: Block[] = [];
  let path: string | undefined;
  let pathLine = 0;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    if (line.trim() === '' || FENCE.test(line)) continue;
    if (START.test(line)) {
      if (path === undefined)
        throw unexpected(lines, at, 'a line with the path of the file before the block');
      const { block, end } = readBlock(lines, at, path);
      blocks.push(block);
      at = end;
      pathLine = 0;
      continue;
    }
    if (pathLine > 0) throw unexpected(lines, at, `'<<<<<<< SEARCH' behind the path in line ${pathLine}`);
    path = pathOf(line);
    pathLine = at + 1;
    if (path === '' || isMarker(line)) throw unexpected(lines, at, "a path or '<<<<<<< SEARCH'");
  }
  if (blocks.length === 0 || pathLine > 0) throw unexpected(lines, lines.length, "'<<<<<<< SEARCH'");
  return blocks;
}

function pathOf(line: string): string {
  return DECORATION.exec(line.trim())?.[2] ?? '';
}

function isMarker(line: string): boolean {
  return /^(<{5,}|={5,}|>{5,})(\s|$)/.test(line);
}

interface Read {
  readonly block: Block;
  readonly end: number;
}

/** The markers of one block are equally long: where the text itself holds such lines, longer ones tell them apart. */
function readBlock(lines: readonly string[], start: number, path: string): Read {
  const length = (START.exec(lines[start] ?? '')?.[1] ?? '').length;
  const middleMarker = '='.repeat(length);
  const endMarker = `${'>'.repeat(length)} REPLACE`;
  const places = { start, middle: -1, end: -1 };
  for (let at = start + 1; at < lines.length && places.end === -1; at++) {
    const line = (lines[at] ?? '').trimEnd();
    const isStart = START.exec(line)?.[1]?.length === length;
    const isMiddle = line === middleMarker;
    const expected = places.middle === -1 ? `'${middleMarker}'` : `'${endMarker}'`;
    if (isStart || (isMiddle && places.middle !== -1) || (line === endMarker && places.middle === -1)) {
      const longer = 'where such a line belongs to the text, make all markers of the block longer';
      throw unexpected(lines, at, `${expected} for the block of line ${start + 1} (${longer})`);
    }
    if (isMiddle) places.middle = at;
    if (line === endMarker) places.end = at;
  }
  if (places.end === -1) {
    const expected = places.middle === -1 ? middleMarker : endMarker;
    throw unexpected(lines, lines.length, `'${expected}' for the block of line ${start + 1}`);
  }
  const search = lines.slice(start + 1, places.middle);
  const replace = lines.slice(places.middle + 1, places.end);
  return { block: { path, name: `the block at line ${start + 1}`, search, replace }, end: places.end };
}

function unexpected(lines: readonly string[], at: number, expected: string): EditError {
  const line = lines[at];
  const found = line === undefined ? 'the end' : `'${line.slice(0, 80)}'`;
  return new EditError(`line ${at + 1} of the blocks: found ${found}, expected ${expected}.`);
}

/** Lines that stand on both sides are kept as the file has them. */
export function hunkOf({ name, search, replace }: Block): Hunk {
  const shorter = Math.min(search.length, replace.length);
  let head = 0;
  while (head < shorter && search[head] === replace[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && search.at(-1 - tail) === replace.at(-1 - tail)) tail += 1;
  const as = (kind: HunkLine['kind']) => (text: string) => ({ kind, text });
  const lines = [
    ...search.slice(0, head).map(as('keep')),
    ...search.slice(head, search.length - tail).map(as('cut')),
    ...replace.slice(head, replace.length - tail).map(as('add')),
    ...search.slice(search.length - tail).map(as('keep')),
  ];
  return { name, headers: [], lines, atEnd: false };
}
