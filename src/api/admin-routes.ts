/** Teams, their people and their keys. */
import type { z } from 'zod';
import { fromPublicId, type IdKind, toPublicId } from '../core/id.ts';
import { SCOPES } from '../core/scope.ts';
import {
  createKey,
  type KeyRow,
  type RevokeOutcome,
  readKey,
  readKeys,
  removeUser,
  revokeKey,
} from '../store/keys.ts';
import {
  createTeam,
  createUser,
  readTeams,
  readUser,
  readUsers,
  type TeamRow,
  type UserRow,
} from '../store/teams.ts';
import type { ApiDeps } from './deps.ts';
import { idFor } from './made-id.ts';
import { pageReply, rowCursor } from './pages.ts';
import { ApiProblem, conflict, idempotencyConflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { saidOnce } from './said-once.ts';
import { IdempotencyHeaders } from './task-routes.ts';
import { makingOf, toldAgain } from './told-again.ts';
import { PageQuery, page } from './wire.ts';
import {
  CreatedKey,
  CreatedTeam,
  CreateKey,
  CreateTeam,
  CreateUser,
  Key,
  Removed,
  type Team,
  Teams,
  User,
} from './wire-admin.ts';

const DAY_MS = 86_400_000;

export function adminRoutes(deps: ApiDeps): Route[] {
  return [...teamRoutes(deps), ...userRoutes(deps), ...keyRoutes(deps)];
}

function teamRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/teams',
      summary: 'The team of the key; every team where that one runs this Capybara.',
      scope: 'admin',
      success: { status: 200, description: 'Teams, in the order in which they were made.', schema: Teams },
      handle: async ({ caller }) => ({
        status: 200,
        body: { data: (await readTeams(deps.db, caller.teamId)).map(showTeam) },
      }),
    }),
    route({
      method: 'post',
      path: '/v1/teams',
      summary: 'Make a team, with its first person and their key. For the team that runs this Capybara.',
      scope: 'admin',
      headers: IdempotencyHeaders,
      body: CreateTeam,
      success: { status: 201, description: 'The team; its key is told this once.', schema: CreatedTeam },
      problems: { 403: ['not_operator'], 409: ['name_taken', 'made_already', 'idempotency_conflict'] },
      handle: (call) => makeTeam(deps, call),
    }),
  ];
}

function userRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/users',
      summary: "The team's people, the newest first.",
      scope: 'admin',
      query: PageQuery,
      success: { status: 200, description: 'A page of people.', schema: page(User) },
      problems: { 400: ['invalid_cursor'] },
      handle: async ({ caller: { teamId }, query: { limit, cursor } }) => {
        const before = await rowCursor(deps.db, 'user', { teamId, cursor });
        return pageReply(await readUsers(deps.db, { teamId, before }, limit), {
          show: showUser,
          cursor: ({ id }) => toPublicId('user', id),
        });
      },
    }),
    route({
      method: 'post',
      path: '/v1/users',
      summary: 'Add somebody to the team.',
      scope: 'admin',
      headers: IdempotencyHeaders,
      body: CreateUser,
      success: { status: 201, description: 'Who it is; they need a key.', schema: User },
      problems: { 409: ['name_taken', 'idempotency_conflict'] },
      handle: saidOnce(deps, 'user', (call) => makeUser(deps, call)),
    }),
    route({
      method: 'delete',
      path: '/v1/users/:id',
      summary: 'Somebody leaves the team: their keys open nothing any more.',
      scope: 'admin',
      id: 'user',
      success: { status: 200, description: 'They have left.', schema: Removed },
      problems: { 404: ['not_found'], 409: ['last_admin'] },
      handle: async ({ caller: { teamId }, id }) =>
        removed('user', id, await removeUser(deps.db, { teamId, userId: id })),
    }),
  ];
}

function keyRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/keys',
      summary: "The team's keys that were not revoked, the newest first.",
      scope: 'admin',
      query: PageQuery,
      success: { status: 200, description: 'A page of keys.', schema: page(Key) },
      problems: { 400: ['invalid_cursor'] },
      handle: async ({ caller: { teamId }, query: { limit, cursor } }) => {
        const before = await rowCursor(deps.db, 'key', { teamId, cursor });
        return pageReply(await readKeys(deps.db, { teamId, before }, limit), {
          show: showKey,
          cursor: ({ id }) => toPublicId('key', id),
        });
      },
    }),
    route({
      method: 'get',
      path: '/v1/keys/self',
      summary: 'The key that the request was sent with.',
      scope: 'any',
      success: { status: 200, description: 'Whose it is, and what it may be used for.', schema: Key },
      handle: async ({ caller: { teamId, keyId } }) => ({
        status: 200,
        body: showKey(await keyOf(deps, teamId, keyId)),
      }),
    }),
    route({
      method: 'post',
      path: '/v1/keys',
      summary: 'Make a key.',
      scope: 'admin',
      headers: IdempotencyHeaders,
      body: CreateKey,
      success: { status: 201, description: 'The key, told this once.', schema: CreatedKey },
      problems: { 404: ['not_found'], 409: ['user_left', 'made_already', 'idempotency_conflict'] },
      handle: (call) => makeKey(deps, call),
    }),
    route({
      method: 'delete',
      path: '/v1/keys/:id',
      summary: 'Revoke a key. It opens nothing any more, after some seconds at most.',
      scope: 'admin',
      id: 'key',
      success: { status: 200, description: 'It is revoked.', schema: Removed },
      problems: { 404: ['not_found'], 409: ['last_admin'] },
      handle: async ({ caller: { teamId }, id }) =>
        removed('key', id, await revokeKey(deps.db, { teamId, keyId: id })),
    }),
  ];
}

