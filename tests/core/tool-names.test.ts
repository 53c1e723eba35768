import { expect, test } from 'vitest';
import { sayUnknownTools, TOOL_NAMES } from '../../src/core/tool-names.ts';
import { builtinTools } from '../../src/tools/builtin.ts';

test('every tool that comes with Capybara is known by its name, and no other', () => {
  const hosts = [{ host: 'a.test', isPrivate: false }];
  const all = builtinTools({ commands: { hosts }, webSearch: { provider: 'brave', apiKey: 'k' } });
  expect(TOOL_NAMES.toSorted()).toEqual(all.map(({ name }) => name).toSorted());
});

const said = (...tools: string[]) => sayUnknownTools(tools.map((tool) => ({ tool })));

test('a rule for what is no tool is named, with what may have been meant', () => {
  expect(said('bash', 'bsh', 'Read_file', 'bsh')).toBe(
    'Rules for tools that do not exist count for nothing: "bsh" (the nearest one is "bash"), ' +
      '"Read_file" (the nearest one is "read_file")',
  );
  expect(said('x1', 'x2', 'x3', 'x4', 'x5')).not.toContain('more');
  expect(said('x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7')).toMatch(/"x5" \([^)]*\), 2 more$/);
});

test('patterns, tools of other servers, and those that a program adds, are not unknown', () => {
  expect(said(...TOOL_NAMES, '*', 'vcs_*', 'bas?', 'forge__open_issue')).toBeUndefined();
  expect(sayUnknownTools([{ tool: 'sink' }], ['sink'])).toBeUndefined();
  expect(sayUnknownTools([{ tool: 'sink' }])).toContain('"sink"');
});
