/** Whose key may do what: every route with every scope, and with a foreign team's key. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi, routesOf } from '../../src/api/app.ts';
import type { Route } from '../../src/api/route.ts';
import { listen } from '../../src/api/server.ts';
import { TailHub } from '../../src/api/tails.ts';
import { Problem, Task } from '../../src/api/wire.ts';
import { newId } from '../../src/clock.ts';
import { toPublicId } from '../../src/core/id.ts';
import { SCOPES } from '../../src/core/scope.ts';
import { silentLog } from '../../src/log.ts';
import { mintKey } from '../../src/store/keys.ts';
import { putOutput } from '../../src/store/outputs.ts';
import { resolveApproval } from '../../src/store/tasks.ts';
import { parkTurn, settleTurn } from '../../src/store/turns.ts';
import { recordUpload } from '../../src/store/uploads.ts';
import { keyOf } from '../support/store.ts';
import { aCall, askerOf, HandWorker, type Person, startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
let routes: readonly Route[];
let stranger: Person;
/** What is ours, by the kind of its id. */
let ours: Readonly<Record<string, string>>;

beforeAll(async () => {
  it = await startTestApi();
  const tails = new TailHub(it.deps);
  routes = routesOf(it.deps, tails);
  await tails.close();
  stranger = await it.addPerson('theirs', 'Bo');
  ours = await things();
});
afterAll(() => it.close());

/** One of each kind of what an address may name. */
async function things(): Promise<Record<string, string>> {
  const { id: task, sessionId: session } = await it.submit();
  const worker = await new HandWorker(it.db).register();
  const tool = { type: 'tool' as const, callId: 'a', name: 'bash', arguments: '{}' };
  const held = await worker.claim(uuid('session', session));
  const [approvalId, ruleId, uploadId] = [newId(), newId(), newId()];
  const always = { kind: 'command' as const, value: 'ls' };
  const call = aCall({ callId: 'a', status: 'awaiting_approval', approvalId, always });
  await worker.answer(held, { parts: [tool], calls: [call] });
  await parkTurn(it.db, held, []);
  await resolveApproval(it.db, { ...it.me, approvalId, decision: 'allowed', ruleId });
  const again = await worker.claim(uuid('session', session));
  const outputHash = await putOutput(it.db, uuid('session', session), 'text');
  const results = [{ id: call.id, status: 'succeeded' as const, parts: [], durationMs: 1, outputHash }];
  await settleTurn(it.db, again, { results, end: { kind: 'continue' }, nextTurnId: newId() });
  await recordUpload(it.db, {
    ...{ ...it.me, id: uploadId, directory: '/x', lineage: newId(), snapshot: 'a'.repeat(40) },
  });
  const key = await keyOf(it.db, { ...it.me, name: 'mine' });
  return {
    ...{ task, session, output: toPublicId('output', call.id), workspace: toPublicId('workspace', uploadId) },
    approval: toPublicId('approval', approvalId),
    rule: toPublicId('rule', ruleId),
    user: toPublicId('user', it.me.userId),
    key: toPublicId('key', key.id),
    ...(await webhooks()),
    schedule: await aSchedule(),
  };
}

/** A webhook, and what is on its way to it. */
async function webhooks(): Promise<Record<string, string>> {
  const body = { url: 'https://hooks.example/', events: ['session.merged'] };
  const { id: webhook } = (await it.ask('POST', '/v1/webhooks', { body })).json;
  const { id: delivery } = (await it.ask('POST', `/v1/webhooks/${webhook}/test`)).json;
  return { webhook, delivery };
}

async function aSchedule(): Promise<string> {
  const body = { name: 'nightly', cron: '0 0 29 2 *', task: { prompt: 'x' } };
  return (await it.ask('POST', '/v1/schedules', { body })).json.id;
}

