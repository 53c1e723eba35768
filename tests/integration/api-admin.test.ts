/** Teams, their people and their keys. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { toldAgain } from '../../src/api/told-again.ts';
import { Entry, Message, Problem, page } from '../../src/api/wire.ts';
import { CreatedKey, CreatedTeam, Key, MAX_KEY_DAYS, Teams, User } from '../../src/api/wire-admin.ts';
import { toPublicId } from '../../src/core/id.ts';
import { SCOPES, USUAL_SCOPES } from '../../src/core/scope.ts';
import { HandWorker, startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;

beforeAll(async () => {
  it = await startTestApi();
  await it.db.sql`UPDATE team SET operates = true WHERE id = ${it.me.teamId}`;
});
afterAll(() => it.close());

const Keys = page(Key);

async function made<Schema extends z.ZodType>(
  schema: Schema,
  path: string,
  body: unknown,
  more: { readonly key?: string; readonly headers?: Record<string, string> } = {},
): Promise<z.infer<Schema>> {
  const { status, json } = await it.ask('POST', path, { body, ...more });
  expect(status).toBe(201);
  return schema.parse(json);
}

async function problem(method: string, path: string, body?: unknown, key = it.me.apiKey) {
  const { json } = await it.ask(method, path, { key, ...(body === undefined ? {} : { body }) });
  const { status, code, field } = Problem.parse(json);
  return [status, code, ...(field === undefined ? [] : [field])];
}

describe('a key', () => {
  test('is told once, is for what was said, and is known by how it begins', async () => {
    const key = await made(CreatedKey, '/v1/keys', { name: 'bot', scopes: ['submit', 'read'] });
    expect(key).toMatchObject({ name: 'bot', scopes: ['read', 'submit'], userName: 'Ana', expiresAt: null });
    expect(key.apiKey.startsWith(key.prefix)).toBe(true);
    const { json, text } = await it.ask('GET', '/v1/keys');
    const [newest] = Keys.parse(json).data;
    const { apiKey, ...shown } = key;
    expect(newest).toEqual(shown);
    expect(text).not.toContain(apiKey);
    const self = await it.ask('GET', '/v1/keys/self', { key: apiKey });
    expect(Key.parse(self.json)).toMatchObject({ id: key.id, scopes: ['read', 'submit'] });
    expect(Key.parse(self.json).lastUsedAt).not.toBeNull();
    expect(await problem('GET', '/v1/keys', undefined, apiKey)).toEqual([403, 'missing_scope']);
  });

  test('is for the usual where nothing is said, and may be somebody else’s and for some days', async () => {
    const user = await made(User, '/v1/users', { name: 'Di' });
    const key = await made(CreatedKey, '/v1/keys', { name: 'k', userId: user.id, expiresInDays: 1 });
    expect(key).toMatchObject({ scopes: USUAL_SCOPES, userId: user.id, userName: 'Di' });
    const hours = (Date.parse(key.expiresAt ?? '') - Date.parse(key.createdAt)) / 3_600_000;
    expect(hours).toBeCloseTo(24, 1);
  });

  test('that was revoked opens nothing any more', async () => {
    const key = await made(CreatedKey, '/v1/keys', { name: 'gone' });
    expect((await it.ask('DELETE', `/v1/keys/${key.id}`)).json).toEqual({ id: key.id });
    expect(await problem('GET', '/v1/tasks', undefined, key.apiKey)).toEqual([
      401,
      'invalid_key',
      'authorization',
    ]);
    expect(Keys.parse((await it.ask('GET', '/v1/keys')).json).data.map(({ id }) => id)).not.toContain(key.id);
  });

  test('is made once for one Idempotency-Key, and told anew to who made it until somebody uses it', async () => {
    const headers = { 'idempotency-key': 'one' };
    const body = { name: 'once' };
    const refused = async (change: object = {}, key = it.me.apiKey) => {
      const { json, text } = await it.ask('POST', '/v1/keys', { body: { ...body, ...change }, headers, key });
      expect(text).not.toContain('apiKey');
      return Problem.parse(json);
    };
    const { apiKey: lost, prefix: _, ...first } = await made(CreatedKey, '/v1/keys', body, { headers });
    expect(await refused({ name: 'other' })).toMatchObject({ status: 409, code: 'idempotency_conflict' });
    const other = await it.addPerson('ours', 'Oda');
    expect(await refused({}, other.apiKey)).toMatchObject({ status: 409, code: 'made_already' });
    const { apiKey, prefix, ...again } = await made(CreatedKey, '/v1/keys', body, { headers });
    expect([again, apiKey.startsWith(prefix)]).toEqual([first, true]);
    expect(await problem('GET', '/v1/keys/self', undefined, lost)).toEqual([
      401,
      'invalid_key',
      'authorization',
    ]);
    expect((await it.ask('GET', '/v1/keys/self', { key: apiKey })).json.id).toBe(first.id);
    expect(await refused()).toMatchObject({
      ...{ code: 'made_already', detail: expect.stringContaining(first.id) },
    });
    await it.ask('DELETE', `/v1/keys/${first.id}`);
    expect(await refused()).toMatchObject({ code: 'made_already' });
  });

  test('that was told to a repeat stays as it is where the first request comes late', async () => {
    const headers = { 'idempotency-key': 'late' };
    const { id, apiKey } = await made(CreatedKey, '/v1/keys', { name: 'late' }, { headers });
    const self = Key.parse((await it.ask('GET', '/v1/keys/self')).json);
    const call = {
      caller: { keyId: uuid('key', self.id) },
      body: { name: 'late' },
      response: { destroyed: true },
    };
    const again = { keyId: uuid('key', id), made: { kind: 'key', id: uuid('key', id) } } as const;
    const late = toldAgain(it.deps, call as never, { ...again, otherwise: new Error('none') as never });
    await expect(late).rejects.toMatchObject({ code: 'made_already' });
    expect((await it.ask('GET', '/v1/keys/self', { key: apiKey })).status).toBe(200);
  });

  test.each([
    [{}, 'name'],
    [{ name: '' }, 'name'],
    [{ name: ' x' }, 'name'],
    [{ name: 'x'.repeat(101) }, 'name'],
    [{ name: 'x', scopes: [] }, 'scopes'],
    [{ name: 'x', scopes: ['root'] }, 'scopes.0'],
    [{ name: 'x', expiresInDays: 0 }, 'expiresInDays'],
    [{ name: 'x', expiresInDays: MAX_KEY_DAYS + 1 }, 'expiresInDays'],
    [{ name: 'x', scope: 'read' }, 'scope'],
  ])('is not made of %j', async (body, field) => {
    expect(await problem('POST', '/v1/keys', body)).toEqual([400, 'invalid_request', field]);
  });

  test('is not made for who is not there, not of the team, or has left', async () => {
    const stranger = await it.addPerson('theirs', 'Bo');
    for (const userId of ['x', `usr_${'0'.repeat(32)}`, toPublicId('user', stranger.userId)])
      expect(await problem('POST', '/v1/keys', { name: 'x', userId })).toEqual([404, 'not_found', 'userId']);
    const { id } = await made(User, '/v1/users', { name: 'Leaver' });
    await it.ask('DELETE', `/v1/users/${id}`);
    expect(await problem('POST', '/v1/keys', { name: 'x', userId: id })).toEqual([
      409,
      'user_left',
      'userId',
    ]);
  });
});

describe('somebody', () => {
  test('is added once under a name, and keeps it when they leave, with no key', async () => {
    const headers = { 'idempotency-key': 'flo' };
    const user = await made(User, '/v1/users', { name: 'Flo' }, { headers });
    expect(await made(User, '/v1/users', { name: 'Flo' }, { headers })).toEqual(user);
    const other = await it.ask('POST', '/v1/users', { body: { name: 'Fly' }, headers });
    expect(Problem.parse(other.json).code).toBe('idempotency_conflict');
    expect(await problem('POST', '/v1/users', { name: 'Flo' })).toEqual([409, 'name_taken', 'name']);
    const key = await made(CreatedKey, '/v1/keys', { name: 'k', userId: user.id });
    expect((await it.ask('DELETE', `/v1/users/${user.id}`)).status).toBe(200);
    expect(await problem('GET', '/v1/tasks', undefined, key.apiKey)).toEqual([
      401,
      'invalid_key',
      'authorization',
    ]);
    const { data } = page(User).parse((await it.ask('GET', '/v1/users')).json);
    expect(data.find(({ id }) => id === user.id)?.leftAt).not.toBeNull();
    expect(await problem('POST', '/v1/users', { name: 'Flo' })).toEqual([409, 'name_taken', 'name']);
    expect(await made(User, '/v1/users', { name: 'Flo' }, { headers })).toEqual(user);
  });

  test('has one name, however it was typed', async () => {
    expect(await made(User, '/v1/users', { name: 'Ame\u0301lie' })).toMatchObject({ name: 'Am\u00e9lie' });
    expect(await problem('POST', '/v1/users', { name: 'Am\u00e9lie' })).toEqual([409, 'name_taken', 'name']);
    for (const name of ['e\u0301'.repeat(100), '林檎', 'אדם', 'زهرة', 'नमस्ते'])
      await made(User, '/v1/users', { name });
  });

  test('is one of two that are asked for at once under one key, and no name is taken by the other', async () => {
    const headers = { 'idempotency-key': 'two' };
    const names = ['Left', 'Right', 'Up', 'Down'];
    const asked = names.map((name) => it.ask('POST', '/v1/users', { body: { name }, headers }));
    const codes = (await Promise.all(asked)).map(({ status, json }) => json.code ?? status);
    expect(codes.toSorted()).toEqual([201, ...Array(3).fill('idempotency_conflict')]);
  });

  test('who alone administrates the team does not leave it', async () => {
    const { apiKey, userId, keyId } = await made(CreatedTeam, '/v1/teams', {
      name: 'small',
      userName: 'Gus',
    });
    expect(await problem('DELETE', `/v1/users/${userId}`, undefined, apiKey)).toEqual([409, 'last_admin']);
    expect(await problem('DELETE', `/v1/keys/${keyId}`, undefined, apiKey)).toEqual([409, 'last_admin']);
  });

  test('who says something is named where it is read', async () => {
    const { id: userId } = await made(User, '/v1/users', { name: 'Hal' });
    const { apiKey: key } = await made(CreatedKey, '/v1/keys', { name: 'k', userId });
    const { sessionId, createdBy } = await it.submit();
    expect(createdBy).toBe('Ana');
    await made(Message, `/v1/sessions/${sessionId}/messages`, { text: 'And tabs.' }, { key });
    const worker = await new HandWorker(it.db).register();
    await worker.claim(uuid('session', sessionId));
    const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/entries`);
    const said = page(Entry)
      .parse(json)
      .data.filter(({ kind }) => kind === 'user');
    expect(said.map(({ by }) => by)).toEqual(['Ana', 'Hal']);
  });
});

test.each([
  ['key', '/v1/keys', '?limit=3', {}],
  ['person', '/v1/users', '?limit=3', {}],
  ['team', '/v1/teams', '', { userName: 'Jo' }],
])('a %s stands where it was made, whatever its id is', async (what, path, limit, more) => {
  const made: string[] = [];
  for (const key of ['a', 'b', 'c', 'd']) {
    const body = { name: `${what} ${key}`, ...more };
    made.unshift((await it.ask('POST', path, { body, headers: { 'idempotency-key': key } })).json.id);
  }
  const listed: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { json } = await it.ask('GET', `${path}${limit}${cursor && `&cursor=${cursor}`}`);
    listed.push(...json.data.map(({ id }: { id: string }) => id));
    cursor = json.nextCursor ?? null;
  }
  const newestFirst = what === 'team' ? listed.toReversed() : listed;
  expect(newestFirst.slice(0, made.length)).toEqual(made);
  expect(new Set(listed).size).toBe(listed.length);
});

describe('a team', () => {
  test('is made by whoever runs this Capybara, with somebody who administrates it, and sees itself alone', async () => {
    const headers = { 'idempotency-key': 'team' };
    const body = { name: 'blue', userName: 'Ivy' };
    const { apiKey: lost, ...first } = await made(CreatedTeam, '/v1/teams', body, { headers });
    const team = await made(CreatedTeam, '/v1/teams', body, { headers });
    expect(team).toEqual({ ...first, apiKey: expect.any(String) });
    expect((await it.ask('GET', '/v1/keys/self', { key: lost })).status).toBe(401);
    const self = Key.parse((await it.ask('GET', '/v1/keys/self', { key: team.apiKey })).json);
    expect(self).toMatchObject({ id: team.keyId, userId: team.userId, userName: 'Ivy', scopes: SCOPES });
    const again = await it.ask('POST', '/v1/teams', { body, headers });
    expect(Problem.parse(again.json)).toMatchObject({ status: 409, code: 'made_already' });
    const renamed = await it.ask('POST', '/v1/teams', { body: { ...body, name: 'red' }, headers });
    expect(Problem.parse(renamed.json).code).toBe('idempotency_conflict');
    expect(await problem('POST', '/v1/teams', body)).toEqual([409, 'name_taken', 'name']);
    const names = async (key: string) =>
      Teams.parse((await it.ask('GET', '/v1/teams', { key })).json).data.map(({ name }) => name);
    expect(await names(it.me.apiKey)).toEqual(expect.arrayContaining(['ours', 'blue']));
    expect(await names(team.apiKey)).toEqual(['blue']);
    expect(await problem('POST', '/v1/teams', { name: 'x', userName: 'y' }, team.apiKey)).toEqual([
      403,
      'not_operator',
    ]);
  });
});
