/** A tool call: one line, which opens into what it was given and what came of it. */
import { truncateToWidth, wrapTextWithAnsi } from '@earendil-works/pi-tui';
import { DELEGATE_TASK, MERGE_CHILD } from '../../core/tool-names.ts';
import { callSummary, conflictSummary, failureSummary, interruptionSummary } from '../call-summary.ts';
import { imageLine } from '../image-line.ts';
import { patchText } from '../patch.ts';
import { neutralised } from '../untrusted-text.ts';
import { argumentLines } from '../whole-call.ts';
import type { Seen } from './item-lines.ts';
import type { CallItem } from './state.ts';

/** Lines of live output below a call that runs, and of what came of one that is opened. */
export const LIVE_LINES = 6;
export const OPEN_LINES = 60;

export function callLines(call: CallItem, seen: Seen): string[] {
  const { columns, theme } = seen;
  const head = truncateToWidth(headline(call, seen), columns, '…');
  const files = call.files.map((file) => theme.quiet(`  ${imageLine(file)}`));
  const below = seen.isOpen ? detailLines(call, seen) : liveLines(call, seen);
  return [head, ...files, ...below].map((line) => truncateToWidth(line, columns, ''));
}

function headline(call: CallItem, { theme, signs }: Seen): string {
  const label = callSummary(call.name, call.arguments);
  const why = whyOf(call);
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

function whyOf({ name, status, result }: CallItem): string {
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

function liveLines({ output }: CallItem, { theme, columns }: Seen): string[] {
  const lines = shownLines(output, columns).slice(-LIVE_LINES);
  return lines.map((line) => theme.quiet(`  ${line}`));
}

function shownLines(text: string, columns: number): string[] {
  const clean = neutralised(text).replaceAll('\t', '    ').trimEnd();
  if (clean === '') return [];
  return clean.split('\n').map((line) => truncateToWidth(line, Math.max(1, columns - 2), '…'));
}

function detailLines(call: CallItem, seen: Seen): string[] {
  const { theme, columns } = seen;
  const came = call.result || call.output;
  const lines = isDiff(came)
    ? diffLines(came, seen)
    : neutralised(came)
        .replaceAll('\t', '    ')
        .trimEnd()
        .split('\n')
        .flatMap((line) => wrapTextWithAnsi(line, Math.max(1, columns - 2)))
        .map((line) => theme.quiet(line));
  const more = lines.length - OPEN_LINES;
  const rest = more > 0 ? [theme.quiet(`  … ${more} more lines`)] : [];
  return [...givenLines(call, seen), ...lines.slice(0, OPEN_LINES).map((line) => `  ${line}`), ...rest];
}

/** An edit is shown as what went and what came; any other call by its arguments. */
function givenLines(call: CallItem, seen: Seen): string[] {
  const { old, fresh, patch } = editOf(call.arguments);
  if (patch !== undefined) return diffLines(patch, seen).map((line) => `  ${line}`);
  if (fresh !== undefined) {
    const { theme, columns } = seen;
    const marked = (text: string, sign: string, paint: (line: string) => string) =>
      shownLines(text, columns - 2).map((line) => paint(`  ${sign} ${line}`));
    return [...marked(old ?? '', '-', theme.removed), ...marked(fresh, '+', theme.added)].slice(
      0,
      OPEN_LINES,
    );
  }
  const lines = argumentLines(call.arguments, { columns: seen.columns }).trimEnd().split('\n');
  return lines.slice(0, OPEN_LINES);
}

function editOf(json: string): { old?: string; fresh?: string; patch?: string } {
  const value = parsed(json);
  const text = (key: string) => (typeof value[key] === 'string' ? { [key]: value[key] } : {});
  const { old_string, new_string, content, patch } = {
    ...text('old_string'),
    ...text('new_string'),
    ...text('content'),
    ...text('patch'),
  } as Record<string, string>;
  if (patch !== undefined) return { patch };
  const fresh = new_string ?? content;
  return { ...(old_string !== undefined && { old: old_string }), ...(fresh !== undefined && { fresh }) };
}

function parsed(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function isDiff(text: string): boolean {
  return /^(diff --git |--- |@@ )/m.test(text) && /^[+-]/m.test(text);
}

function diffLines(text: string, { style }: Seen): string[] {
  return patchText(Buffer.from(text), style).trimEnd().replaceAll('\t', '    ').split('\n');
}