/** A body that each route would take, and what else its address needs. */
const BODIES: Readonly<Record<string, unknown>> = {
  'PATCH /v1/sessions/:id': { title: 'x' },
  'POST /v1/tasks': { prompt: 'x' },
  'PATCH /v1/tasks/:id': { limits: { turns: 900 } },
  'POST /v1/sessions/:id/messages': { text: 'x' },
  'POST /v1/sessions/:id/fork': {},
  'POST /v1/sessions/:id/revert': { entry: 1 },
  'POST /v1/sessions/:id/compact': {},
  'POST /v1/sessions/:id/merge': { from: `ses_${'0'.repeat(32)}` },
  'POST /v1/approvals/:id': { decision: 'deny' },
  'POST /v1/teams': { name: 'new', userName: 'Al' },
  'POST /v1/users': { name: 'Di' },
  'POST /v1/keys': { name: 'new' },
  'POST /mcp': { jsonrpc: '2.0', id: 1, method: 'ping' },
  'PUT /v1/mcp/servers/:name': { url: 'https://mcp.example/' },
  'POST /v1/mcp/servers/:name/sign-in': { redirectUri: 'http://127.0.0.1:9/callback' },
  'POST /v1/mcp/servers/:name/sign-in/finish': { login: 'x', code: 'x', state: 'x' },
  'POST /v1/webhooks': { url: 'https://hooks.example/' },
  'PATCH /v1/webhooks/:id': {},
  'POST /v1/schedules': { name: 'new', every: 3_600, task: { prompt: 'x' } },
  'PATCH /v1/schedules/:id': {},
};

const nameOf = ({ method, path }: Route) => `${method.toUpperCase()} ${path}`;

function ask(each: Route, key: string, id = each.id === undefined ? '' : ours[each.id]) {
  const query = each.path === '/v1/usage' ? '?by=model' : '';
  const path = each.path.replace(':id', id ?? '').replace(':name', 'search') + query;
  const body = BODIES[nameOf(each)];
  return it.ask(each.method.toUpperCase(), path, {
    key,
    ...(body === undefined ? {} : { body }),
    ...(each.stream === undefined ? {} : { raw: 'x' }),
    // As from another machine: to this one some of what needs a key is open.
    headers: {
      'x-forwarded-for': '203.0.113.9',
      ...(each.stream === undefined ? {} : { 'content-type': each.stream }),
    },
  });
}

describe('every route', () => {
  test('is open, or says what a key must be for, and is asked with what it takes', () => {
    const open = routes.filter(({ scope }) => scope === undefined).map(({ path }) => path);
    expect(open).toEqual(['/healthz', '/readyz', '/openapi.json', '/docs']);
    const unknown = routes.filter(({ id }) => id !== undefined && ours[id] === undefined);
    expect(unknown.map(nameOf)).toEqual([]);
    const bodiless = routes.filter((each) => each.body !== undefined && !(nameOf(each) in BODIES));
    expect(bodiless.map(nameOf)).toEqual([]);
  });

  test('refuses a key that is for everything else, before it looks at anything', async () => {
    const before = await it.db.sql`SELECT count(*)::int AS count FROM task`;
    for (const missing of SCOPES) {
      const scopes = SCOPES.filter((scope) => scope !== missing);
      const { apiKey } = await it.addPerson('ours', `without ${missing}`, scopes);
      for (const each of routes.filter(({ scope }) => scope === missing)) {
        const { status, json } = await ask(each, apiKey);
        const { code, detail } = Problem.parse(json);
        expect([nameOf(each), status, code]).toEqual([nameOf(each), 403, 'missing_scope']);
        expect(detail).toContain(`the scope ${missing}, and the one that was sent has ${scopes.join(', ')}`);
      }
    }
    expect(await it.db.sql`SELECT count(*)::int AS count FROM task`).toEqual(before);
  });

  test('takes a key that is for it alone', async () => {
    for (const scope of SCOPES) {
      const { apiKey } = await it.addPerson('ours', `only ${scope}`, [scope]);
      for (const each of routes.filter((one) => one.scope === scope)) {
        const { status, json } = await ask(each, apiKey, `${ours[each.id ?? '']?.slice(0, -1)}g`);
        expect([nameOf(each), status, json?.code]).not.toEqual([nameOf(each), 403, 'missing_scope']);
      }
    }
  });

  test('knows nothing of another team: what is theirs is as what is nobody’s', async () => {
    for (const each of routes.filter(({ id }) => id !== undefined)) {
      const mine = ours[each.id ?? ''] ?? '';
      const nobodys = mine.replace(/_.*/, `_${'9'.repeat(32)}`);
      const answers = [await ask(each, stranger.apiKey), await ask(each, stranger.apiKey, nobodys)];
      const told = answers.map(({ status, text }) => [
        nameOf(each),
        status,
        text.replaceAll(mine, '(id)').replaceAll(nobodys, '(id)'),
      ]);
      expect(told[0]).toEqual(told[1]);
      expect([told[0]?.[0], told[0]?.[1]]).toEqual([nameOf(each), 404]);
    }
  });

  test('lists nothing of another team', async () => {
    const other = await it.addPerson('others', 'Cy');
    const secrets = [...Object.values(ours), it.me.apiKey, 'Ana', '"ours"'];
    for (const each of routes.filter(({ id, method }) => id === undefined && method === 'get')) {
      const { status, text } = await ask(each, other.apiKey);
      // Of all teams together, and so not for an administrator of one.
      const expected = each.path === '/metrics' ? 403 : 200;
      expect([nameOf(each), status]).toEqual([nameOf(each), expected]);
      expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
    }
  });
});

