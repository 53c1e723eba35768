/** What a session's model is told when another session's work was taken in. */
import { sayConflict } from '../core/conflicts.ts';
import { type Part, textOf } from '../core/entry.ts';
import { untrusted } from '../core/untrusted.ts';
import type { MergeConflict } from '../store/revisions.ts';
import type { TaskRow } from '../store/views-tasks.ts';

/** The newest tasks that are told of. */
export const TOLD_TASKS = 10;
/** Files, and conflicts, that are named. */
export const TOLD_FILES = 50;
/** Of a prompt, and of an answer, in characters. */
export const TOLD_PROMPT = 500;
export const TOLD_ANSWER = 1_500;

export interface MergeTold {
  /** The other session's public id. */
  readonly from: string;
  readonly title: string;
  /** What it changed: `modified src/a.ts`. */
  readonly files: readonly string[];
  readonly conflicts: readonly MergeConflict[];
  /** Its tasks since the two were one, the newest first. */
  readonly tasks: readonly TaskRow[];
  /** Whether the files were put in by their owner. */
  readonly isKept: boolean;
}

export function mergeNotice({ from, title, files, conflicts, tasks, isKept }: MergeTold): string {
  const how = isKept
    ? 'a person has put its changes into the files here'
    : 'its changes were merged into the files here';
  const parts = [
    `A person has merged the session ${from} into this one: ${how}. Read a file again before you go on with it.`,
    conflictText(conflicts),
    untrusted(
      'the session that was merged in: its title, what it changed, what was asked of it and what it answered',
      [cut(title, TOLD_PROMPT), listed('Changed files', files), ...tasks.toReversed().map(taskText)].join(
        '\n\n',
      ),
    ),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function conflictText(conflicts: readonly MergeConflict[]): string {
  if (conflicts.length === 0) return '';
  return untrusted(
    'the names of files with conflicts',
    listed('Both sides changed these. Settle them', conflicts.map(sayConflict)),
  );
}

function listed(what: string, lines: readonly string[]): string {
  if (lines.length === 0) return `${what}: none`;
  const more = lines.length > TOLD_FILES ? [`- … and ${lines.length - TOLD_FILES} more`] : [];
  return [`${what}:`, ...lines.slice(0, TOLD_FILES).map((line) => `- ${line}`), ...more].join('\n');
}

function taskText({ prompt, status, result, errorMessage }: TaskRow): string {
  const answer = result === null ? (errorMessage ?? '') : textOf(result as readonly Part[]);
  const end = answer === '' ? status : `${status}: ${cut(answer, TOLD_ANSWER)}`;
  return `Asked: ${cut(textOf(prompt), TOLD_PROMPT)}\n${end}`;
}

function cut(text: string, length: number): string {
  const whole = text.trim();
  return whole.length <= length ? whole : `${whole.slice(0, length - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
