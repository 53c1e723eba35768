/** What a task did, computed from its execution log and never from what its model says of it. */
import type { ClosedCallStatus } from './entry.ts';

export interface Execution {
  /** As people see it: `ses_…`. */
  readonly sessionId: string;
  readonly status: 'completed' | 'failed' | 'cancelled';
  /** Milliseconds, without what was spent on waiting for a person. */
  readonly ms: number;
  /** In the order in which they ended. */
  readonly calls: readonly ExecutedCall[];
  /** Paths below the workspace, as its snapshots have it: created, changed and removed ones. */
  readonly modified: readonly string[];
  readonly usage: ExecutionUsage;
}

export interface ExecutedCall {
  readonly name: string;
  readonly status: ClosedCallStatus;
  /** Of a tool that reads a file: its path. */
  readonly read?: string | undefined;
  /** Of one that failed: a line that says how, such as `exit 1 (npm test)`. */
  readonly error?: string | undefined;
  /** What it was about, in a line: a path, a command. */
  readonly about?: string | undefined;
}

export interface ExecutionUsage {
  readonly input: number;
  readonly output: number;
  /** US dollars, a decimal number in text; null: nobody knows the prices. */
  readonly usd: string | null;
}

/** Paths, and errors, that are named; of the rest only the number is told. */
export const NAMED_FILES = 10;
export const NAMED_ERRORS = 5;
const ERROR_CHARS = 160;

/** For a model: what it is told of a task that it delegated, beside the answer. */
export function executionSummary(execution: Execution): string {
  const { sessionId, status, ms, calls, modified, usage } = execution;
  const read = [...new Set(calls.flatMap(({ read: path }) => path ?? []))];
  const failed = failedCalls(calls);
  return [
    '<execution_summary>',
    `  <session_id>${escaped(sessionId)}</session_id>`,
    `  <status>${status}</status>`,
    `  <duration>${secondsText(ms)}</duration>`,
    `  <success_rate>${successRate(calls)}</success_rate>`,
    '  <files>',
    `    <read count="${read.length}">${named(read)}</read>`,
    `    <modified count="${modified.length}">${named(modified)}</modified>`,
    '  </files>',
    `  <tools total="${calls.length}">`,
    ...countsOf(calls).map(([name, count]) => `    ${escaped(name)}: ${count}x`),
    '  </tools>',
    `  <errors count="${failed.length}">${failed.slice(0, NAMED_ERRORS).map(errorLine).join('; ')}${failed.length > NAMED_ERRORS ? '; ...' : ''}</errors>`,
    `  <usage input="${usage.input}" output="${usage.output}" cost="${usage.usd === null ? 'unknown' : `$${usage.usd}`}"/>`,
    '</execution_summary>',
  ].join('\n');
}

/** Those that did not do what they were called for, whatever kept them from it. */
export function failedCalls(calls: readonly ExecutedCall[]): readonly ExecutedCall[] {
  return calls.filter(({ status }) => status !== 'succeeded');
}

export function secondsText(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(2)}s`;
}

/** Nothing that was tried has failed: all of it where there was nothing. */
function successRate(calls: readonly ExecutedCall[]): string {
  if (calls.length === 0) return '100%';
  // Only what is whole is told as such.
  const share = ((calls.length - failedCalls(calls).length) / calls.length) * 100;
  return `${share === 100 ? 100 : Math.min(99, Math.round(share))}%`;
}

/** The most used first. */
function countsOf(calls: readonly ExecutedCall[]): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const { name } of calls) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
}

function errorLine({ name, status, error }: ExecutedCall): string {
  const line = (error ?? status).replace(/\s+/g, ' ').trim();
  const cut = line.length > ERROR_CHARS ? `${line.slice(0, ERROR_CHARS).toWellFormed()}…` : line;
  return escaped(`${name}: ${cut}`);
}

function named(paths: readonly string[]): string {
  const shown = paths.slice(0, NAMED_FILES).map(escaped).join(', ');
  return paths.length > NAMED_FILES ? `${shown}, ...` : shown;
}

/** What a file or a command may be called: it must not end an element, nor begin one. */
function escaped(text: string): string {
  return (
    text
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a path may hold them, and XML may not
      .replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f\n\r\t]/g, '�')
  );
}
