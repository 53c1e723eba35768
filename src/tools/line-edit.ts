/**
 * Where hunks land in a text. A hunk that could land in two places lands in none: guessing is how an edit ends up in the wrong function. All
 * here is pure.
 */

import { inScope, scopesOf } from './line-scope.ts';
import { looseLine, placesOf, type Shift, shiftBetween, shifted } from './line-search.ts';
import { type LineText, type Splice, spliceLines, toLines } from './line-text.ts';

/** Of a text that hunks are applied to: a longer one would hold up everything else in the process. */
export const MAX_EDIT_LINES = 1_000_000;

/** An edit that does not fit its file. The message says what was found, what was expected and what to do. */
export class EditError extends Error {
  override readonly name = 'EditError';
}

export interface HunkLine {
  readonly kind: 'keep' | 'cut' | 'add';
  readonly text: string;
}

export interface Hunk {
  /** For messages: `the hunk at line 5 of the patch`. */
  readonly name: string;
  /** Lines, outermost first, in whose block the change stands. */
  readonly headers: readonly string[];
  /** At least one of them changes something. */
  readonly lines: readonly HunkLine[];
  /** Whether its last line is the file's. */
  readonly atEnd: boolean;
}

export interface Edited {
  readonly text: string;
  /** What the model should know: how a hunk fitted that did not fit exactly. */
  readonly notes: readonly string[];
  /** First changed line of each hunk, in the text as it was, counted from 1. */
  readonly at: readonly number[];
}

interface Placement {
  readonly hunk: Hunk;
  readonly start: number;
  readonly shift: Shift | undefined;
}

interface Candidates {
  readonly hunk: Hunk;
  /** First lines, in order. */
  readonly starts: readonly number[];
  readonly shift?: Shift;
}

/**
 * The text with all hunks in their places: their old lines as they stand, in the order of the hunks, in the one way there is. Where lines stand
 * nowhere as written, white space and typographic characters may differ, if that fits in one place of the whole text. Throws `EditError`.
 */
export function applyHunks(path: string, text: string, hunks: readonly Hunk[]): Edited {
  refuseTooManyLines(path, text);
  const lines = toLines(text);
  const candidates = hunks.map((hunk) => candidatesOf(path, lines, hunk));
  const placements = theOneWay(path, candidates);
  const splices = placements.flatMap((placement) => splicesOf(path, placement));
  return {
    text: spliceLines(
      lines,
      splices.sort((a, b) => a.start - b.start),
    ),
    notes: placements.flatMap((placement) => noteOf(lines, placement)),
    at: placements.map((placement) => changeOf(placement.hunk, placement.start).from + 1),
  };
}

function refuseTooManyLines(path: string, text: string): void {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1;
  if (lines <= MAX_EDIT_LINES) return;
  throw new EditError(
    `'${path}' has ${lines} lines, more than the ${MAX_EDIT_LINES} that can be edited like this; use edit_file, which replaces a piece of text.`,
  );
}

function oldLines(hunk: Hunk): string[] {
  return hunk.lines.flatMap(({ kind, text }) => (kind === 'add' ? [] : [text]));
}

/** The lines that a hunk changes where it begins at `start`: from the first change up to, not including, what is behind the last. */
function changeOf({ lines }: Hunk, start: number): { readonly from: number; readonly to: number } {
  const first = lines.findIndex(({ kind }) => kind !== 'keep');
  const last = lines.findLastIndex(({ kind }) => kind !== 'keep');
  const cut = lines.slice(first, last + 1).filter(({ kind }) => kind !== 'add').length;
  return { from: start + first, to: start + first + cut };
}

function candidatesOf(path: string, text: LineText, hunk: Hunk): Candidates {
  const old = oldLines(hunk);
  if (old.length === 0) return { hunk, starts: [endFor(path, text, hunk)] };
  const everywhere = placesOf(text.lines, old);
  const loose = everywhere.length === 0 ? loosePlace(path, text, hunk) : undefined;
  const places = loose === undefined ? everywhere : [loose.start];
  const starts = narrowed(path, text, { hunk, places });
  return { hunk, starts, ...(loose === undefined ? {} : { shift: loose.shift }) };
}

