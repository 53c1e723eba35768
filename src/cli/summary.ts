import type { Task, Usage } from '../api/wire.ts';
import { durationText } from '../core/duration.ts';
import { dollars } from '../core/money.ts';
import { signsOn } from './look.ts';
import { inWords } from './sentences.ts';
import type { Style } from './terminal.ts';
import { plural } from './tool-lines.ts';
import { neutralised, oneLine } from './untrusted-text.ts';

const MESSAGE_LENGTH = 500;

/**
 * The ending lines of a task: how it ended, what it used, and what to type next. `canContinue`: whether `run --continue`,
 * typed where the person stands, finds its session. `copy`: of a session that works on a copy of their files, whether it has changed any.
 */
export function endingLines(task: Task, style: Style, next: Next): string {
  const inRoom = (line: string) => inWords(line, style.columns);
  const clean = (line: string) => inRoom(neutralised(line));
  const usage = usageLines(task.usage).map((line) => style.dim(clean(`  ${line}`)));
  const lines = [inRoom(headline(task, style)), ...usage, ...nextLines(task, { ...next, style }).map(clean)];
  return `${lines.join('\n')}\n`;
}

interface Next {
  readonly canContinue: boolean;
  readonly copy?: 'changed' | 'unchanged' | undefined;
}

function headline(task: Task, style: Style): string {
  const turns = `${task.turns} ${plural(task.turns, 'turn')}`;
  const measure = `${duration(task)}, ${turns}`;
  const { good, bad } = signsOn(style);
  if (task.status === 'succeeded') return `${style.green(good)} ${style.bold('Done')} in ${measure}`;
  if (task.status === 'cancelled') return `${style.yellow(bad)} Cancelled after ${measure}`;
  const { code, message } = task.error ?? { code: 'unknown', message: 'no reason was given' };
  return `${style.red(bad)} Failed after ${measure}: ${withCode(message, code)}`;
}

/** `What went wrong (its_code)`, on one line. */
export function withCode(message: string, code: string): string {
  const sentence = oneLine(message, MESSAGE_LENGTH).replace(/\.$/, '');
  return `${sentence} (${oneLine(code, MESSAGE_LENGTH)})`;
}

/** Tokens per model, cached share, money, what was broken off, tool success rate. */
export function usageLines(usage: Usage): string[] {
  const models = usage.byModel.map((each) => {
    const { model, input, output, cached, reasoning } = each;
    const thought = reasoning > 0 ? ` (${number(reasoning)} reasoning)` : '';
    return `${neutralised(model)}: ${number(input)} tokens in (${percent(cached, input)} cached), ${number(output)} out${thought}, ${priceOf(each)}`;
  });
  const { toolCalls, toolFailures, brokenOff } = usage;
  const lost = brokenOff.requests === 0 ? [] : [brokenOffLine(brokenOff)];
  const good = toolCalls - toolFailures;
  const tools = `tools: ${good} of ${toolCalls} ${plural(toolCalls, 'call')} succeeded (${percent(good, toolCalls)})`;
  return [...models, ...lost, ...(toolCalls === 0 ? [] : [tools])];
}

function priceOf({ usd, unpriced }: Pick<Usage, 'usd' | 'unpriced'>): string {
  if (usd === null) return 'price unknown';
  const unknown = `${number(unpriced)} ${plural(unpriced, 'request')} of unknown price`;
  return unpriced === 0 ? dollars(usd) : `${dollars(usd)} and ${unknown}`;
}

/** They count against limits, since nobody heard what they cost. */
export function brokenOffLine({ requests, tokens, usd }: Usage['brokenOff']): string {
  const money = usd === null ? '' : `, ${dollars(usd)},`;
  const were = requests === 1 ? 'was' : 'were';
  return `${number(requests)} ${plural(requests, 'request')} ${were} broken off: up to ${number(tokens)} tokens${money} may have been charged`;
}

/** The names of limits, as `--limit` knows them, by what a task that reached one ends with. */
const LIMITS: Readonly<Record<string, string>> = {
  limit_turns: 'turns',
  limit_tree_turns: 'treeTurns',
  limit_tokens: 'tokens',
  limit_usd: 'usd',
  limit_seconds: 'seconds',
};

function nextLines(task: Task, { style, canContinue, copy }: Next & { readonly style: Style }): string[] {
  const more = signsOn(style).mark;
  const limit = LIMITS[task.error?.code ?? ''];
  if (copy === 'changed' && task.status === 'succeeded') {
    return [`Next: capybara diff ${task.sessionId}, and capybara apply ${task.sessionId} to have it here`];
  }
  if (canContinue && task.status === 'succeeded') return [`Next: capybara run --continue "${more}"`];
  if (canContinue && limit !== undefined) return [`Next: capybara run --continue --limit ${limit}=N "go on"`];
  if (task.error?.code === 'model_not_found') return ['Next: capybara models list'];
  const isDiff = task.status === 'succeeded' && copy !== 'unchanged';
  return [`Next: capybara ${isDiff ? `diff ${task.sessionId}` : `tasks show ${task.id}`}`];
}

/** `12,345`: the same everywhere. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}

/** `812`, `12.3k`, `1.2M`. */
export function shortNumber(count: number): string {
  if (count < 1_000) return String(count);
  const [value, unit] = count < 999_500 ? [count / 1_000, 'k'] : [count / 1_000_000, 'M'];
  return `${value < 99.95 ? Number(value.toFixed(1)) : Math.round(value)}${unit}`;
}

export function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${Math.round((100 * part) / whole)} %`;
}

function duration(task: Task): string {
  const start = Date.parse(task.startedAt ?? task.createdAt);
  const ms = Date.parse(task.endedAt ?? task.startedAt ?? task.createdAt) - start;
  return durationText(ms);
}
