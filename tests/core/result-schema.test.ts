import { describe, expect, test } from 'vitest';
import { PATTERN_LIMITS, readPattern } from '../../src/core/json-pattern.ts';
import { SCHEMA_LIMITS } from '../../src/core/json-schema.ts';
import { MOST_STEPS } from '../../src/core/json-schema-check.ts';
import {
  checkResult,
  correctionNotice,
  RESULT_LIMITS,
  readResultSchema,
  resultInstruction,
  TOLD_PROBLEMS,
} from '../../src/core/result-schema.ts';

const TOO_LONG = 'It takes too long to check so large an answer by this schema: give a smaller one.';
/** On a busy machine; each of these takes minutes or centuries where nothing bounds it. */
const SOON_MS = 4_000;

function check(schema: unknown, answer: string) {
  const read = readResultSchema(schema);
  if ('refused' in read) throw new Error(read.refused);
  return checkResult(read.checker, answer);
}
const problems = (schema: unknown, value: unknown) => {
  const found = check(schema, JSON.stringify(value));
  return 'problems' in found ? found.problems : [];
};
function refusal(schema: unknown): string {
  const read = readResultSchema(schema);
  if ('checker' in read) throw new Error('the schema was taken');
  return read.refused;
}

describe('where the answer stands', () => {
  test.each([
    ['alone', '{"b": 1, "a": [true, null]}'],
    ['with blanks around it', ' \n{"b":1,"a":[true,null]}\n '],
    ['in a code block', '```\n{"b":1,"a":[true,null]}\n```'],
    ['in one that says json', '```json\n{"a":[true,null],\n"b":1}\n```\n'],
    ['in one among prose', 'I looked.\n\n````JSON\r\n{"b":1,"a":[true,null]}\r\n````\r\nThat is all.'],
  ])('%s: it is found, and told as one of all that mean the same', (_, answer) => {
    expect(check({}, answer)).toEqual({ json: '{"a":[true,null],"b":1}' });
  });

  test.each([
    ['', 'The answer is empty, expected one JSON value.'],
    ['All done.', /^The answer is no JSON value: .+\.$/],
    ['{"a": 1} is it.', /^The answer is no JSON value/],
    ['{"a": 1}\n{"a": 2}', /^The answer is no JSON value/],
    [
      '```\n1\n```\nor\n```\n2\n```',
      'The answer has 2 code blocks, expected one JSON value and nothing else.',
    ],
    ['It is:\n```json\n{"a": 1}', 'The answer has a code block that does not end.'],
    ['```ts\nconst a = 1;\n```', /^The answer is no JSON value/],
    ['{"a": 1e400}', 'a: the number is too large, write it as a text.'],
    ['[12345678901234567890]', '[0]: the number is too large, write it as a text.'],
  ])('%j: what is wrong is said', (answer, problem) => {
    expect(check({}, answer)).toEqual({
      problems: [typeof problem === 'string' ? problem : expect.stringMatching(problem)],
    });
  });

  test('a text with a code block in it is one JSON value', () => {
    const json = JSON.stringify({ text: 'See:\n```\n1\n```\n' });
    expect(check({}, json)).toEqual({ json });
    expect(check({}, `\`\`\`json\n${json}\n\`\`\``)).toEqual({ json });
  });

  test('an answer may be as large, and go as deep, as its limits say', () => {
    const { bytes, depth } = RESULT_LIMITS;
    const text = JSON.stringify('x'.repeat(bytes - 2));
    expect(check({}, text)).toEqual({ json: text });
    expect(check({}, JSON.stringify('x'.repeat(bytes - 1)))).toEqual({
      problems: [`The answer has ${bytes + 1} bytes, and it may have ${bytes} at most.`],
    });
    const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
    expect(check({}, nested(depth))).toEqual({ json: nested(depth) });
    for (const levels of [depth + 1, bytes / 2])
      expect(check({}, nested(levels))).toEqual({
        problems: [`The answer goes deeper than ${depth} levels.`],
      });
  });
});