/** A hunk that only adds has its place at the end of the text: anywhere else it needs a line beside it. */
function endFor(path: string, text: LineText, hunk: Hunk): number {
  if (hunk.headers.length === 0 || hunk.atEnd) return text.lines.length;
  throw new EditError(
    `${hunk.name} only adds lines and says where by @@ alone, so its place in '${path}' is not clear; put an unchanged line before or after them, with a space in front.`,
  );
}

function narrowed(
  path: string,
  text: LineText,
  { hunk, places }: { readonly hunk: Hunk; readonly places: readonly number[] },
): number[] {
  const length = oldLines(hunk).length;
  const ends = hunk.atEnd ? places.filter((start) => start + length === text.lines.length) : [...places];
  if (ends.length === 0) {
    throw new EditError(
      `${hunk.name} is marked as the end of '${path}', but its lines stand at ${lineList(places)} of ${text.lines.length}; leave the mark out, or give the lines at the end.`,
    );
  }
  if (hunk.headers.length === 0) return ends;
  const scopes = scopesOf(text.lines, hunk.headers);
  if (typeof scopes === 'string') throw new EditError(`${hunk.name} does not fit '${path}': ${scopes}`);
  const within = inScope(ends, scopes, (start) => changeOf(hunk, start).from);
  if (within.length > 0) return within;
  throw new EditError(
    `${hunk.name} does not fit '${path}': its lines stand at ${lineList(ends)}, but not below '${hunk.headers.join("', '")}'; correct the @@ line or leave it out.`,
  );
}

function loosePlace(path: string, text: LineText, hunk: Hunk): { start: number; shift: Shift } {
  const old = oldLines(hunk);
  const wanted = old.map(looseLine);
  const places = wanted.every((line) => line === '') ? [] : placesOf(text.lines.map(looseLine), wanted);
  const [start] = places;
  if (start === undefined) throw notFound(path, text, { hunk, old });
  if (places.length > 1) {
    throw new EditError(
      `${hunk.name} is not in '${path}' exactly; texts that differ in white space or typographic characters stand at ${lineList(places)}: copy the one that is meant exactly.`,
    );
  }
  const shift = shiftBetween(text.lines.slice(start, start + old.length), old);
  if (shift !== undefined) return { start, shift };
  throw new EditError(
    `${hunk.name} is not in '${path}' exactly; a text that differs in its white space stands at line ${start + 1}: copy it exactly.`,
  );
}

function notFound(
  path: string,
  text: LineText,
  { hunk, old }: { hunk: Hunk; old: readonly string[] },
): EditError {
  const message = (rest: string) => new EditError(`${hunk.name} is not in '${path}': ${rest}`);
  if (text.lines.length === 0) return message('the file is empty.');
  if (old.every((line) => /^\s*\d+\t/.test(line)))
    return message('its lines begin with numbers as read_file shows them, which are not part of the file.');
  const first = old.findIndex((line) => line.trim() !== '');
  const wanted = looseLine(old[first] ?? '');
  const at = text.lines.findIndex((line) => looseLine(line) === wanted);
  if (at === -1) {
    return message(
      `no line of the file is '${shortened(wanted)}'. Whole lines are compared: read the file again and copy them exactly.`,
    );
  }
  const same = old
    .slice(first)
    .findIndex((line, index) => looseLine(line) !== looseLine(text.lines[at + index] ?? ''));
  const differing = first + Math.max(0, same);
  return message(
    `it agrees with the file from line ${at + 1} on, up to line ${at + differing - first + 1}, expected '${shortened(old[differing] ?? '')}', found '${shortened(text.lines[at + differing - first] ?? 'the end of the file')}'; read the file again and copy the lines exactly.`,
  );
}

const SHOWN_CHARS = 80;

