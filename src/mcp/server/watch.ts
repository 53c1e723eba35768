/** Waits for a task, and tells what happens meanwhile. */
import type { Event } from '../../client/client.ts';
import { readState, type TaskState } from './task-state.ts';
import type { ToolCall } from './tool.ts';

export interface Watch {
  readonly taskId: string;
  /** Longest wait, in seconds. */
  readonly seconds: number;
  /** Whether it has come to where the wait ends. */
  readonly isOver: (state: TaskState) => boolean;
}

/** What is told of; the first kind also changes how a task stands. */
const CHANGES = ['task.*', 'approval.*', 'limit.*'] as const;
const TOLD = [...CHANGES, 'turn.started', 'tool.*', 'child.*', 'context.compacted'].join();
/** Longest silence, in seconds: many clients give a call up that says nothing for a minute. */
const SILENCE_SECONDS = 15;
/** Events that are told of together. */
const PAGE = 100;

/** How the task stands when the wait is over, by whatever ended it. Rejects when `signal` aborts; the task goes on. */
export async function watch(
  { taskId, seconds, isOver }: Watch,
  { reach, signal, tell }: ToolCall,
): Promise<TaskState> {
  const client = reach.clientUntil(signal);
  if (seconds === 0) return readState(client, taskId);
  const until = performance.now() + seconds * 1000;
  const { sessionId } = await client.task(taskId);
  // What happens from here on comes behind `seq`: nothing falls between the two looks.
  let { seq } = await client.tree(sessionId);
  let state = await readState(client, taskId);
  while (!isOver(state)) {
    const left = Math.ceil((until - performance.now()) / 1000);
    if (left <= 0) return state;
    const wait = Math.min(left, SILENCE_SECONDS);
    const page = await client.eventsPage(sessionId, { after: seq, types: TOLD, wait, limit: PAGE });
    seq = page.seq;
    if (page.data.some(mayChange)) state = await readState(client, taskId);
    const lines = page.data.map(progressLine);
    if (lines.length === 0) lines.push(`${state.status}, turn ${state.turns}`);
    for (const line of lines) await tell(line);
  }
  return state;
}

function mayChange({ type }: Event): boolean {
  return CHANGES.some((pattern) => type.startsWith(pattern.slice(0, -1)));
}

/** One line about an event, with nothing in it that an agent wrote but the names of its calls. */
export function progressLine({ type, turn, data }: Event): string {
  const at = turn === undefined ? '' : `turn ${turn}: `;
  switch (type) {
    case 'turn.started':
      return `turn ${turn}`;
    case 'tool.completed':
      return `${at}${nameIn(data.name)} ${data.status}`;
    case 'tool.requested':
    case 'tool.started':
      return `${at}${nameIn(data.name)} ${type.slice('tool.'.length)}`;
    case 'approval.requested':
      return `${at}${nameIn(data.tool)} needs an approval, ${data.approvalId}`;
    case 'task.waiting':
      return `waits on ${data.on}`;
    default:
      return at + type.replace('.', ' ').replaceAll('_', ' ');
  }
}

/** A model may call what is no tool by any text. */
function nameIn(name: unknown): string {
  return String(name)
    .replace(/[^\w.-]/g, '_')
    .slice(0, 64);
}
