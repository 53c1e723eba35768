import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { type Always, type CallPart, MAX_ALWAYS_LENGTH } from '../../src/core/permission.ts';
import { bashTool } from '../../src/tools/bash.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { alwaysOf } from '../../src/worker/judge-call.ts';

const other = defineTool({
  name: 'other',
  description: 'Does something.',
  parameters: z.object({}),
  effect: 'external',
  execute: async () => ({ text: '' }),
});
const COMMAND: CallPart = { kind: 'command', text: 'x', publishes: false };
const WHOLE: CallPart = { kind: 'whole' };
const file = (path: string, isInside = true): CallPart => ({ kind: 'file', path, isInside });

const ofBash = (args: Record<string, unknown>, part: CallPart = COMMAND) =>
  alwaysOf({ tool: bashTool, args }, [part]);
const ofOther = (args: Record<string, unknown>, ...parts: CallPart[]) =>
  alwaysOf({ tool: other, args }, parts);

test('`always` is for exactly the command, however it is described and however long it may take', () => {
  const always = { kind: 'command', value: 'npm test' };
  expect(ofBash({ command: 'npm test' })).toEqual(always);
  expect(ofBash({ command: 'npm test', description: 'a', timeout: 5 })).toEqual(always);
  expect(ofBash({ command: ' npm test' })).toEqual({ kind: 'command', value: ' npm test' });
  expect(ofBash({ command: 'npm test' }, { kind: 'opaque' })).toEqual(always);
});

test('`always` is for all arguments where more of them decide what is done', () => {
  expect(ofBash({ command: 'npm test', background: true })).toEqual({
    kind: 'arguments',
    value: '{"background":true,"command":"npm test"}',
  });
  expect(ofOther({ url: 'a', more: { b: 1, a: [2, 1] } }, WHOLE)).toEqual({
    kind: 'arguments',
    value: '{"more":{"a":[2,1],"b":1},"url":"a"}',
  });
});

test('`always` is for the one path inside, as the links lead; for all arguments of several, or of one outside', () => {
  expect(ofOther({ path: 'link' }, file('real'))).toEqual({ kind: 'path', value: 'real' });
  expect(ofOther({ path: '/a' }, file('/a', false))).toEqual({ kind: 'arguments', value: '{"path":"/a"}' });
  expect(ofOther({ patch: 'p' }, file('a'), file('b'))).toEqual({
    kind: 'arguments',
    value: '{"patch":"p"}',
  });
});

test('there is no `always` for what no shell can read, is too long, or would be stored as something else', () => {
  expect(ofBash({ command: 'a )' }, { kind: 'unparsed' })).toBeUndefined();
  const long = 'a'.repeat(MAX_ALWAYS_LENGTH);
  expect(ofBash({ command: long })).toEqual({ kind: 'command', value: long });
  expect(ofBash({ command: `${long}a` })).toBeUndefined();
  for (const text of ['a\0', 'a\ud800']) {
    expect(ofBash({ command: text })).toBeUndefined();
    expect(ofOther({ text }, WHOLE)).toBeUndefined();
    expect(ofOther({ path: text }, file(text))).toBeUndefined();
  }
});

test('two calls have the same `always` only where they are the same call', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '"', '\\', ' ', '\n', ','), maxLength: 4 });
  const args = fc.record(
    {
      command: text,
      description: text,
      timeout: fc.integer({ min: 1, max: 3 }),
      background: fc.boolean(),
      cwd: text,
    },
    { requiredKeys: ['command'] },
  );
  const essence = (
    { description: _, timeout: __, ...rest }: Record<string, unknown>,
    always: Always | undefined,
  ) => JSON.stringify(Object.entries(always?.kind === 'command' ? rest : { ...rest, _, __ }).sort());
  fc.assert(
    fc.property(args, args, (one, two) => {
      const [a, b] = [ofBash(one), ofBash(two)];
      const isSame = a?.kind === b?.kind && a?.value === b?.value;
      expect(isSame).toBe(a?.kind === b?.kind && essence(one, a) === essence(two, b));
    }),
    { numRuns: 2_000 },
  );
});
