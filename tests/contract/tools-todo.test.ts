import { expect, test } from 'vitest';
import { TODO_LIMITS } from '../../src/core/todos.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { todoTool } from '../../src/tools/todo.ts';
import type { ToolContext } from '../../src/tools/tool.ts';

const registry = createRegistry([todoTool]);
// The tool uses nothing of its context.
const put = (items: unknown) => registry.execute('todo', JSON.stringify({ items }), {} as ToolContext);
const item = (text: string, status = 'pending') => ({ text, status });

test('hands in the whole list, in its order, and says what is on it', async () => {
  const todos = [item('Look.', 'done'), item('Mend.', 'in_progress'), item('Prove.'), item('Tell.')];
  expect(await put(todos)).toEqual({
    text: 'The list has 4 items: 2 pending, 1 in progress, 1 done.',
    todos,
  });
  expect((await put([item('Look.', 'cancelled')])).text).toBe('The list has 1 item: 1 cancelled.');
  expect(await put([])).toEqual({ text: 'The list is empty.', todos: [] });
});

test('keeps an item on one line, as Postgres can store it', async () => {
  const { todos } = await put([item('  Look \n at\tit. '), item('a\0b'), item('half \ud83d')]);
  expect(todos?.map(({ text }) => text)).toEqual(['Look at it.', 'a\u2400b', 'half \ufffd']);
});

test('takes a list up to its limits, and says what is wrong with one beyond', async () => {
  const { items, characters } = TODO_LIMITS;
  const whole = Array.from({ length: items }, () => item('x'.repeat(characters)));
  expect((await put(whole)).todos).toHaveLength(items);
  const bad: readonly (readonly [unknown, string])[] = [
    [[...whole, item('y')], '- items: Too big: expected array to have <=40 items'],
    [[item('x'.repeat(characters + 1))], '- items.0.text: Too big: expected string to have <=200 characters'],
    [[item('a'), item(' \n')], '- items.1.text: Too small: expected string to have >=1 characters'],
    [[item('a', 'blocked')], '- items.0.status: Invalid option: expected one of "pending"|"in_progress"|'],
    [[{ ...item('a'), priority: 1 }], '- items.0: Unrecognized key: "priority"'],
  ];
  for (const [list, problem] of bad) {
    const { text, isError, todos } = await put(list);
    expect([isError, todos]).toEqual([true, undefined]);
    expect(text).toContain(problem);
  }
});
