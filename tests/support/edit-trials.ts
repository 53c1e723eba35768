/**
 * Generated files and edits, and an oracle that knows where each may land. A file is full of lines that are alike. An edit is made as a model makes one: a place is
 * chosen, and what stands there is described, sometimes with the slips of a model. Whatever comes back must be the file with the change in that
 * very place, or a refusal; and an edit that says plainly where it belongs may not be refused.
 */
import { editText } from '../../src/tools/edit-file.ts';
import { applyHunks, EditError } from '../../src/tools/line-edit.ts';
import { parsePatch } from '../../src/tools/patch-format.ts';
import { applyBlock } from '../../src/tools/search-replace.ts';
import { parseBlocks } from '../../src/tools/search-replace-format.ts';

/** A line with its end. */
interface Line {
  readonly text: string;
  readonly end: string;
}

export interface Trial {
  readonly tool: 'edit_file' | 'search_replace' | 'apply_patch';
  readonly before: string;
  /** The tool's argument. */
  readonly argument: Record<string, unknown>;
  /** The only text that may come out; undefined: the place is gone, nothing may. */
  readonly intended: string | undefined;
  /** Whether what is described stands in one place alone. */
  readonly isPlain: boolean;
}

export type Verdict = 'landed' | 'refused' | 'wrong' | 'needlessly refused';

/** The same seed makes the same trial. */
export function makeTrial(seed: number): Trial {
  const chance = new Chance(seed);
  const lines = makeFile(chance);
  const tool = chance.pick(['edit_file', 'search_replace', 'apply_patch'] as const);
  if (tool === 'edit_file') return editFileTrial(chance, lines);
  return tool === 'search_replace' ? blocksTrial(chance, lines) : patchTrial(chance, lines);
}

export function judge(trial: Trial, result: string | EditError): Verdict {
  if (typeof result !== 'string') return trial.isPlain ? 'needlessly refused' : 'refused';
  if (result === trial.intended) return 'landed';
  // Of lines that look alike, a block does not say which one stays: they may end differently.
  const isMixed = /\r\n/.test(trial.before) && /(^|[^\r])\n/.test(trial.before);
  const plain = (text: string) =>
    slipped(isMixed ? text.replaceAll('\r\n', '\n') : text, 'quotes').replace(/[ \t]+(?=\r?$)/gm, '');
  const isAlike = trial.intended !== undefined && plain(result) === plain(trial.intended);
  return trial.tool === 'search_replace' && isAlike ? 'landed' : 'wrong';
}

/** The text that the tool makes, without files. */
export function runTrial({ tool, before, argument }: Trial): string | EditError {
  try {
    if (tool === 'edit_file') {
      const edit = { old: String(argument.old_string), new: String(argument.new_string), all: false };
      return editText('f', before, edit).text;
    }
    if (tool === 'search_replace') {
      return parseBlocks(String(argument.blocks)).reduce(
        (text, block) => applyBlock(text, block).text,
        before,
      );
    }
    const [operation] = parsePatch(String(argument.input));
    if (operation?.type !== 'update') throw new Error('expected an update');
    return applyHunks('f', before, operation.hunks).text;
  } catch (error) {
    if (error instanceof EditError) return error;
    throw error;
  }
}

class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 up to, not including, `limit`. Mulberry32. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  one(inEvery: number): boolean {
    return this.below(inEvery) === 0;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}

const STATEMENTS = [
  'return 0',
  'x = 1',
  'say(“x”)',
  'say("x")',
  '',
  '}',
  'a',
  'aa',
  '# a – b',
  'if a:',
  '- a',
  '+ a',
  '@@',
  '==',
];
const HEADERS = ['class A:', 'def f():', 'def g():', 'void f()'];

function makeFile(chance: Chance): Line[] {
  const ends = chance.pick([['\n'], ['\r\n'], ['\n', '\r\n']]);
  const indent = chance.pick(['    ', '  ', '\t']);
  const lines: Line[] = [];
  let depth = 0;
  for (let count = chance.below(40) + 1; count > 0; count--) {
    if (chance.one(3)) depth = chance.below(3);
    const isHeader = chance.one(4);
    const space = chance.one(12) ? chance.pick([' ', '\t', '\u00a0']) : '';
    const text = isHeader ? chance.pick(HEADERS) : chance.pick(STATEMENTS);
    lines.push({ text: (text === '' ? '' : indent.repeat(depth)) + text + space, end: chance.pick(ends) });
    if (isHeader) depth += 1;
  }
  const last = lines.at(-1) as Line;
  if (last.text !== '' && chance.one(3)) lines[lines.length - 1] = { ...last, end: '' };
  return chance.one(6)
    ? [{ ...(lines[0] as Line), text: `\ufeff${lines[0]?.text}` }, ...lines.slice(1)]
    : lines;
}

const textOf = (lines: readonly Line[]) => lines.map(({ text, end }) => text + end).join('');
/** As a model sees a line. */
const seen = ({ text }: Line) => text.replace(/^\ufeff/, '');

