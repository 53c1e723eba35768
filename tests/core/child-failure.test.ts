import { describe, expect, test } from 'vitest';
import {
  categoryOf,
  FAILURE_CATEGORIES,
  type FailedChild,
  type FailureCategory,
  failureReport,
  REPORTED_FILES,
} from '../../src/core/child-failure.ts';
import type { ExecutedCall, Execution } from '../../src/core/execution.ts';

const read: ExecutedCall = { name: 'read_file', status: 'succeeded', read: 'a.py', about: 'a.py' };
const broken: ExecutedCall = {
  name: 'bash',
  status: 'failed',
  error: 'exit 1 (npm test)',
  about: 'npm test',
};
const missing: ExecutedCall = { name: 'read_file', status: 'failed', error: 'There is no such file: b.py' };

function childOf(code: string, more: Partial<Execution> = {}): FailedChild {
  const execution: Execution = {
    ...{ sessionId: 'ses_1', status: 'failed', ms: 12_000, calls: [], modified: [] },
    ...{ usage: { input: 1, output: 1, usd: null }, ...more },
  };
  return { code, message: 'It went\nwrong.', execution };
}

const CASES: readonly (readonly [FailureCategory, string, Partial<Execution>])[] = [
  ['cancelled', 'cancelled', { status: 'cancelled' }],
  ['cancelled', 'limit_usd', { status: 'cancelled', modified: ['a.py'] }],
  ['timeout', 'limit_seconds', { modified: ['a.py'] }],
  ['timeout', 'provider_timeout', {}],
  ['limit', 'limit_usd', { modified: ['a.py'] }],
  ['limit', 'limit_turns', { calls: [broken] }],
  ['limit', 'limit', {}],
  ['partial_success', 'loop', { modified: ['a.py'], calls: [read, broken] }],
  ['partial_success', 'refused', { modified: ['a.py'] }],
  ['invalid_task', 'refused', {}],
  ['invalid_task', 'unknown_agent', {}],
  ['invalid_task', 'model_bug', {}],
  ['missing_context', 'loop', { calls: [read, missing, missing] }],
  ['tool_error', 'loop', { calls: [missing, broken] }],
  ['tool_error', 'crash_loop', { calls: [{ name: 'bash', status: 'unknown' }] }],
  ['tool_error', 'provider_unavailable', { calls: [read] }],
  ['tool_error', 'provider_auth', {}],
  ['partial_success', 'provider_auth', { modified: ['a.py'] }],
];

test.each(CASES)('%s is what %s is', (category, code, more) => {
  expect(categoryOf(childOf(code, more))).toBe(category);
});

test('every category is some failure’s', () => {
  expect([...new Set(CASES.map(([category]) => category))].sort()).toEqual([...FAILURE_CATEGORIES].sort());
});

describe('the report', () => {
  test('has all that is known', () => {
    const child = childOf('loop', {
      calls: [read, { name: 'grep', status: 'succeeded' }, read, broken],
      modified: ['a.py', 'b.py'],
    });
    expect(failureReport(child)).toBe(`Child agent failed: It went wrong.
Category: partial_success
Duration: 12.00s
Retryable: Yes
Work completed before failure:
✓ grep
✓ read_file: a.py (2x)
Files modified: a.py, b.py
Blocked on: bash: exit 1 (npm test)
Suggested recovery actions:
• Take over the changes that are listed, and delegate only what is left
• Continue this child and tell it what went wrong`);
  });

  test('leaves out what there was none of', () => {
    expect(failureReport(childOf('refused'))).toBe(`Child agent failed: It went wrong.
Category: invalid_task
Duration: 12.00s
Retryable: No
Suggested recovery actions:
• Say the task anew: what is wanted, where, and how it is known to be done
• Do it yourself`);
  });

  test.each(CASES)('of %s (%s) is what it was', (_, code, more) => {
    expect(failureReport(childOf(code, more))).toMatchSnapshot();
  });

  test.each([
    [
      'limit_turns',
      'The task used all of its 2 turns. Give the next one a higher limit with --limit turns=N.',
    ],
    ['limit_usd', 'All is spent. Give the next task a higher limit with --limit usd=N.'],
  ])('of %s names no command to a model', (code, message) => {
    const report = failureReport({ ...childOf(code), message });
    expect(report).toContain(`Child agent failed: ${message.split('. Give')[0]}.\nCategory: limit\n`);
    expect(report).not.toContain('--limit');
  });

  test('names some of many files', () => {
    const modified = Array.from({ length: REPORTED_FILES + 1 }, (_, index) => `${index}.py`);
    expect(failureReport(childOf('loop', { modified }))).toContain('49.py and 1 more\n');
    expect(failureReport(childOf('loop', { modified: modified.slice(1) }))).toContain('49.py, 50.py\n');
  });

  test('names the newest of many steps', () => {
    const calls = Array.from({ length: 12 }, (_, index) => ({ ...read, about: `${index}.py` }));
    const told = failureReport(childOf('loop', { calls }));
    expect(told).toContain('✓ 2 other steps\n✓ read_file: 2.py\n');
    expect(told).toContain('✓ read_file: 11.py\n');
  });
});