/** [keyword, schema, a value that fits, one that does not, what is said of it]. */
const KEYWORDS: readonly (readonly [string, unknown, unknown, unknown, string])[] = [
  ['type', { type: 'integer' }, 1, 1.5, 'the value: expected integer, found 1.5.'],
  [
    'types',
    { type: ['string', 'null'] },
    null,
    [1],
    'the value: expected string or null, found a list of 1.',
  ],
  [
    'enum',
    { enum: ['a', { b: [1] }] },
    { b: [1] },
    'b',
    'the value: expected one of "a", an object, found "b".',
  ],
  ['const', { const: null }, null, 0, 'the value: expected null, found 0.'],
  [
    'properties',
    { properties: { a: { type: 'string' } } },
    { b: 1 },
    { a: 1 },
    'a: expected string, found 1.',
  ],
  ['required', { required: ['a', 'toString'] }, { a: 1, toString: 2 }, { a: 1 }, 'toString: is missing.'],
  [
    'additionalProperties',
    { properties: { a: true }, additionalProperties: false },
    { a: 1 },
    { a: 1, 'b c': 2 },
    '["b c"]: is not in the schema.',
  ],
  [
    'a schema of additionalProperties',
    { additionalProperties: { type: 'null' } },
    { a: null },
    { a: { b: 1 } },
    'a: expected null, found an object.',
  ],
  [
    'patternProperties',
    { patternProperties: { '^n_': { type: 'number' } }, additionalProperties: false },
    { n_1: 1 },
    { n_1: '1' },
    'n_1: expected number, found "1".',
  ],
  [
    'propertyNames',
    { propertyNames: { maxLength: 1 } },
    { a: 1 },
    { ab: 1 },
    'ab: expected at most 1 characters, found "ab".',
  ],
  [
    'minProperties',
    { minProperties: 1 },
    { a: 1 },
    {},
    'the value: expected at least 1 members, found an object.',
  ],
  [
    'maxProperties',
    { maxProperties: 0 },
    {},
    { a: 1 },
    'the value: expected at most 0 members, found an object.',
  ],
  ['items', { items: { type: 'string' } }, ['a'], ['a', 1], '[1]: expected string, found 1.'],
  [
    'prefixItems',
    { prefixItems: [{ type: 'string' }], items: false },
    ['a'],
    ['a', 'b'],
    '[1]: nothing may stand here.',
  ],
  ['minItems', { minItems: 1 }, [1], [], 'the value: expected at least 1 items, found a list of 0.'],
  ['maxItems', { maxItems: 1 }, [1], [1, 2], 'the value: expected at most 1 items, found a list of 2.'],
  [
    'uniqueItems',
    { uniqueItems: true },
    [1, '1'],
    [
      { a: 1, b: 2 },
      { b: 2, a: 1 },
    ],
    'the value: expected items of which no two are equal.',
  ],
  ['minLength', { minLength: 2 }, 'ab', '🙂', 'the value: expected at least 2 characters, found "🙂".'],
  ['maxLength', { maxLength: 1 }, '🙂', 'ab', 'the value: expected at most 1 characters, found "ab".'],
  [
    'pattern',
    { pattern: '^v?\\d+(\\.\\d+)?$' },
    'v1.2',
    '1.',
    'the value: expected a text that matches "^v?\\\\d+(\\\\.\\\\d+)?$", found "1.".',
  ],
  ['minimum', { minimum: 1 }, 1, 0, 'the value: expected at least 1, found 0.'],
  ['maximum', { maximum: 1 }, 1, 2, 'the value: expected at most 1, found 2.'],
  ['exclusiveMinimum', { exclusiveMinimum: 1 }, 1.5, 1, 'the value: expected above 1, found 1.'],
  ['exclusiveMaximum', { exclusiveMaximum: 1 }, 0.5, 1, 'the value: expected below 1, found 1.'],
  ['multipleOf', { multipleOf: 0.1 }, 0.3, 0.25, 'the value: expected a multiple of 0.1, found 0.25.'],
  [
    'anyOf',
    { anyOf: [{ required: ['a', 'b'] }, { required: ['c'] }] },
    { c: 1 },
    { a: 1, d: 1 },
    'b: is missing.',
  ],
  [
    'oneOf',
    { oneOf: [{ type: 'number' }, { type: 'integer' }] },
    0.5,
    1,
    'the value: fits 2 of the schemas of "oneOf", expected one.',
  ],
  ['allOf', { allOf: [{ minimum: 1 }, { maximum: 2 }] }, 2, 3, 'the value: expected at most 2, found 3.'],
  ['not', { not: { type: 'null' } }, 0, null, 'the value: null is what the schema rules out with "not".'],
  [
    '$ref',
    { $defs: { 'a/b': { type: 'string' } }, properties: { x: { $ref: '#/$defs/a~1b' } } },
    { x: 'y' },
    { x: 1 },
    'x: expected string, found 1.',
  ],
  [
    'a $ref to what is around it',
    { properties: { next: { $ref: '#' } }, additionalProperties: false },
    { next: { next: {} } },
    { next: { next: { end: 1 } } },
    'next.next.end: is not in the schema.',
  ],
];

