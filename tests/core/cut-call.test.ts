import { expect, test } from 'vitest';
import { cutReason } from '../../src/core/cut-call.ts';
import type { StopReason, ToolPart } from '../../src/core/entry.ts';

const call = (args: string): ToolPart => ({ type: 'tool', callId: 'c', name: 'deploy', arguments: args });
const reasonOf = (args: string, stopReason: StopReason, isLast = true) => {
  const asked = call(args);
  const parts = isLast ? [call('{}'), asked] : [asked, { type: 'text' as const, text: 'And' }];
  return cutReason({ parts, stopReason }, asked);
};

test.each(['', ' ', '{}', '{"to": "prod', '{"to": ', 'null', '[]'])(
  'a call with the arguments %j at the end of an answer that was cut is not run',
  (args) => {
    expect(reasonOf(args, 'length')).toContain('reached its output limit before this call was complete');
    expect(reasonOf(args, 'refusal')).toContain('was broken off before this call was complete');
    for (const whole of ['stop', 'tool_calls'] as const) expect(reasonOf(args, whole)).toBeUndefined();
  },
);

test('one that is whole is, and one that something stands behind', () => {
  expect(reasonOf('{"to":"prod"}', 'length')).toBeUndefined();
  expect(reasonOf('{}', 'length', false)).toBeUndefined();
});