describe('a key may be sent too often', () => {
  test('and is told when it may again, while another may', async () => {
    const api = await startTestApi(() => ({ requestsPerMinute: 3 }));
    const other = await api.addPerson('ours', 'Di');
    const statuses: number[] = [];
    for (let count = 0; count < 4; count += 1) statuses.push((await api.ask('GET', '/v1/tasks')).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
    const { headers, json } = await api.ask('POST', '/v1/tasks', { body: { prompt: 'x' } });
    expect(Problem.parse(json).code).toBe('rate_limited');
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(headers.get('ratelimit')).toMatch(/^"key"; r=0; t=\d+$/);
    expect((await api.ask('GET', '/v1/tasks', { key: other.apiKey })).status).toBe(200);
    expect(await api.db.sql`SELECT id FROM audit`).toEqual([]);
    await api.close();
  });
});

describe('wrong keys from one address', () => {
  const wrong = async (api: TestApi, count: number, key = mintKey()) => {
    const answers = [];
    for (let sent = 0; sent < count; sent += 1) answers.push(await api.ask('GET', '/v1/tasks', { key }));
    return answers;
  };

  test('are as many as are set, then told when more may come, while a good one is let in', async () => {
    const warned: unknown[] = [];
    const log = { ...silentLog, warn: (fields: unknown) => void warned.push(fields) } as typeof silentLog;
    const api = await startTestApi(() => ({ wrongKeysPerMinute: 3, log }));
    expect((await api.ask('GET', '/v1/tasks', { key: null })).json).toMatchObject({ code: 'missing_key' });
    const answers = await wrong(api, 4);
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 429]);
    const [malformed] = await wrong(api, 1, 'capy_x');
    expect(Problem.parse(malformed?.json)).toMatchObject({
      ...{ status: 429, code: 'too_many_wrong_keys', field: 'authorization' },
      detail: expect.stringContaining('The 3 wrong keys that may come from one address in a minute'),
    });
    const seconds = Number(malformed?.headers.get('retry-after'));
    expect([seconds >= 1, seconds <= 60]).toEqual([true, true]);
    const [good] = await wrong(api, 1, api.me.apiKey);
    expect(good?.status).toBe(200);
    expect(warned).toEqual([{ address: expect.stringContaining('127.0.0.1'), perMinute: 3 }]);
    await api.close();
  });

  test('are as many as they like where that is set', async () => {
    expect((await wrong(it, 5)).map(({ status }) => status)).toEqual([401, 401, 401, 401, 401]);
  });
});

