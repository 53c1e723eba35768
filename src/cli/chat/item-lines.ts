/** What one item of a conversation looks like, in lines of at most so many columns. Everything that others wrote is neutralised. */
import { truncateToWidth, wrapTextWithAnsi } from '@earendil-works/pi-tui';
import { durationText } from '../../core/duration.ts';
import { dollars } from '../../core/money.ts';
import { type CallSeen, callLines } from '../call-lines.ts';
import { callSummary } from '../call-summary.ts';
import { imageLine } from '../image-line.ts';
import type { Look } from '../look.ts';
import { markdownLines } from '../markdown/markdown.ts';
import { askerText } from '../session-path.ts';
import { number, withCode } from '../summary.ts';
import { plural } from '../tool-lines.ts';
import { neutralised, oneLine } from '../untrusted-text.ts';
import { argumentLines, toolName } from '../whole-call.ts';
import type { Item, Tone } from './state.ts';

export interface Seen extends CallSeen {
  readonly sessionId: string | undefined;
  /** Who sits here, where it is known: their own words carry no name. */
  readonly me: string | undefined;
}

/** Lines of a thought, or a notice, that is opened. */
const MAX_ASIDE = 60;

export function itemLines(item: Item, seen: Seen): string[] {
  const { theme, signs, columns } = seen;
  switch (item.kind) {
    case 'said':
      return saidLines(item, seen);
    case 'thought':
      return asideLines(signs.thought, item.text, seen);
    case 'notice':
      return asideLines(signs.note, item.text, seen);
    case 'answer':
      return markdownLines(item.text, seen);
    case 'call':
      return callLines(item, seen);
    case 'asked':
      return askedLines(item, seen);
    case 'note':
      return hanging(toned(item.tone, seen)(signs.note), oneLine(item.text, 1_000), columns, theme.quiet);
    case 'ended':
      return hanging(...endedText(item, seen), columns);
    case 'told':
      return item.lines.flatMap((line) => wrapTextWithAnsi(line, columns));
  }
}

export function toned(tone: Tone, { theme }: Look): (text: string) => string {
  return theme[tone];
}

/** Text behind a sign, its further lines below the first. */
export function hanging(
  sign: string,
  text: string,
  columns: number,
  paint: (text: string) => string = (plain) => plain,
): string[] {
  const lines = wrapTextWithAnsi(text, Math.max(1, columns - 2)).map(paint);
  return lines.map((line, index) => truncateToWidth(`${index === 0 ? sign : ' '} ${line}`, columns, ''));
}

function saidLines({ text, files, by }: Extract<Item, { kind: 'said' }>, seen: Seen): string[] {
  const { theme, signs, columns, me } = seen;
  const isOther = by !== undefined && by !== me;
  const paint = isOther ? theme.other : theme.accent;
  const name = isOther ? [paint(theme.bold(oneLine(by, 40)))] : [];
  const words = neutralised(text)
    .trim()
    .split('\n')
    .flatMap((line) => wrapTextWithAnsi(line, Math.max(1, columns - 2)));
  const lines = words.map((line, index) => `${index === 0 ? paint(signs.prompt) : ' '} ${theme.bold(line)}`);
  const attached = files.map((file) => theme.quiet(`  ${imageLine(file)}`));
  return [...name, ...lines, ...attached].map((line) => truncateToWidth(line, columns, ''));
}

/** In one line, until it is opened. */
function asideLines(sign: string, text: string, { theme, columns, isOpen }: Seen): string[] {
  const whole = neutralised(text).trim();
  const room = Math.max(1, columns - 2);
  if (!isOpen) return [theme.quiet(`${sign} ${oneLine(whole, room)}`)];
  const lines = whole.split('\n').flatMap((line) => wrapTextWithAnsi(line, room));
  return lines.slice(0, MAX_ASIDE).map((line, index) => theme.quiet(`${index === 0 ? sign : ' '} ${line}`));
}

/** The whole call while it is asked about; what became of it, in a line, from then on. */
function askedLines({ approval }: Extract<Item, { kind: 'asked' }>, seen: Seen): string[] {
  const { theme, signs, columns, sessionId, isOpen } = seen;
  const asker = askerText(approval.path, sessionId ?? '');
  const by = asker === undefined ? '' : `${signs.separator}asked by ${asker}`;
  const [fate, tone] = FATES[approval.status] ?? [];
  if (fate !== undefined && tone !== undefined && !isOpen) {
    const line = `${theme[tone](fate)} ${callSummary(approval.tool, approval.arguments)}${by}`;
    return [truncateToWidth(`${theme.warning('?')} ${line}`, columns, '…')];
  }
  const title = `${theme.bold(toolName(approval.tool))} needs an approval${by}`;
  const call = argumentLines(approval.arguments, { columns }).trimEnd().split('\n');
  return [...hanging(theme.warning('?'), title, columns), ...call].map((line) =>
    truncateToWidth(line, columns, ''),
  );
}

const FATES: Readonly<Record<string, readonly [string, Tone] | undefined>> = {
  allowed: ['allowed', 'good'],
  denied: ['denied', 'bad'],
  expired: ['denied, as nobody answered in time:', 'warning'],
  closed: ['no longer asked about:', 'quiet'],
};

function endedText({ task }: Extract<Item, { kind: 'ended' }>, seen: Seen): [sign: string, text: string] {
  const { theme, signs } = seen;
  const { input, output, usd } = task.usage;
  const ms = Date.parse(task.endedAt ?? task.createdAt) - Date.parse(task.startedAt ?? task.createdAt);
  const measure = `${durationText(ms)}, ${task.turns} ${plural(task.turns, 'turn')}`;
  const money = usd === null ? [] : [dollars(usd)];
  const used = theme.quiet(
    ['', `${number(input)} tokens in, ${number(output)} out`, ...money].join(signs.separator),
  );
  if (task.status === 'succeeded')
    return [theme.good(signs.good), `${theme.bold('Done')} in ${measure}${used}`];
  if (task.status === 'cancelled') return [theme.warning(signs.bad), `Stopped after ${measure}${used}`];
  const { code, message } = task.error ?? { code: 'unknown', message: 'no reason was given' };
  return [theme.bad(signs.bad), `Failed after ${measure}: ${withCode(message, code)}`];
}