interface Change {
  /** First line that goes, and the line behind the last. */
  readonly from: number;
  readonly to: number;
  readonly fresh: readonly string[];
}

function makeChange(chance: Chance, lines: readonly Line[], after: number): Change {
  const from = after + chance.below(lines.length - after);
  const to = Math.min(lines.length, from + chance.below(4));
  const indent = /^[ \t]*/.exec(seen(lines[from] as Line))?.[0] ?? '';
  const count = from === to ? 1 + chance.below(3) : chance.below(4);
  return { from, to, fresh: Array.from({ length: count }, () => `${indent}new ${chance.below(1_000_000)}`) };
}

/** What the file must be: written down here once more, without the code under test. */
function changed(lines: readonly Line[], changes: readonly Change[]): string {
  const result = [...lines];
  const usual = lines.find(({ end }) => end !== '')?.end ?? '\n';
  for (const { from, to, fresh } of changes.toReversed()) {
    const gone = lines.slice(from, to);
    const model = gone.length > 0 ? gone : [lines[from - 1] ?? lines[from]];
    const made = fresh.map((text, index) => ({ text, end: (model[index] ?? model.at(-1))?.end || usual }));
    result.splice(from, to - from, ...made);
  }
  const bare = lines.at(-1)?.end === '';
  const mark = lines[0]?.text.startsWith('\ufeff') ? '\ufeff' : '';
  const whole = result.map((line, index) => {
    const end = index < result.length - 1 ? line.end || usual : bare ? '' : line.end;
    return seen(line) + end;
  });
  return mark + whole.join('');
}

/** What a model does to lines as it copies them; what it makes then is not what stands there, but means it. */
type Slip = 'none' | 'ends' | 'quotes' | 'outdented' | 'invented';

function slipOf(chance: Chance): Slip {
  return chance.one(3) ? chance.pick(['ends', 'quotes', 'outdented', 'invented'] as const) : 'none';
}

function slipped(text: string, slip: Slip): string {
  if (slip === 'ends') return text.trimEnd();
  if (slip === 'quotes') return text.replace(/[“”]/g, '"').replaceAll('–', '-').replaceAll('\u00a0', ' ');
  if (slip === 'invented') return `${text}?`;
  return text;
}

/** What every line but empty ones begins with. */
function commonIndent(texts: readonly string[]): string {
  const indents = texts.filter((text) => text.trim() !== '').map((text) => /^[ \t]*/.exec(text)?.[0] ?? '');
  const shortest = indents.sort((a, b) => a.length - b.length)[0] ?? '';
  return indents.every((indent) => indent.startsWith(shortest)) ? shortest : '';
}

interface Described {
  readonly start: number;
  readonly end: number;
  readonly hunk: readonly { readonly mark: ' ' | '-' | '+'; readonly text: string }[];
}

/** The change with lines around it, as a model writes them. What names another place by a slip is no slip, but another edit: it is written without. */
function describeChange(chance: Chance, lines: readonly Line[], change: Change, slip: Slip): Described {
  const start = Math.max(0, change.from - chance.below(4));
  const end = Math.min(lines.length, change.to + chance.below(4));
  const described = written(lines, { ...change, start, end }, slip);
  const isThere = occurrences(lines.map(seen), oldOf(described)) > 0;
  return isThere ? written(lines, { ...change, start, end }, 'none') : described;
}

function written(
  lines: readonly Line[],
  change: Change & { start: number; end: number },
  slip: Slip,
): Described {
  const { start, end } = change;
  const old = (from: number, to: number) => lines.slice(from, to).map(seen);
  const drop = slip === 'outdented' ? commonIndent([...old(start, end), ...change.fresh]) : '';
  const dropped = (text: string) => (text.trim() === '' ? text : text.slice(drop.length));
  const as = (mark: ' ' | '-' | '+') => (text: string) => ({
    mark,
    text: dropped(mark === '+' ? text : slipped(text, slip)),
  });
  return {
    start,
    end,
    hunk: [
      ...old(start, change.from).map(as(' ')),
      ...old(change.from, change.to).map(as('-')),
      ...change.fresh.map(as('+')),
      ...old(change.to, end).map(as(' ')),
    ],
  };
}

function oldOf({ hunk }: Described): string[] {
  return hunk.filter(({ mark }) => mark !== '+').map(({ text }) => text);
}

/** Counted line by line, the slow way. */
function occurrences(lines: readonly string[], old: readonly string[]): number {
  return lines.filter((_, start) => old.every((text, index) => lines[start + index] === text)).length;
}

/** Whether the place that is described is there. */
function isPossible(lines: readonly Line[], described: Described, slip: Slip): boolean {
  const old = oldOf(described);
  return slip !== 'invented' || old.length === 0 || occurrences(lines.map(seen), old) > 0;
}

function isPlain(lines: readonly Line[], described: Described): boolean {
  const old = oldOf(described);
  return old.length > 0 && occurrences(lines.map(seen), old) === 1;
}

