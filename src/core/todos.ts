/** What an agent has to do: a list that it keeps for itself, and that people see. */
import { type Entry, type Replaced, standing } from './entry.ts';

export const TODO_STATUSES = ['pending', 'in_progress', 'done', 'cancelled'] as const;

export interface Todo {
  readonly text: string;
  readonly status: (typeof TODO_STATUSES)[number];
}

/** Of one list. A text is counted in characters. */
export const TODO_LIMITS = { items: 40, characters: 200 } as const;

/** The newest list that a log has, and where it stands; undefined: there is none. */
export function todosIn(
  log: readonly Entry[],
): { readonly position: number; readonly todos: readonly Todo[] } | undefined {
  for (const entry of standing(log).toReversed()) {
    const todos = entry.kind === 'tool_result' ? entry.noted?.todos : undefined;
    if (todos !== undefined) return { position: entry.position, todos };
  }
  return undefined;
}

/** What a model is told of its list where a summary stands for it: nothing where it is told anyway, or has nothing open. */
export function openTodos(log: readonly Entry[], { after, to }: Replaced): string {
  const newest = todosIn(log);
  if (newest === undefined || newest.position <= after || newest.position > to) return '';
  const isOpen = newest.todos.some(({ status }) => status === 'pending' || status === 'in_progress');
  if (!isOpen) return '';
  return [LIST_FOLLOWS, ...newest.todos.map(({ text, status }) => `- ${status}: ${text}`)].join('\n');
}

export const LIST_FOLLOWS = 'Your list of what is to be done is, word for word:';
