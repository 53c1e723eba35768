import type { Task, Why, WhyTask } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import { findTask } from './find.ts';
import { inWords } from './sentences.ts';
import { withCode } from './summary.ts';
import { oneLine } from './untrusted-text.ts';
import { argumentLines, toolName } from './whole-call.ts';

/** What will wake the session that `id` means; for a task, that task and those it waits for. */
export async function askWhy(client: Client, id: string): Promise<Why> {
  const task = await findTask(client, id);
  const why = await client.why(task.sessionId);
  return /^task_/i.test(id) ? aboutTask(why, task) : why;
}

function aboutTask(why: Why, task: Task): Why {
  const own = why.tasks.find(({ taskId }) => taskId === task.id);
  // It waits behind more tasks than one answer tells, or has just ended.
  if (own === undefined && task.endedAt === null) return why;
  if (own === undefined) return { ...why, tasks: [], more: false, sentence: endSentence(task) };
  const told = new Set([task.id, ...own.via.map(({ taskId }) => taskId)]);
  return { ...why, tasks: why.tasks.filter(({ taskId }) => told.has(taskId)), more: false };
}

function endSentence({ id, status, endedAt, error }: Task): string {
  const how = status === 'cancelled' ? 'was cancelled' : status;
  const reason = error === null ? '' : `: ${withCode(error.message, error.code)}`;
  return `Nothing will wake ${id}: it ${how} at ${endedAt}${reason}.`;
}

/** A line per task, with what will wake it; where that is a person, with the calls they are asked about. */
export function whyText({ sentence, tasks, more }: Why, style: { readonly columns: number }): string {
  if (tasks.length === 0) return `${inWords(line(sentence), style.columns)}\n`;
  const lines = tasks.map((task) => {
    return `${inWords(`${task.taskId}: ${line(task.sentence)}`, style.columns)}\n${questions(task, style)}`;
  });
  return lines.join('') + (more ? 'More tasks wait behind these.\n' : '');
}

function questions(task: WhyTask, { columns }: { readonly columns: number }): string {
  if (task.kind !== 'calls') return '';
  return task.evidence.approvals
    .map(({ id, tool, arguments: json }) => {
      return `  ${id} · ${toolName(tool)}\n${argumentLines(json, { columns, indent: '    ' })}`;
    })
    .join('');
}

/** Tools and failures are named in it by models and providers. */
function line(sentence: string): string {
  return oneLine(sentence, Number.POSITIVE_INFINITY);
}
