/** What of a request is at fault, for programs that show it beside their own form. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Problem } from '../../src/api/wire.ts';
import { startTestApi, type TestApi } from './api-harness.ts';

let it: TestApi;
let sessionId: string;
let taskId: string;

beforeAll(async () => {
  it = await startTestApi();
  ({ sessionId, id: taskId } = await it.submit());
});
afterAll(() => it.close());

const NOBODYS = '0'.repeat(32);
const task = (more: object) => ['POST /v1/tasks', { prompt: 'x', ...more }] as const;

type Refused = readonly [request: string, body: unknown, code: string, field: string | undefined];

test.each<Refused>([
  [...task({ prompt: ' ' }), 'empty_prompt', 'prompt'],
  [...task({ prompt: 1 }), 'invalid_request', 'prompt'],
  [...task({ prompt: 'x'.repeat(2 ** 20 + 1) }), 'prompt_too_large', 'prompt'],
  [...task({ model: 'nobody/m' }), 'unknown_model', 'model'],
  [...task({ agent: 'nobody' }), 'unknown_agent', 'agent'],
  [...task({ limits: { usd: 1 } }), 'price_unknown', 'limits.usd'],
  [...task({ limits: { turns: 0 } }), 'invalid_request', 'limits.turns'],
  [...task({ unknown: 1 }), 'invalid_request', 'unknown'],
  [...task({ sessionId: 'x' }), 'not_found', 'sessionId'],
  [...task({ sessionId: `ses_${NOBODYS}` }), 'not_found', 'sessionId'],
  [...task({ sessionId: `ses_${NOBODYS}`, workspace: { kind: 'empty' } }), 'workspace_given', 'workspace'],
  [...task({ workspace: { kind: 'local', path: 'here' } }), 'bad_workspace', 'workspace'],
  [...task({ workspace: { kind: 'git', url: 'x' } }), 'bad_repository', 'workspace'],
  [...task({ workspace: { kind: 'upload', id: 'x' } }), 'not_found', 'workspace'],
  [...task({ attachments: [{ name: 'a', data: '?' }] }), 'bad_attachment', 'attachments.0'],
  ['PATCH /v1/tasks/TASK', { limits: { turns: 1 } }, 'limit_not_higher', 'limits.turns'],
  ['POST /v1/sessions/SESSION/messages', { text: '' }, 'empty_prompt', 'text'],
  ['POST /v1/sessions/SESSION/fork', { turn: 9 }, 'turn_unknown', 'turn'],
  ['POST /v1/sessions/SESSION/fork', { entry: 9 }, 'entry_unknown', 'entry'],
  ['POST /v1/sessions/SESSION/merge', { from: 'x' }, 'not_found', 'from'],
  ['POST /v1/keys', { name: 'x', userId: `usr_${NOBODYS}` }, 'not_found', 'userId'],
  ['POST /v1/users', { name: 'Ana' }, 'name_taken', 'name'],
  ['GET /v1/tasks?sessionId=x', undefined, 'invalid_request', 'sessionId'],
  ['GET /v1/tasks?cursor=x', undefined, 'invalid_cursor', 'cursor'],
  ...['keys', 'rules', 'users', 'webhooks'].map(
    (list) => [`GET /v1/${list}?userid=x`, undefined, 'invalid_request', 'userid'] as const,
  ),
  ...['0x10', '1e1', '', '+5', '1.0', ' 5', '201', '-1'].map(
    (limit) =>
      [`GET /v1/tasks?limit=${encodeURIComponent(limit)}`, undefined, 'invalid_request', 'limit'] as const,
  ),
  ...['GET /v1/teams', 'GET /v1/keys/self', 'GET /v1/agents', 'POST /v1/tasks/TASK/cancel'].map(
    (asked) => [`${asked}?x=1`, undefined, 'invalid_request', 'x'] as const,
  ),
  ...[
    'keys?cursor=key',
    'users?cursor=usr',
    'schedules?cursor=sch',
    'webhooks?cursor=whk',
    'deliveries?cursor=dlv',
  ].map((list) => [`GET /v1/${list}_${NOBODYS}`, undefined, 'invalid_cursor', 'cursor'] as const),
  ['GET /v1/tasks?__proto__=x', undefined, 'invalid_request', '__proto__'],
  ['POST /v1/tasks', null, 'invalid_request', undefined],
  ['POST /v1/tasks', 'text', 'invalid_request', undefined],
  ...[
    'a\u200bb',
    'a\u202eb',
    'a\u2066b',
    '\u3164',
    'a\u00adb',
    'a\ufe0fb',
    'a\u{e0100}',
    '\u2800',
    '\ufeffa',
    'a\u2028b',
    ' a',
    '',
  ].flatMap((name) => [
    ['POST /v1/users', { name }, 'invalid_request', 'name'] as const,
    ['POST /v1/teams', { name, userName: 'x' }, 'invalid_request', 'name'] as const,
    ['POST /v1/keys', { name }, 'invalid_request', 'name'] as const,
    ['POST /v1/schedules', { name, every: 60, task: { prompt: 'x' } }, 'invalid_request', 'name'] as const,
  ]),
  ['POST /v1/schedules', { name: 'Last', every: 60, task: { prompt: 'x' } }, 'invalid_request', 'name'],
  ['GET /v1/usage?since=2026-02-01&until=2026-01-01', undefined, 'invalid_range', 'since'],
])('%s with %j is %s, at %s', async (request, body, code, field) => {
  const [method = '', path = ''] = request.replace('TASK', taskId).replace('SESSION', sessionId).split(' ');
  const { json } = await it.ask(method, path, body === undefined ? {} : { body });
  expect([Problem.parse(json).code, json.field]).toEqual([code, field]);
});

test('a body that is no object, and a name that JavaScript keeps for itself, are told in a sentence', async () => {
  const detail = async (raw: string) => {
    const headers = { 'content-type': 'application/json' };
    return (await it.ask('POST', '/v1/tasks', { raw, headers })).json.detail;
  };
  const found = 'The request body cannot be used: expected an object, found';
  for (const [raw, what] of Object.entries({
    null: 'null',
    ' true': 'true',
    '-1': 'a number',
    '"x"': 'a text',
  }))
    expect(await detail(raw)).toBe(`${found} ${what}.`);
  expect(await detail('"x')).toMatch(/^The request body is not JSON: /);
  expect(await detail('nul')).toMatch(/^The request body is not JSON: /);
  const kept = 'The request body has a field that cannot be kept, metadata.__proto__: give it another name.';
  for (const name of ['__proto__', '\\u005f_proto__'])
    expect(await detail(`{"prompt": "x", "metadata": {"${name}": "x"}}`)).toBe(kept);
  const deep = 1_000_000;
  expect(await detail(`${'['.repeat(deep)}${']'.repeat(deep)}`)).toMatch(
    /^The request body cannot be used: /,
  );
});

test.each([
  ['tasks?limit=0', 'limit', ' from 1 to 200'],
  ['tasks?limit=201', 'limit', ' from 1 to 200'],
  ['tasks?limit=x', 'limit', ' from 1 to 200'],
  ['sessions/SESSION/events?wait=61', 'wait', ' from 0 to 60'],
  [`outputs/out_${NOBODYS}?offset=-1`, 'offset', ', 0 or more'],
])('%s is told which %s there may be', async (path, field, range) => {
  const { json } = await it.ask('GET', `/v1/${path.replace('SESSION', sessionId)}`);
  expect(json.detail).toBe(`The query cannot be used at ${field}: expected a whole number${range}.`);
});

test('names are taken as people write them', async () => {
  for (const name of ['Ana Müller', '山田 太郎', 'Ольга', 'مريم', 'x y', 'e\u0301'])
    expect((await it.ask('POST', '/v1/users', { body: { name } })).status).toBe(201);
});

test('what is wrong of where a stream goes on is named by where it was said', async () => {
  const ask = async (query: string, headers = {}) =>
    (await it.ask('GET', `/v1/sessions/${sessionId}/events${query}`, { headers })).json;
  const code = 'invalid_after';
  for (const wrong of ['x', '999999'])
    expect(await ask('?after=0', { 'last-event-id': wrong })).toMatchObject({ code, field: 'last-event-id' });
  expect(await ask('?after=x')).toMatchObject({ code, field: 'after' });
  expect(await ask('?cursor=x')).toMatchObject({ code, field: 'cursor' });
});

test('a header that is at fault is named', async () => {
  const ask = async (headers: Record<string, string>) =>
    (await it.ask('POST', '/v1/tasks', { body: { prompt: 'x' }, headers })).json;
  expect(await ask({ 'idempotency-key': 'x'.repeat(256) })).toMatchObject({
    ...{ code: 'invalid_idempotency_key', field: 'idempotency-key' },
  });
  await ask({ 'idempotency-key': 'used' });
  const body = { prompt: 'another' };
  const again = await it.ask('POST', '/v1/tasks', { body, headers: { 'idempotency-key': 'used' } });
  expect(again.json).toMatchObject({ code: 'idempotency_conflict', field: 'idempotency-key' });
  expect(await ask({ 'content-type': 'text/plain' })).toMatchObject({ field: 'content-type' });
  expect(await ask({ authorization: 'Bearer x' })).toMatchObject({ field: 'authorization' });
});
