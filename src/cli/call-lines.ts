/** A tool call: one line, which opens into what it was given and what came of it. Everything that others wrote is neutralised. */
import { truncateToWidth, wrapTextWithAnsi } from '@earendil-works/pi-tui';
import type { FilePart } from '../api/wire.ts';
import type { ClosedCallStatus } from '../core/entry.ts';
import { DELEGATE_TASK, MERGE_CHILD } from '../core/tool-names.ts';
import { callSummary, conflictSummary, failureSummary, interruptionSummary } from './call-summary.ts';
import { editLines } from './edit-lines.ts';
import { imageLine } from './image-line.ts';
import type { Look } from './look.ts';
import { patchText } from './patch.ts';
import { cut, widthOf, withoutTabs } from './text-width.ts';
import { neutralised } from './untrusted-text.ts';
import { argumentLines } from './whole-call.ts';

export interface ShownCall {
  readonly name: string;
  /** JSON text as the model wrote it. */
  readonly arguments: string;
  readonly status: 'requested' | 'started' | ClosedCallStatus;
  /** As it came live, its end. */
  readonly output: string;
  /** What the model was told. */
  readonly result: string;
  readonly files: readonly FilePart[];
}

export interface CallSeen extends Look {
  readonly columns: number;
  /** Whether it is opened into what it holds. */
  readonly isOpen: boolean;
}

/** Lines of live output below a call that runs, and of what came of one that is opened. */
export const LIVE_LINES = 6;
export const OPEN_LINES = 60;
/** Columns of what a call is about, however long the reason is why it failed. */
const MIN_ABOUT = 24;
/** Lines of an edit, and of what a call that failed said last, that are shown of one that is not opened. */
export const BRIEF_LINES = 12;

export function callLines(call: ShownCall, seen: CallSeen): string[] {
  const { columns } = seen;
  const below = seen.isOpen ? detailLines(call, seen) : liveLines(call, seen);
  return [...headLines(call, seen), ...below].map((line) => fitted(line, columns));
}

/** What became of it, and the images that its model was shown. `measure`: for how long, where that is to be told. */
export function headLines(call: ShownCall, seen: CallSeen, measure = ''): string[] {
  const { columns, theme, signs } = seen;
  const end = measure === '' ? '' : ` ${theme.quiet(measure)}`;
  const room = columns - (measure === '' ? 0 : measure.length + 1);
  const head = fitted(headline(call, seen, room), room, signs.mark) + end;
  return [head, ...call.files.map((file) => theme.quiet(`  ${imageLine(file)}`))];
}

function headline(call: ShownCall, { theme, signs }: Look, columns: number): string {
  const why = whyOf(call);
  const around = `? ${call.name} ${why === '' ? '' : ` (${why})`}`;
  const label = callSummary(call.name, call.arguments, Math.max(MIN_ABOUT, columns - widthOf(around)));
  const told = why === '' ? label : `${label} ${theme.quiet(`(${why})`)}`;
  switch (call.status) {
    case 'requested':
    case 'started':
      return `${theme.accent(signs.running)} ${told}`;
    case 'succeeded':
      return `${theme.good(signs.good)} ${told}`;
    case 'unknown':
      return `${theme.warning('?')} ${told}`;
    default:
      return `${theme.bad(signs.bad)} ${told}`;
  }
}

function whyOf({ name, status, result }: ShownCall): string {
  switch (status) {
    case 'succeeded':
      return name === DELEGATE_TASK || name === MERGE_CHILD ? conflictSummary(result) : '';
    case 'failed':
      return failureSummary(result);
    case 'interrupted':
      return interruptionSummary(result) || status;
    case 'unknown':
      return 'its outcome is unknown';
    case 'denied':
      return status;
    default:
      return '';
  }
}

export function liveLines({ output }: ShownCall, { theme, columns, signs }: CallSeen): string[] {
  const lines = shownLines(output, columns - 2, signs.mark).slice(-LIVE_LINES);
  return lines.map((line) => theme.quiet(`  ${line}`));
}

/** Of a call that is over: the diff of an edit that was made, and the last words of what failed. */
export function briefLines(call: ShownCall, seen: CallSeen): string[] {
  const { theme, columns, signs } = seen;
  if (call.status === 'succeeded') {
    const lines = changeLines(call, seen) ?? [];
    return bounded(lines, { limit: BRIEF_LINES, seen });
  }
  if (call.status !== 'failed') return [];
  const lines = shownLines(call.result, columns - 2, signs.mark);
  // One line of it stands in the call's own.
  return lines.length < 2 ? [] : lines.slice(-BRIEF_LINES).map((line) => theme.quiet(`  ${line}`));
}

export function detailLines(call: ShownCall, seen: CallSeen): string[] {
  return [...givenLines(call, seen), ...cameLines(call, seen)].map((line) => fitted(line, seen.columns));
}

function cameLines(call: ShownCall, seen: CallSeen): string[] {
  const { theme, columns } = seen;
  const came = call.result || call.output;
  const room = Math.max(1, columns - 2);
  const lines = isDiff(came)
    ? diffLines(came, seen)
    : cleanLines(came)
        .flatMap((line) => wrapTextWithAnsi(line, room))
        .map((line) => theme.quiet(line));
  return bounded(
    lines.map((line) => `  ${line}`),
    { limit: OPEN_LINES, seen },
  );
}

/** An edit is shown as what went and what came; any other call by its arguments. */
function givenLines(call: ShownCall, seen: CallSeen): string[] {
  const { columns } = seen;
  const lines = changeLines(call, seen) ?? argumentLines(call.arguments, { columns }).trimEnd().split('\n');
  return bounded(lines, { limit: OPEN_LINES, seen });
}

function changeLines(call: ShownCall, { theme, columns, signs }: CallSeen): string[] | undefined {
  const paints = { '+': theme.added, '-': theme.removed, ' ': theme.quiet, '@': theme.quiet };
  return editLines(call.arguments)?.map(({ sign, text }) => {
    const line = cleanLines(text).join(' ');
    const shown = sign === '@' ? line : `${sign} ${line}`;
    return paints[sign](cut(`  ${shown}`.trimEnd(), columns, signs.mark));
  });
}

/** What is painted and cut ends what it is painted with. */
function fitted(line: string, columns: number, mark = ''): string {
  return line.includes('\x1b') ? truncateToWidth(line, columns, mark) : cut(line, columns, mark);
}

function bounded(
  lines: readonly string[],
  { limit, seen: { theme, signs } }: { readonly limit: number; readonly seen: CallSeen },
): string[] {
  const more = lines.length - limit;
  // A line that says so takes no less room than one more.
  if (more <= 1) return [...lines];
  return [...lines.slice(0, limit), theme.quiet(`  ${signs.mark} ${more} more lines`)];
}

function cleanLines(text: string): string[] {
  return neutralised(text).trimEnd().split('\n').map(withoutTabs);
}

function shownLines(text: string, columns: number, mark: string): string[] {
  const lines = cleanLines(text);
  if (lines.length === 1 && lines[0] === '') return [];
  return lines.map((line) => cut(line, Math.max(1, columns), mark));
}

function isDiff(text: string): boolean {
  return /^(diff --git |--- |@@ )/m.test(text) && /^[+-]/m.test(text);
}

function diffLines(text: string, { style }: Look): string[] {
  return patchText(Buffer.from(text), style).trimEnd().replaceAll('\t', '    ').split('\n');
}