test.each(KEYWORDS)(
  '%s: what fits is taken, and of what does not fit it is said where',
  (_, schema, good, bad, said) => {
    expect(problems(schema, good)).toEqual([]);
    expect(problems(schema, bad)).toEqual([said]);
  },
);

test('what only explains says nothing, and a default fills nothing in', () => {
  const schema = {
    ...{ $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'A', description: 'B', 'x-more': 1 },
    ...{ properties: { a: { type: 'string', default: 'x', format: 'date' } }, required: ['a'] },
  };
  expect(problems(schema, {})).toEqual(['a: is missing.']);
  expect(problems(schema, { a: 'no date' })).toEqual([]);
});

test('of much that does not fit, the first is told', () => {
  const schema = { items: { type: 'string' } };
  const wrong = (count: number) => Array.from({ length: count }, (_, index) => index);
  expect(problems(schema, wrong(TOLD_PROBLEMS))).toHaveLength(TOLD_PROBLEMS);
  const told = problems(schema, wrong(10_000));
  expect(told).toHaveLength(TOLD_PROBLEMS + 1);
  expect(told.at(-1)).toBe('There is more that does not fit.');
});

test('a name that every object has is a name like any other', () => {
  const schema = JSON.parse('{"properties":{"__proto__":{"type":"integer"}},"additionalProperties":false}');
  expect(check(schema, '{"__proto__":1}')).toEqual({ json: '{"__proto__":1}' });
  expect(check(schema, '{"__proto__":"a"}')).toEqual({
    problems: ['__proto__: expected integer, found "a".'],
  });
  expect(check(schema, '{"constructor":1}')).toEqual({ problems: ['constructor: is not in the schema.'] });
});

/** [a schema that cannot be used, why]. */
const REFUSED: readonly (readonly [unknown, string])[] = [
  [[], 'a JSON Schema is an object, and this is array'],
  [null, 'a JSON Schema is an object, and this is null'],
  [true, 'a JSON Schema is an object, and this is boolean'],
  [{ type: 'date' }, '#/type must be of object, array, string, number, integer, boolean, null'],
  [{ type: [] }, '#/type must be of'],
  [{ properties: { a: 'string' } }, '#/properties/a must be a schema, and is string'],
  [{ properties: [] }, '#/properties must be an object of schemas'],
  [{ anyOf: [] }, '#/anyOf must be a list of schemas'],
  [{ allOf: [{}, 1] }, '#/allOf/1 must be a schema, and is number'],
  [{ required: [1] }, '#/required must be a list of names'],
  [{ minLength: -1 }, '#/minLength must be a whole number from 0'],
  [{ multipleOf: 0 }, '#/multipleOf must be a number above 0'],
  [{ uniqueItems: 'yes' }, '#/uniqueItems must be true or false'],
  [{ enum: 'a' }, '#/enum must be a list of values'],
  [{ if: {} }, '#/if is not checked here; what is: items, additionalProperties'],
  [{ items: { requierd: [] } }, '#/items/requierd is not checked here'],
  [{ constructor: 1 }, '#/constructor is not checked here'],
  [{ $ref: 'https://example.com/a.json' }, 'leads out of the schema: only "#/..." is followed'],
  [{ $ref: 'other.json#/a' }, 'leads out of the schema'],
  [{ $ref: '#/$defs/a' }, 'the $ref "#/$defs/a" leads nowhere'],
  [{ $ref: '#/constructor' }, 'the $ref "#/constructor" leads nowhere'],
  [{ $ref: '#' }, 'a $ref leads back to itself, with nothing between'],
  [
    { $defs: { a: { not: { $ref: '#/$defs/b' } }, b: { anyOf: [true, { $ref: '#/$defs/a' }] } } },
    'a $ref leads back to itself',
  ],
  [{ pattern: '(' }, '#/pattern: the pattern "(" cannot be read: Invalid regular expression'],
  [{ patternProperties: { '(a+)+': true } }, '#/patternProperties: the pattern "(a+)+" repeats what itself'],
];

