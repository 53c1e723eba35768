/**
 * Garbage for every route, made from its own schema: each request is refused with a code that the document names, at once, and nothing
 * is written. CAPYBARA_TEST_FUZZ_RUNS says how many requests each route gets, CAPYBARA_TEST_SEED sends others.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routesOf } from '../../src/api/app.ts';
import { openApiOf } from '../../src/api/openapi.ts';
import type { Route } from '../../src/api/route.ts';
import { TailHub } from '../../src/api/tails.ts';
import { Problem } from '../../src/api/wire.ts';
import { ID_PREFIXES } from '../../src/core/id.ts';
import { fitting, garbage, type JsonSchema, spoilt } from '../support/garbage.ts';
import { startTestApi, type TestApi } from './api-harness.ts';

const RUNS = Number(process.env.CAPYBARA_TEST_FUZZ_RUNS ?? 6);
const SEED = Number(process.env.CAPYBARA_TEST_SEED ?? 1);
/** An answer that takes longer hangs. */
const HANG_MS = 10_000;

interface Operation {
  readonly parameters?: readonly {
    readonly in: string;
    readonly name: string;
    readonly schema: JsonSchema;
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> };
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}

interface Sent {
  readonly path: string;
  readonly body?: string;
  readonly headers: Readonly<Record<string, string>>;
}

let it: TestApi;
let routes: readonly Route[];
let paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
let schemas: Readonly<Record<string, JsonSchema>>;
/** A thing of ours, where there is one of the kind. */
let ours: Readonly<Record<string, string>>;

beforeAll(async () => {
  it = await startTestApi();
  const tails = new TailHub(it.deps);
  routes = routesOf(it.deps, tails);
  await tails.close();
  const document = openApiOf(routes);
  paths = document.paths as unknown as typeof paths;
  schemas = document.components?.schemas as unknown as typeof schemas;
  const { id: task, sessionId: session } = await it.submit();
  ours = { task, session };
});
afterAll(() => it.close());

const resolve = (ref: string) => schemas[ref.split('/').at(-1) ?? ''] ?? {};

function operationOf({ method, path }: Route): Operation {
  const found = paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method];
  if (found === undefined) throw new Error(`${method} ${path} is not in the document`);
  return found;
}

/** Nothing that could be one of ours. */
function nobodys({ id: kind }: Route): fc.Arbitrary<string> {
  const prefix = kind === undefined ? '' : ID_PREFIXES[kind];
  return fc.oneof(
    fc.constantFrom(
      `${prefix}_${'0'.repeat(32)}`,
      `${prefix}_`,
      'last',
      '%00',
      '%ff',
      '%2e%2e%2f',
      'x'.repeat(999),
    ),
    fc
      .string({ unit: 'binary', minLength: 1, maxLength: 9 })
      .map((text) => encodeURIComponent(text.toWellFormed())),
  );
}

/** A query of what there is and what there is not; no wait that would be obeyed. */
function queryOf(operation: Operation): fc.Arbitrary<string> {
  const known = (operation.parameters ?? []).filter((each) => each.in === 'query' && each.name !== 'wait');
  const names = [...known.map(({ name }) => name), 'unknown', 'limit'];
  const pair = fc.tuple(fc.constantFrom(...names), garbage);
  return fc.array(pair, { minLength: 1, maxLength: 3 }).map((pairs) => {
    const texts = pairs.map(([name, value]): [string, string] => [name, shortText(value)]);
    return new URLSearchParams(texts).toString();
  });
}

/** As long as an address takes. */
function shortText(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.slice(0, 500).toWellFormed();
}

/** For what only reads: a thing of ours, asked for with garbage. */
function readRequest(route: Route): fc.Arbitrary<Sent> {
  const mine = route.id === undefined ? undefined : ours[route.id];
  const id = mine === undefined ? nobodys(route) : fc.oneof(fc.constant(mine), nobodys(route));
  const headers = fc.oneof(
    fc.constant({}),
    fc.constantFrom({ range: 'bytes=9-1' }, { 'last-event-id': 'x' }),
  );
  return fc.tuple(id, queryOf(operationOf(route)), headers).map(([found, query, sent]) => ({
    path: `${route.path.replace(':id', found)}?${query}`,
    headers: sent,
  }));
}

