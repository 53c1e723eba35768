import type { Task } from '../api/wire.ts';
import type { Client } from '../client/client.ts';

/** What came of letting a task go on: one that waits for something else still does. */
export async function goesOnText(
  client: Client,
  task: Task,
  { hasNewLimits }: { readonly hasNewLimits: boolean },
): Promise<string> {
  const { id, sessionId, status } = task;
  const what = hasNewLimits ? 'has its new limits' : 'goes on';
  const { tasks } = status === 'waiting' ? await client.why(sessionId) : { tasks: [] };
  const waits = tasks.find(({ taskId }) => taskId === id);
  if (waits === undefined) return `${id} ${what}: follow it with capybara tail ${id}\n`;
  return `${id} ${hasNewLimits ? `${what}, and waits` : 'is not paused, and waits'}: ${waits.sentence}\n`;
}