async function makeTeam(deps: ApiDeps, call: Call<unknown, z.infer<typeof CreateTeam>>): Promise<Reply> {
  const { name, userName } = call.body;
  const own = (await readTeams(deps.db, call.caller.teamId)).find(({ id }) => id === call.caller.teamId);
  if (own?.operates !== true) throw notOperator();
  const id = await idFor(deps, call, 'team');
  const [userId, keyId] = [await idFor(deps, call, 'first user'), await idFor(deps, call, 'first key')];
  const made = await createTeam(deps.db, {
    ...{ id, name, user: { id: userId, name: userName }, making: makingOf(call) },
    key: { id: keyId, name: 'first', scopes: SCOPES },
  });
  const again = { keyId, made: { kind: 'team', id }, otherwise: nameTaken('team', name) } as const;
  const apiKey = made.outcome === 'created' ? made.apiKey : await toldAgain(deps, call, again);
  const team = (await readTeams(deps.db, call.caller.teamId)).find((each) => each.id === id);
  if (team === undefined) throw notFound(`team ${toPublicId('team', id)}`);
  const ids = { userId: toPublicId('user', userId), keyId: toPublicId('key', keyId) };
  return { status: 201, body: { ...showTeam(team), ...ids, apiKey } };
}

async function makeUser(deps: ApiDeps, call: Call<unknown, z.infer<typeof CreateUser>>): Promise<Reply> {
  const { name } = call.body;
  const { teamId } = call.caller;
  const id = await idFor(deps, call, 'user');
  const user = await createUser(deps.db, { id, teamId, name });
  if (user === undefined) throw nameTaken('user', name);
  if (user.name !== name) throw idempotencyConflict();
  return { status: 201, body: showUser(user) };
}

async function makeKey(deps: ApiDeps, call: Call<unknown, z.infer<typeof CreateKey>>): Promise<Reply> {
  const { caller, body } = call;
  const { teamId } = caller;
  const userId = await ownerOf(deps, caller, body.userId);
  const id = await idFor(deps, call, 'key');
  const { name, scopes, expiresInDays: days } = body;
  const expiresAt = days === undefined ? undefined : new Date(deps.clock() + days * DAY_MS);
  const made = await createKey(deps.db, {
    ...{ id, teamId, userId, name, expiresAt, making: makingOf(call) },
    ...(scopes === undefined ? {} : { scopes: SCOPES.filter((scope) => scopes.includes(scope)) }),
  });
  const again = { keyId: id, made: { kind: 'key', id }, otherwise: userLeft('This person') } as const;
  const apiKey = made?.apiKey ?? (await toldAgain(deps, call, again));
  return { status: 201, body: { ...showKey(await keyOf(deps, teamId, id)), apiKey } };
}

async function ownerOf(
  { db }: ApiDeps,
  { teamId, userId }: Call<unknown, unknown>['caller'],
  asked: string | undefined,
): Promise<string> {
  if (asked === undefined) return userId;
  const id = fromPublicId('user', asked);
  const user = id === undefined ? undefined : await readUser(db, { teamId, id });
  if (user === undefined) throw notFound(`user ${JSON.stringify(asked.slice(0, 60))}`, 'userId');
  if (user.leftAt !== null) throw userLeft(user.name);
  return user.id;
}

async function keyOf({ db }: ApiDeps, teamId: string, id: string): Promise<KeyRow> {
  const key = await readKey(db, { teamId, id });
  if (key === undefined) throw notFound(`key ${toPublicId('key', id)}`);
  return key;
}

function removed(kind: IdKind, uuid: string, { outcome }: RevokeOutcome): Reply {
  const id = toPublicId(kind, uuid);
  if (outcome === 'not_found') throw notFound(`${kind} ${id}`);
  if (outcome === 'last_admin')
    throw conflict(
      'last_admin',
      'Without this nobody could administrate the team: make another key with the scope admin first.',
    );
  return { status: 200, body: { id } };
}

function userLeft(name: string): ApiProblem {
  return conflict('user_left', `${name} has left the team, and can have no key: add somebody new.`, 'userId');
}

function notOperator(): ApiProblem {
  return new ApiProblem({
    status: 403,
    code: 'not_operator',
    detail: 'Only administrators of the team that runs this Capybara make teams.',
  });
}

function nameTaken(what: string, name: string): ApiProblem {
  return conflict(
    'name_taken',
    `There is or was a ${what} of the name ${JSON.stringify(name)}: choose another.`,
    'name',
  );
}

function showTeam({ id, name, operates, createdAt }: TeamRow): z.infer<typeof Team> {
  return { id: toPublicId('team', id), name, operates, createdAt: createdAt.toISOString() };
}

function showUser({ id, name, createdAt, leftAt }: UserRow): z.infer<typeof User> {
  return {
    id: toPublicId('user', id),
    name,
    createdAt: createdAt.toISOString(),
    leftAt: leftAt?.toISOString() ?? null,
  };
}

function showKey(row: KeyRow): Key {
  return {
    id: toPublicId('key', row.id),
    userId: toPublicId('user', row.userId),
    ...{ userName: row.userName, name: row.name, prefix: row.prefix, scopes: [...row.scopes] },
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  };
}