function patchTrial(chance: Chance, lines: readonly Line[]): Trial {
  const changes: Change[] = [];
  for (let count = 1 + chance.below(3), after = 0; count > 0 && after < lines.length; count--) {
    const change = makeChange(chance, lines, after);
    changes.push(change);
    after = Math.max(change.to, change.from + 1) + 7;
  }
  const slip = slipOf(chance);
  const described = changes.map((change) => describeChange(chance, lines, change, slip));
  // Nothing but lines to add: they belong at the end.
  const bare = changes.findIndex((_, index) => oldOf(described[index] as Described).length === 0);
  const atEnd = { ...(changes[bare] as Change), from: lines.length, to: lines.length };
  const all = bare === -1 ? changes : [atEnd];
  const told = bare === -1 ? described : [described[bare] as Described];
  const parts = told.flatMap((each) => [
    ...headersFor(chance, lines, each),
    ...each.hunk.map(({ mark, text }) => mark + text),
    ...(each.end === lines.length && chance.one(3) ? ['*** End of File'] : []),
  ]);
  return {
    tool: 'apply_patch',
    before: textOf(lines),
    argument: { input: ['*** Begin Patch', '*** Update File: f', ...parts, '*** End Patch'].join('\n') },
    intended: told.every((each) => isPossible(lines, each, slip)) ? changed(lines, all) : undefined,
    isPlain: told.every((each) => isPlain(lines, each)),
  };
}

/** Nothing, or the lines whose blocks hold the change: the next one above that is indented less, and the next above that. */
function headersFor(chance: Chance, lines: readonly Line[], { start, hunk }: Described): string[] {
  if (chance.one(2)) return ['@@'];
  const first = start + hunk.findIndex(({ mark }) => mark !== ' ');
  const headers: string[] = [];
  let depth = indentAt(lines, first);
  for (let index = first - 1; index >= 0; index--) {
    const text = seen(lines[index] as Line);
    if (text.trim() === '' || indentAt(lines, index) >= depth) continue;
    if (text.trim() === '@@') break;
    depth = indentAt(lines, index);
    headers.unshift(`@@ ${chance.one(3) ? text.trim() : text}`);
  }
  const wanted = chance.one(2) ? headers.slice(-1) : headers;
  return wanted.length === 0 ? ['@@'] : wanted;
}

function indentAt(lines: readonly Line[], index: number): number {
  const text = lines[index] === undefined ? '' : seen(lines[index]);
  return text.length - text.trimStart().length;
}

function blocksTrial(chance: Chance, lines: readonly Line[]): Trial {
  const change = makeChange(chance, lines, 0);
  const slip = slipOf(chance);
  const described = describeChange(chance, lines, change, slip);
  const side = (without: string) =>
    described.hunk.filter(({ mark }) => mark !== without).map(({ text }) => text);
  const search = side('+');
  const parts = ['f', '<<<<<<< SEARCH', ...search, '=======', ...side('-'), '>>>>>>> REPLACE'];
  return {
    tool: 'search_replace',
    before: textOf(lines),
    argument: { blocks: parts.join('\n') },
    intended: search.length > 0 && isPossible(lines, described, slip) ? changed(lines, [change]) : undefined,
    isPlain: isPlain(lines, described),
  };
}

/** A piece of the text, which may begin and end within lines. */
function editFileTrial(chance: Chance, lines: readonly Line[]): Trial {
  const before = textOf(lines);
  const body = before.replace(/^\ufeff/, '');
  const from = chance.below(body.length);
  const to = Math.min(body.length, from + 1 + chance.below(60));
  const piece = body.slice(from, to).replace(/^\n/, '').replace(/\r$/, '');
  const at = before.length - body.length + from + (body[from] === '\n' ? 1 : 0);
  const shown = piece.replaceAll('\r\n', '\n');
  const plain = before.replaceAll('\r\n', '\n');
  const slip = slipped(shown, chance.pick(['none', 'none', 'quotes', 'invented']));
  const old = plain.includes(slip) ? shown : slip;
  const fresh = chance.one(4)
    ? ''
    : chance.pick([`new ${chance.below(1000)}`, `new\nlines ${chance.below(1000)}`, `${old}\nmore`]);
  const count =
    old === '' ? 0 : Array.from(plain, (_, index) => plain.startsWith(old, index)).filter(Boolean).length;
  const isTrue = old !== '' && old === shown;
  return {
    tool: 'edit_file',
    before,
    argument: { path: 'f', old_string: old, new_string: fresh },
    intended: isTrue
      ? before.slice(0, at) + withEnds(fresh, piece, before) + before.slice(at + piece.length)
      : undefined,
    isPlain: isTrue && old !== fresh && count === 1,
  };
}

/** New lines end as those they replace. */
function withEnds(fresh: string, piece: string, whole: string): string {
  const ends = piece.match(/\r?\n/g) ?? [];
  const isWindows = whole.includes('\r\n') && !/(^|[^\r])\n/.test(whole);
  return fresh
    .split('\n')
    .map(
      (text, index) =>
        (index === 0 ? '' : (ends[index - 1] ?? ends.at(-1) ?? (isWindows ? '\r\n' : '\n'))) + text,
    )
    .join('');
}