function shortened(line: string): string {
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS)}...` : line;
}

/** Throws where the hunks fit in no way, or in more than one. */
function theOneWay(path: string, candidates: readonly Candidates[]): Placement[] {
  const placed = (starts: readonly number[]) =>
    candidates.map(({ hunk, shift }, index) => ({ hunk, shift, start: starts[index] ?? 0 }));
  const first = inOrder(candidates);
  if (first === undefined) {
    const starts = candidates.map((each) => onlyStart(path, each));
    refuseOverlap(path, placed(starts));
    return placed(starts);
  }
  const last = inOrder(candidates, 'last') ?? first;
  const open = first.findIndex((start, index) => start !== last[index]);
  if (open === -1) return placed(first);
  const { hunk, starts } = candidates[open] as Candidates;
  throw ambiguous(path, hunk, starts);
}

/** The first (last) way to place the hunks one behind the other: which exists where any does, since each can only move on. */
function inOrder(candidates: readonly Candidates[], which: 'first' | 'last' = 'first'): number[] | undefined {
  const sign = which === 'first' ? 1 : -1;
  const ordered = which === 'first' ? candidates : candidates.toReversed();
  const placed: Placement[] = [];
  for (const { hunk, starts } of ordered) {
    const before = placed.at(-1);
    const fits = (start: number) => {
      if (before === undefined) return true;
      const one = { hunk, start, shift: undefined };
      return sign === 1 ? isBehind(one, before) : isBehind(before, one);
    };
    const start = which === 'first' ? starts.find(fits) : starts.findLast(fits);
    if (start === undefined) return undefined;
    placed.push({ hunk, start, shift: undefined });
  }
  const starts = placed.map(({ start }) => start);
  return which === 'first' ? starts : starts.toReversed();
}

/** Context may be shared with the hunk before, what that changes may not. */
function isBehind(later: Placement, earlier: Placement): boolean {
  const change = changeOf(earlier.hunk, earlier.start);
  return later.start > earlier.start && changeOf(later.hunk, later.start).from >= change.to;
}

function onlyStart(path: string, { hunk, starts }: Candidates): number {
  if (starts.length > 1) throw ambiguous(path, hunk, starts);
  return starts[0] ?? 0;
}

function refuseOverlap(path: string, placements: readonly Placement[]): void {
  const sorted = placements.toSorted((a, b) => a.start - b.start);
  for (const [index, later] of sorted.entries()) {
    const earlier = sorted[index - 1];
    if (earlier === undefined || isBehind(later, earlier)) continue;
    throw new EditError(
      `${later.hunk.name} and ${earlier.hunk.name} change the same lines of '${path}', at line ${later.start + 1}; make one of them.`,
    );
  }
}

function ambiguous(path: string, hunk: Hunk, starts: readonly number[]): EditError {
  return new EditError(
    `${hunk.name} fits in '${path}' at ${lineList(starts)}, expected one place; add unchanged lines around the change until it is the only one.`,
  );
}

const NAMED_LINES = 10;

function lineList(starts: readonly number[]): string {
  const named = starts.slice(0, NAMED_LINES).map((start) => start + 1);
  const more = starts.length > named.length ? ` and ${starts.length - named.length} more` : '';
  return `${starts.length === 1 ? 'line' : 'lines'} ${named.join(', ')}${more}`;
}

/** One splice per run of changed lines: kept lines keep their bytes. */
function splicesOf(path: string, { hunk, start, shift }: Placement): Splice[] {
  const splices: { start: number; count: number; lines: string[] }[] = [];
  let at = start;
  let open: (typeof splices)[number] | undefined;
  for (const { kind, text } of hunk.lines) {
    if (kind === 'keep') {
      open = undefined;
      at += 1;
      continue;
    }
    if (open === undefined) {
      open = { start: at, count: 0, lines: [] };
      splices.push(open);
    }
    if (kind === 'add') open.lines.push(inPlace(path, hunk, { text, shift }));
    else {
      open.count += 1;
      at += 1;
    }
  }
  return splices;
}

function inPlace(path: string, hunk: Hunk, line: { text: string; shift: Shift | undefined }): string {
  const text = line.shift === undefined ? line.text : shifted(line.text, line.shift);
  if (text !== undefined) return text;
  throw new EditError(
    `${hunk.name} is indented more than the lines of '${path}' that it means, but '${shortened(line.text)}' is not; copy the lines exactly.`,
  );
}

function noteOf(text: LineText, { hunk, start, shift }: Placement): string[] {
  if (oldLines(hunk).length === 0 && text.lines.length > 0) return [`${hunk.name} was added at the end`];
  if (shift === undefined) return [];
  const indented = shift.add !== '' || shift.drop !== '' ? '; new lines were indented like them' : '';
  return [
    `${hunk.name} fitted only line ${start + 1}, where white space or typographic characters differ${indented}`,
  ];
}
