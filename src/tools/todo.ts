import { z } from 'zod';
import { TODO_LIMITS, TODO_STATUSES, type Todo } from '../core/todos.ts';
import { TODO } from '../core/tool-names.ts';
import { defineTool } from './tool.ts';

export const todoTool = defineTool({
  name: TODO,
  description:
    'Keeps your list of what is to be done, for work of three or more steps; whoever watches sees it, and it stays when the conversation ' +
    'is made shorter. Give the whole list each time, in the order of the work: it takes the place of the one before. Set an item to ' +
    '"in_progress" before you begin with it (several only where they go on at the same time), to "done" as soon as it is done and checked, ' +
    'to "cancelled" where it is no longer needed, and add what you find on the way. Not for a question, or for a change of one step.',
  parameters: z.strictObject({
    items: z
      .array(
        z.strictObject({
          text: z
            .string()
            .trim()
            .min(1)
            .max(TODO_LIMITS.characters)
            .describe('What is to be done, in a line.'),
          status: z.enum(TODO_STATUSES),
        }),
      )
      .max(TODO_LIMITS.items)
      .describe('The whole list; an empty one takes it away.'),
  }),
  effect: 'read',
  async execute({ items }) {
    const todos = items.map(({ text, status }) => ({ text: text.replace(/\s+/g, ' '), status }));
    return { text: sayTodos(todos), todos };
  },
});

/** The list itself stands in the call. */
function sayTodos(todos: readonly Todo[]): string {
  if (todos.length === 0) return 'The list is empty.';
  const counts = TODO_STATUSES.flatMap((status) => {
    const count = todos.filter((todo) => todo.status === status).length;
    return count === 0 ? [] : [`${count} ${status.replace('_', ' ')}`];
  });
  return `The list has ${todos.length} ${todos.length === 1 ? 'item' : 'items'}: ${counts.join(', ')}.`;
}
