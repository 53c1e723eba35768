import { callAbout } from '../core/call-about.ts';
import { TODO } from '../core/tool-names.ts';
import { oneLine } from './untrusted-text.ts';

const SUMMARY_LENGTH = 72;
const REASON_LENGTH = 120;

/** `bash npm test`: a call's name and, in at most so many columns, the one argument that says most. `json`: valid or not. */
export function callSummary(name: string, json: string | undefined, columns = SUMMARY_LENGTH): string {
  const told = json === undefined ? '' : name === TODO ? howFar(json) : oneLine(callAbout(json), columns);
  return told === '' ? oneLine(name, SUMMARY_LENGTH) : `${oneLine(name, SUMMARY_LENGTH)} ${told}`;
}

/** `2 of 5 done, now: Mend it.` */
function howFar(json: string): string {
  const { items } = parsed(json) ?? {};
  if (!Array.isArray(items)) return '';
  const being = (wanted: string) => items.filter((item) => item?.status === wanted);
  const [now] = being('in_progress');
  const counts = `${being('done').length} of ${items.length} done`;
  return oneLine(typeof now?.text === 'string' ? `${counts}, now: ${now.text}` : counts, SUMMARY_LENGTH);
}

function parsed(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Why a call failed, in a few words: `exit 1`, `time-out`, or the beginning of what the model was told. */
export function failureSummary(text: string): string {
  // What its calls ended with is not how it ended.
  const report = /^Child agent failed: (.*)/.exec(text);
  if (report) return oneLine(report[1] ?? '', SUMMARY_LENGTH);
  const exit = /\bexit(?:ed)?(?: with)?(?: code| status)?:? (\d+)\b/i.exec(text);
  if (exit) return `exit ${exit[1]}`;
  const [first = '', second] = text.split('\n').filter((line) => line.trim() !== '');
  // `Error: InvalidArguments: the arguments of 'grep' do not fit:`, and what does not fit. The name of an error is for the model.
  const [, sentence = first] = /^Error: (?:[A-Za-z]\w*: )?(.+)$/.exec(first) ?? [];
  if (!/:\s*$/.test(sentence) || second === undefined) return oneLine(sentence, SUMMARY_LENGTH);
  return oneLine(second.replace(/^\s*- /, ''), REASON_LENGTH);
}

/** What the result of a call that succeeded leaves to be settled: `2 conflicts`; '' where nothing. */
export function conflictSummary(text: string): string {
  const [, told] = /(?:^|\n)Conflicts, which you have to settle .*:\n((?:- .*\n?)+)$/.exec(text) ?? [];
  if (told === undefined) return '';
  const lines = told.trimEnd().split('\n');
  const more = Number(/^- and (\d+) more$/.exec(lines.at(-1) ?? '')?.[1] ?? 1);
  const count = lines.length - 1 + more;
  return count === 1 ? '1 conflict' : `${count} conflicts`;
}

/** A call that was interrupted: whether it had begun is said by what the model was told. */
export function interruptionSummary(text: string): string {
  return text.startsWith('Not run:') ? 'not run' : '';
}