/** For what would change something: a body that its schema refuses, or a good one about nothing. */
function changeRequest(route: Route): fc.Arbitrary<Sent> {
  const json = { 'content-type': 'application/json' };
  const schema = operationOf(route).requestBody?.content['application/json']?.schema;
  const at = (id: string) => route.path.replace(':id', id);
  if (route.stream !== undefined)
    return queryOf(operationOf(route)).map((query) => ({
      ...{ path: `${route.path}?${query}`, body: 'x', headers: { 'content-type': route.stream ?? '' } },
    }));
  if (schema === undefined) return nobodys(route).map((id) => ({ path: at(id), headers: {} }));
  const good = fitting(schema, resolve);
  const sent = fc.oneof(spoilt(good), garbage).map((body) => JSON.parse(JSON.stringify(body) ?? 'null'));
  const bad = sent.filter((body) => route.body?.safeParse(body).success === false);
  const refused = bad.map((body) => ({
    ...{ path: at(ours[route.id ?? ''] ?? ''), body: JSON.stringify(body), headers: json },
  }));
  const broken = fc.constantFrom('{', '[1', 'nul', '"', '{"a":}', '\u0000', '{"a":1}}').map((body) => ({
    ...{ path: at(ours[route.id ?? ''] ?? ''), body, headers: json },
  }));
  const untyped = good.map((body) => ({
    ...{
      path: at(ours[route.id ?? ''] ?? ''),
      body: JSON.stringify(body),
      headers: { 'content-type': 'text/plain' },
    },
  }));
  const others = [refused, broken, untyped];
  if (route.id === undefined) return fc.oneof({ arbitrary: refused, weight: 4 }, broken, untyped);
  const about = fc.tuple(nobodys(route), good);
  const nowhere = about.map(([id, body]) => ({ path: at(id), body: JSON.stringify(body), headers: json }));
  return fc.oneof({ arbitrary: refused, weight: 4 }, nowhere, ...others.slice(1));
}

async function send(method: string, { path, body, headers }: Sent) {
  const response = await fetch(`${it.url}${path}`, {
    ...{ method: method.toUpperCase(), headers: { authorization: `Bearer ${it.me.apiKey}`, ...headers } },
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(HANG_MS),
  });
  return { status: response.status, text: await response.text() };
}

/** Everything that is stored, but the audit trail and when keys were used. */
async function stored(): Promise<unknown> {
  const tables = await it.db.sql<{ name: string }>`
    SELECT table_name AS name FROM information_schema.tables
     WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
       AND table_name NOT IN ('audit', 'api_key', '_prisma_migrations') ORDER BY 1`;
  expect(tables.length).toBeGreaterThan(15);
  const rows: [string, unknown][] = [];
  for (const { name } of tables) {
    const text = `SELECT count(*)::int AS count, md5(string_agg(t::text, ' ' ORDER BY t::text)) AS hash FROM public."${name}" t`;
    rows.push([name, (await it.db.read(text))[0]]);
  }
  return [
    ...rows,
    ['api_key', await it.db.sql`SELECT count(*)::int AS count FROM api_key WHERE revoked_at IS NULL`],
  ];
}

const nameOf = ({ method, path }: Route) => `${method.toUpperCase()} ${path}`;

describe('garbage', () => {
  test('is refused by every route with what its document says, and changes nothing', async () => {
    const before = await stored();
    for (const route of routes) {
      const { responses } = operationOf(route);
      const reads = route.method === 'get';
      const request = reads ? readRequest(route) : changeRequest(route);
      const refused = fc.asyncProperty(request, async (sent) => {
        const { status, text } = await send(route.method, sent);
        if (reads && status < 300) return;
        const where = `${nameOf(route)} answered ${status}: ${text.slice(0, 500)}`;
        expect(status, where).toBeGreaterThanOrEqual(400);
        expect(status, where).toBeLessThan(500);
        const { code, detail } = Problem.parse(JSON.parse(text));
        const isSaid = responses[status]?.description.includes(`\`${code}\``) === true;
        // What names no route at all is not found by none.
        expect(isSaid || status === 404 || status === 405, where).toBe(true);
        expect(detail).toMatch(/\S.*[.:`…)]$/s);
      });
      await fc.assert(refused, { numRuns: RUNS, seed: SEED, endOnFailure: true });
    }
    expect(await stored()).toEqual(before);
  }, 300_000);

  test('that a schema takes, in whatever text, is no bug either', async () => {
    for (const route of routes.filter(({ body }) => body !== undefined)) {
      const schema = operationOf(route).requestBody?.content['application/json']?.schema ?? {};
      const id = ours[route.id ?? ''];
      const path = fc.oneof(...(id === undefined ? [] : [fc.constant(id)]), nobodys(route));
      const request = fc.tuple(path, fitting(schema, resolve));
      const answered = fc.asyncProperty(request, async ([found, body]) => {
        const { status, text } = await send(route.method, {
          path: route.path.replace(':id', found),
          body: JSON.stringify(body),
          headers: { 'content-type': 'application/json' },
        });
        const where = `${nameOf(route)} answered ${status}: ${text.slice(0, 500)}`;
        expect(status, where).toBeLessThan(500);
        if (status >= 400) Problem.parse(JSON.parse(text));
      });
      await fc.assert(answered, { numRuns: RUNS, seed: SEED, endOnFailure: true });
    }
  }, 300_000);
});
