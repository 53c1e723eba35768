/** What the API says of itself: an OpenAPI document that a linter finds nothing in, and a page that is made of it. */
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROBLEM_CODES } from '../../src/api/problem-codes.ts';
import { html, prose } from '../../src/api/reference/html.ts';
import { schemaBody, typeOf } from '../../src/api/reference/schemas.ts';
import { type Answered, startTestApi, type TestApi } from './api-harness.ts';

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}

let it: TestApi;
let document: Answered;
let page: Answered;

beforeAll(async () => {
  it = await startTestApi();
  document = await it.ask('GET', '/openapi.json', { key: null });
  page = await it.ask('GET', '/docs', { key: null });
});
afterAll(() => it.close());

const operations = (): Operation[] =>
  Object.values(document.json.paths).flatMap((methods) =>
    Object.values(methods as Record<string, Operation>),
  );

/** Codes of problems that operations name. */
function codes(): string[] {
  const described = operations().flatMap(({ responses }) => Object.values(responses));
  return described.flatMap(({ description }) =>
    description.startsWith('A problem')
      ? [...description.matchAll(/`(\w+)`/g)].map(([, code = '']) => code)
      : [],
  );
}

test('the document passes the strict recommended rules of a linter, and some more', async () => {
  const rules = {
    'tag-description': 'error',
    'operation-tag-defined': 'error',
    'operation-singular-tag': 'error',
    'no-duplicated-tag-names': 'error',
    'operation-parameters-unique': 'error',
    'no-schema-type-mismatch': 'error',
    'no-mixed-number-range-constraints': 'error',
  } as const;
  const config = await createConfig({ extends: ['recommended-strict'], rules });
  const found = await lintFromString({ source: document.text, config, absoluteRef: 'openapi.json' });
  expect(found.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual([]);
});

test('every schema has a name that was given to it', () => {
  const names = Object.keys(document.json.components.schemas);
  expect(names.filter((name) => !/^[A-Z][A-Za-z]+$/.test(name))).toEqual([]);
});

test('every code of a problem has its meaning, and every meaning its code', () => {
  const elsewhere = [
    ...['method_not_allowed', 'malformed_request', 'request_header_too_large'],
    ...['request_timeout', 'expectation_failed'],
  ];
  expect([...new Set([...codes(), ...elsewhere])].toSorted()).toEqual(Object.keys(PROBLEM_CODES).toSorted());
});

describe('the page', () => {
  test('is HTML for anyone, under the rules that keep a page from loading anything', () => {
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
    expect(page.text).not.toMatch(/<script|<link|<img|<iframe|@import|url\(/);
    const links = [...page.text.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, link = '']) => link);
    expect(links.filter((link) => !/^(#|openapi\.json$)/.test(link))).toEqual([]);
  });

  test('has every operation, every schema and every code, and each link leads somewhere', () => {
    const ids = new Set([...page.text.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id));
    const schemas = Object.keys(document.json.components.schemas).map((name) => `schema-${name}`);
    const sections = [
      ...operations().map(({ operationId }) => operationId),
      ...schemas,
      ...codes().map((code) => `problem-${code}`),
    ];
    expect(sections.filter((id) => !ids.has(id))).toEqual([]);
    const links = [...page.text.matchAll(/href="#([^"]*)"/g)].map(([, link]) => link);
    expect(links.filter((link) => !ids.has(link))).toEqual([]);
    expect(page.text).not.toMatch(/undefined|\[object/);
  });

  test('shows markup as text', () => {
    const evil = '<b a="1">&`<i>`';
    expect(html`<p title="${evil}">${prose(evil)}</p>`.text).toBe(
      '<p title="&lt;b a=&quot;1&quot;&gt;&amp;`&lt;i&gt;`">&lt;b a=&quot;1&quot;&gt;&amp;<code>&lt;i&gt;</code></p>',
    );
  });
});

describe('a schema', () => {
  const plain = (text: string) => text.replaceAll(/<[^>]*>/g, '').replaceAll('&quot;', '"');

  test.each([
    [{ type: 'string' }, 'string'],
    [{ type: ['string', 'null'] }, 'string | null'],
    [{ enum: ['a', 'b'] }, '"a" | "b"'],
    [{ type: 'array', items: { $ref: '#/components/schemas/Task' } }, 'Task[]'],
    [{ type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'number' }] } }, '(string | number)[]'],
    [{ type: 'object', additionalProperties: { type: 'string' } }, 'object of string'],
    [{ oneOf: [{ type: 'object' }, { type: 'object' }, { type: 'null' }] }, 'object | null'],
    [{}, 'anything'],
  ])('%j is %s', (schema, said) => {
    expect(plain(typeOf(schema).text)).toBe(said);
  });

  test('says its limits, and nothing of those that every number has', () => {
    const said = (schema: object) => plain(schemaBody(schema).text);
    expect(said({ type: 'integer', minimum: 1, maximum: 9 })).toBe('integer 1 to 9');
    expect(said({ type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER })).toBe(
      'integer at least 1',
    );
    expect(said({ type: 'string', minLength: 1 })).toBe('string not empty');
    expect(said({ type: 'string', maxLength: 5, default: 'x' })).toBe(
      'string at most 5 characters, "x" where left out',
    );
  });
});
