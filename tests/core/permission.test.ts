import { expect, test } from 'vitest';
import type { Effect } from '../../src/core/entry.ts';
import { judge } from '../../src/core/permission.ts';
import type { Mode } from '../../src/core/profile.ts';

test.each<[Mode, Effect, string]>([
  ['safe', 'read', 'allow'],
  ['safe', 'workspace', 'ask'],
  ['safe', 'external', 'ask'],
  ['plan', 'read', 'allow'],
  ['plan', 'workspace', 'deny'],
  ['plan', 'external', 'deny'],
  ['auto', 'read', 'allow'],
  ['auto', 'workspace', 'allow'],
  ['auto', 'external', 'allow'],
])('in %s mode a call whose effect is %s: %s', (mode, effect, decision) => {
  expect(judge(effect, mode).decision).toBe(decision);
});

test('a refusal tells the model why and what it can do instead', () => {
  expect(judge('workspace', 'plan')).toEqual({
    decision: 'deny',
    reason: expect.stringMatching(/plan mode.*Read, and describe the change/),
  });
});
