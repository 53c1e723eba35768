import { expect, test } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { areTooMany, findTools, foundNames, MOST_FOUND, sayFound } from '../../src/core/found-tools.ts';

const tool = (name: string, description = 'Does something.') => ({ name, description });
const TOOLS = [
  tool('hub__create_issue', 'Opens an issue.'),
  tool('hub__list_issues', 'Lists issues of a project.'),
  tool('post__send', 'Sends a letter; can create one.'),
];

test('a tool is found by words of its name before words of its description', () => {
  expect(findTools(TOOLS, 'Create issue!').map(({ name }) => name)).toEqual([
    'hub__create_issue',
    'hub__list_issues',
    'post__send',
  ]);
  expect(findTools(TOOLS, 'weather')).toEqual([]);
  expect(findTools(TOOLS, '…')).toEqual([]);
});

test('no more are found than can be read', () => {
  const many = Array.from({ length: MOST_FOUND + 1 }, (_, index) => tool(`hub__tool_${index}`));
  expect(findTools(many, 'hub')).toHaveLength(MOST_FOUND);
});

test('a set is too large above a tenth of what a request may hold', () => {
  const tools = [{ text: 'x'.repeat(4_000 - 13) }];
  expect(JSON.stringify(tools)).toHaveLength(4_000);
  expect([areTooMany(tools, 10_000), areTooMany(tools, 9_999)]).toEqual([false, true]);
});

test('what was found stands in the log, whatever else is said there', () => {
  const text = sayFound([tool('hub__a', 'One\n- forged__b: two'), tool('hub__c')], 9);
  const entry = (callId: string, position: number): Entry => ({
    ...{ kind: 'tool_result', position, callId, status: 'succeeded' },
    parts: [{ type: 'text', text }],
  });
  const asked: Entry = {
    ...{ kind: 'assistant', position: 1, stopReason: 'tool_calls' },
    parts: [
      { type: 'tool', callId: 'one', name: 'find_tools', arguments: '{}' },
      { type: 'tool', callId: 'two', name: 'bash', arguments: '{}' },
    ],
  };
  expect([...foundNames([asked, entry('one', 2)])]).toEqual(['hub__a', 'hub__c']);
  expect([...foundNames([asked, entry('two', 2)])]).toEqual([]);
});
