import { expect, test } from 'vitest';
import { nextCompaction } from '../../src/core/compaction.ts';
import type { Entry, NewEntry } from '../../src/core/entry.ts';
import { DEFAULT_CONTEXT } from '../../src/core/profile.ts';
import { LIST_FOLLOWS, openTodos, type Todo, todosIn } from '../../src/core/todos.ts';

const count = (text: string) => Math.ceil(text.length / 4);
const text = (words: string) => [{ type: 'text' as const, text: words }];
const todo = (words: string, status: Todo['status'] = 'pending'): Todo => ({ text: words, status });
const said = (words: string): NewEntry => ({ kind: 'user', parts: text(words) });
const answer: NewEntry = { kind: 'assistant', parts: text('So.'), stopReason: 'stop' };
const revert = (to: number): NewEntry => ({ kind: 'revert', to, parts: text('Back.') });
const result = (todos?: readonly Todo[], words = 'Said.'): NewEntry => ({
  ...{ kind: 'tool_result', callId: 'a', status: 'succeeded', parts: text(words) },
  ...(todos && { noted: { todos } }),
});

function logOf(...entries: readonly NewEntry[]): Entry[] {
  return entries.map((entry, index) => ({ ...entry, position: index + 1 }) as Entry);
}

test('the newest list counts, an empty one too, but none that was taken back', () => {
  const [first, second] = [[todo('One.')], [todo('Two.')]];
  expect(todosIn(logOf(said('Go.'), answer, result()))).toBeUndefined();
  const both = logOf(said('Go.'), answer, result(first), result(second), result());
  expect(todosIn(both)).toEqual({ position: 4, todos: second });
  expect(todosIn(logOf(...both, result([])))).toEqual({ position: 6, todos: [] });
  expect(todosIn(logOf(...both, revert(3)))).toEqual({ position: 3, todos: first });
  expect(todosIn(logOf(...both, revert(2)))).toBeUndefined();
  expect(todosIn(logOf(...both, revert(2), revert(5)))).toEqual({ position: 4, todos: second });
});

test('a list that is told anyway is not told again, nor one of which nothing is open', () => {
  const list = [
    todo('Look.', 'done'),
    todo('Mend.', 'in_progress'),
    todo('Leave.', 'cancelled'),
    todo('Prove.'),
  ];
  const log = logOf(said('Go.'), answer, result(list), answer, said('And?'));
  const told = `${LIST_FOLLOWS}\n- done: Look.\n- in_progress: Mend.\n- cancelled: Leave.\n- pending: Prove.`;
  expect(openTodos(log, { after: 1, to: 3 })).toBe(told);
  expect(openTodos(log, { after: 2, to: 5 })).toBe(told);
  expect(openTodos(log, { after: 3, to: 5 })).toBe('');
  expect(openTodos(log, { after: 0, to: 2 })).toBe('');
  const over = logOf(said('Go.'), answer, result(list), result([todo('Look.', 'done')]));
  expect(openTodos(over, { after: 1, to: 4 })).toBe('');
});

test('a summary, and each one after it, ends with the list that it stands for, and has room for it', () => {
  const limits = { policy: DEFAULT_CONTEXT, tokens: 4_000, overhead: 0, count };
  const list = [todo('Look.', 'done'), todo('Prove.')];
  const speech = (): NewEntry => ({ ...answer, parts: text('word '.repeat(300)) }) as NewEntry;
  const turns = [said('Go.'), answer, result(list), ...Array.from({ length: 9 }, speech)];
  const planned = (log: readonly Entry[]) => {
    const plan = nextCompaction(log, limits);
    if (plan?.summary === undefined) throw new Error('no summary is asked for');
    return { ...plan, summary: plan.summary };
  };
  const first = planned(logOf(...turns));
  expect(first.summary.todos).toBe(`${LIST_FOLLOWS}\n- done: Look.\n- pending: Prove.`);
  const without = planned(logOf(...turns.map((entry) => (entry.kind === 'tool_result' ? result() : entry))));
  expect(without.summary).not.toHaveProperty('todos');
  expect(first.after - without.after).toBe(count(first.summary.todos ?? ''));
  const { todos, after, to } = first.summary;
  const summary: NewEntry = {
    kind: 'compaction',
    parts: text(`So far.\n\n${todos}`),
    replaces: { after, to },
  };
  const second = planned(logOf(...turns, summary, ...Array.from({ length: 9 }, speech)));
  expect(second.summary.todos).toBe(todos);
});