describe('the audit trail', () => {
  test('says who asked for what, and what came of it, also of what was refused', async () => {
    const { apiKey } = await it.addPerson('audited', 'Eve', ['read', 'submit', 'admin']);
    const key = { key: apiKey };
    const { id } = Task.parse((await it.ask('POST', '/v1/tasks', { ...key, body: { prompt: 'x' } })).json);
    await it.ask('POST', `/v1/tasks/${id}/cancel`, key);
    await it.ask('DELETE', `/v1/rules/${ours.rule}`, key);
    await it.ask('POST', '/v1/tasks', { ...key, raw: '{', headers: { 'content-type': 'application/json' } });
    await it.ask('GET', '/v1/tasks', key);
    const records = async (query = '') =>
      ((await it.ask('GET', `/v1/audit${query}`, key)).json.data as Record<string, unknown>[])
        .map(({ userName, keyName, action, subject, status }) => [userName, keyName, action, subject, status])
        .reverse();
    // What was answered is written behind the answer.
    await expect
      .poll(() => records())
      .toEqual([
        ['Eve', 'test', 'POST /v1/tasks', id, 201],
        ['Eve', 'test', 'POST /v1/tasks/:id/cancel', id, 200],
        ['Eve', 'test', 'DELETE /v1/rules/:id', ours.rule, 403],
        ['Eve', 'test', 'POST /v1/tasks', null, 400],
      ]);
    expect(await records(`?subject=${id}`)).toHaveLength(2);
    expect(await records(`?userId=usr_${'0'.repeat(32)}`)).toEqual([]);
    expect((await it.ask('GET', '/v1/audit?userId=x', key)).json).toMatchObject({
      status: 400,
      field: 'userId',
    });
  });

  test('says it also of a client that hung up before it was answered', async () => {
    const { apiKey } = await it.addPerson('hung up', 'Ida', ['read', 'submit', 'admin']);
    const { models } = it.deps;
    let answering: ServerResponse | undefined;
    const hangUp = {
      ...models,
      resolve: (name?: string) => {
        answering?.socket?.destroy();
        return models.resolve(name);
      },
    };
    const app = createApi({ ...it.deps, models: hangUp });
    const api = (request: IncomingMessage, response: ServerResponse) => {
      answering = response;
      app(request, response);
    };
    const server = await listen(Object.assign(api, app), { host: '127.0.0.1', port: 0 });
    const ask = askerOf(server.url, { ...it.me, apiKey });
    await expect(ask('POST', '/v1/tasks', { body: { prompt: 'x' } })).rejects.toThrow();
    await expect
      .poll(async () => (await it.ask('GET', '/v1/audit', { key: apiKey })).json.data)
      .toMatchObject([{ action: 'POST /v1/tasks', status: 201, subject: expect.stringMatching(/^task_/) }]);
    await server.close();
  });
});

describe('a page of a browser', () => {
  const from = (origin: string) => ({
    key: null,
    headers: { origin, 'access-control-request-method': 'POST' },
  });

  test('may use the API only where its origin is named', async () => {
    const api = await startTestApi(() => ({ corsOrigins: ['https://tools.example'] }));
    const allowed = async (origin: string) =>
      (await api.ask('OPTIONS', '/v1/tasks', from(origin))).headers.get('access-control-allow-origin');
    expect(await allowed('https://tools.example')).toBe('https://tools.example');
    expect(await allowed('https://evil.example')).toBeNull();
    expect((await it.ask('OPTIONS', '/v1/tasks', from('https://tools.example'))).status).toBe(405);
    const { headers } = await it.ask('GET', '/v1/tasks', { headers: { origin: 'https://tools.example' } });
    expect(headers.get('access-control-allow-origin')).toBeNull();
    await api.close();
  });

  test('can read that the server is stopping', async () => {
    const app = createApi({ ...it.deps, corsOrigins: ['https://tools.example'] });
    const server = await listen(app, { host: '127.0.0.1', port: 0 });
    await app.stop();
    const response = await fetch(`${server.url}/v1/tasks`, { headers: { origin: 'https://tools.example' } });
    const allowed = response.headers.get('access-control-allow-origin');
    await server.close();
    expect([response.status, allowed]).toEqual([503, 'https://tools.example']);
  });
});