test.each(REFUSED)('%j cannot be used, and whoever gave it is told why', (schema, why) => {
  expect(refusal(schema)).toContain(why);
  expect(refusal(schema)).toMatch(/^resultSchema cannot be used: .*[^.]\.$/);
});

test('a schema may be as large, and go as deep, as its limits say', () => {
  const { bytes, depth } = SCHEMA_LIMITS;
  const sized = (size: number) => ({ title: 'x'.repeat(size - '{"title":""}'.length) });
  expect(readResultSchema(sized(bytes))).toHaveProperty('checker');
  expect(refusal(sized(bytes + 1))).toContain(`it has ${bytes + 1} bytes as JSON`);
  expect(refusal({ enum: Array.from({ length: 100_000 }, (_, index) => index) })).toContain('bytes as JSON');
  const nested = (levels: number): unknown => (levels === 1 ? {} : { not: nested(levels - 1) });
  expect(readResultSchema(nested(depth))).toHaveProperty('checker');
  expect(refusal(nested(depth + 1))).toContain(`it goes deeper than ${depth} levels`);
  expect(refusal(nested(1_000))).toContain(`it goes deeper than ${depth} levels`);
});

describe('a schema that is written to take for ever', () => {
  const soon = <Found>(act: () => Found): Found => {
    const began = performance.now();
    const found = act();
    expect(performance.now() - began).toBeLessThan(SOON_MS);
    return found;
  };

  test('by asking for the same again and again', () => {
    const twice = (to: string) => ({ allOf: [{ $ref: to }, { $ref: to }] });
    const defs = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [`d${index}`, twice(`#/$defs/d${index + 1}`)]),
    );
    const schema = { $defs: { ...defs, d60: {} }, $ref: '#/$defs/d0' };
    expect(soon(() => problems(schema, 1))).toEqual([TOO_LONG]);
  });

  test('by many ways at each level of an answer', () => {
    const way = { properties: { x: { $ref: '#/$defs/n' } }, required: ['y'] };
    const schema = { $defs: { n: { anyOf: Array.from({ length: 9 }, () => way) } }, $ref: '#/$defs/n' };
    const answer = `${'{"x":'.repeat(50)}1${'}'.repeat(50)}`;
    expect(soon(() => check(schema, answer))).toEqual({ problems: [TOO_LONG] });
  });

  test('by a long way to go at each level', () => {
    const defs = Object.fromEntries(
      Array.from({ length: 300 }, (_, index) => [`d${index}`, { $ref: `#/$defs/d${index + 1}` }]),
    );
    const schema = { $defs: { ...defs, d300: { items: { $ref: '#/$defs/d0' } } }, $ref: '#/$defs/d0' };
    expect(problems(schema, [1])).toEqual([TOO_LONG]);
    expect(problems(schema, [])).toEqual([]);
  });

  test('by what is compared with all else', () => {
    const many = `[${'1,'.repeat(60_000)}2]`;
    expect(soon(() => check({ uniqueItems: true }, many))).toHaveProperty('problems');
    const values = Array.from({ length: 700 }, (_, index) => [index, 'x']);
    const deep = { items: { items: { enum: values } } };
    const rows = Array.from({ length: 500 }, () => Array.from({ length: 20 }, () => [699, 'x']));
    expect(soon(() => problems(deep, rows))).toEqual([TOO_LONG]);
  });

  test.each([
    '^(a+)+$',
    '(a|aa)*b',
    '(?:a?){30}b',
    '(a*)*',
    '((a{2,})b?){2}',
    '(a)\\1*b',
    '(?<x>a)\\k<x>b',
    '(?=a*)b',
    '(?<!a+)b',
    '(?i:a)b',
  ])('the pattern %s is refused', (pattern) => {
    expect(refusal({ pattern })).toContain('the pattern');
  });

  test.each([
    'a*a*a*a*b',
    '^a*a*a*b',
    '[^b]*[^c]*[^d]*d$',
    'a?a?a?a?a?a?a?a?a?a?a?a?b',
    '^(?:a|aa|aaa)(?:a|aa)(a*|b)?a*c',
    '\\p{L}*\\p{L}+b',
  ])('the pattern %s is matched with as much as it can be in time', (source) => {
    const pattern = readPattern(source);
    if (typeof pattern === 'string') throw new Error(pattern);
    let most = 0;
    while (pattern.steps(most + 1) <= MOST_STEPS) most += 1;
    expect(most).toBeGreaterThan(10);
    const said = (length: number) => soon(() => problems({ pattern: source }, 'a'.repeat(length)));
    expect(said(most)).toEqual([expect.stringContaining('expected a text that matches')]);
    expect(said(most + 1)).toEqual([
      `the value: ${most + 1} characters are too many to be matched with its pattern.`,
    ]);
    const whole = Array.from({ length: 50 }, () => 'a'.repeat(most));
    expect(soon(() => problems({ items: { pattern: source } }, whole))).toEqual([TOO_LONG]);
  });

  test('a pattern may be as long, and ask for as much, as its limits say', () => {
    const { length, width } = PATTERN_LIMITS;
    expect(problems({ pattern: 'a'.repeat(length) }, 'a'.repeat(length))).toEqual([]);
    expect(refusal({ pattern: 'a'.repeat(length + 1) })).toContain(`has ${length + 1} characters`);
    expect(problems({ pattern: `^a{${width - 2}}$` }, 'a')).toHaveLength(1);
    expect(refusal({ pattern: `^a{${width - 1}}$` })).toContain(
      `asks for ${width + 1} characters one by one`,
    );
    expect(refusal({ pattern: '(a{100}){100}' })).toContain('asks for 10000 characters');
  });

  test.each([
    ['^\\d{4}-\\d{2}-\\d{2}$', '2026-11-26'],
    ['^[\\w.+-]+@[\\w-]+\\.[a-z]{2,}$', 'some.body@example.com'],
    ['^\\d+\\.\\d+\\.\\d+$', '10.20.30'],
    ['^(feat|fix)(\\([a-z]+\\))?: .{1,72}$', 'fix(core): mend it'],
    ['^[a-f0-9]{40}$', 'a'.repeat(40)],
    ['^\\p{Lu}\\u{1f642}?[^\\]\\\\]*$', 'Ä'],
  ])('the pattern %s, as people write it, is taken', (pattern, text) => {
    expect(problems({ pattern }, text)).toEqual([]);
    expect(problems({ pattern }, '\n')).toHaveLength(1);
  });
});

test('a child is told what to answer, and what of it does not fit', () => {
  const schema = { type: 'object', required: ['a'] };
  expect(resultInstruction(schema)).toBe(
    'When the task is done, answer without calling a tool, with one JSON value that fits the JSON Schema below, and with nothing else: ' +
      'no words before or behind it. A program reads that answer.\n\n{"type":"object","required":["a"]}',
  );
  expect(correctionNotice(problems(schema, {}))).toBe(
    'Your answer does not fit the JSON Schema that was asked for:\n- a: is missing.\n\nAnswer again, with the whole JSON value, corrected, ' +
      'and with nothing else. There is no further chance: if it does not fit, the task has failed.',
  );
});
