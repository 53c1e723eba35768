/** What stands above the input: the question that is to be answered, or what a key would do. */

import { truncateToWidth, visibleWidth, wrapTextWithAnsi } from '@earendil-works/pi-tui';
import { callSummary } from '../call-summary.ts';
import type { Look } from '../look.ts';
import { askerText } from '../session-path.ts';
import { alwaysText } from '../whole-call.ts';
import { type ChatState, taskInHand } from './state.ts';

export interface HintOptions extends Look {
  readonly columns: number;
  /** What Ctrl-C was pressed for a moment ago. */
  readonly pressed: 'stop' | 'leave' | undefined;
  /** `always` was answered, and is asked about once more. */
  readonly isSure: boolean;
}

export function hintLines(state: ChatState, options: HintOptions): string[] {
  const lines = hintsFor(state, options);
  return lines.length === 0 ? [] : ['', ...lines];
}

function hintsFor(state: ChatState, options: HintOptions): string[] {
  const { theme, pressed, isSure } = options;
  const asked = questionLines(state, options);
  if (pressed === 'leave') return [...asked, theme.quiet('Ctrl-C again leaves the chat.')];
  if (pressed === 'stop')
    return [...asked, theme.quiet('The task is being stopped. Ctrl-C again leaves the chat.')];
  if (isSure || asked.length > 0) return asked;
  if (state.items.length === 0 && taskInHand(state) === undefined)
    return [theme.quiet('Say what is to be done. /help says what else there is, @ names a file.')];
  return [];
}

function questionLines({ asked, session }: ChatState, options: HintOptions): string[] {
  const { theme, isSure, columns } = options;
  const [first] = asked;
  if (first === undefined) return [];
  const asker = askerText(first.path, session?.id ?? '');
  const who = asker === undefined ? '' : ` (${asker})`;
  const more = asked.length > 1 ? theme.quiet(` and ${asked.length - 1} more`) : '';
  if (isSure) {
    // Nothing of it is cut.
    const rule = alwaysText(first.always, { columns })
      .trimEnd()
      .split('\n')
      .flatMap((line) => wrapTextWithAnsi(line, columns));
    return [...rule, `${theme.warning('?')} ${theme.bold('Allow that always?')} y, or anything else`];
  }
  const answers = `y${first.always === null ? '' : ', always'}, n, or n and why`;
  const call = callSummary(first.tool, first.arguments);
  const question = `${theme.warning('?')} ${theme.bold(`Allow ${call}${who}?`)}${more}`;
  // What can be answered is never what is cut.
  if (visibleWidth(`${question} ${answers}`) <= columns) return [`${question} ${answers}`];
  return [truncateToWidth(question, columns, '…'), `  ${answers}`];
}
