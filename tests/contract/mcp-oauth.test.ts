/** Signing in at MCP servers: what a team has signed in with is kept sealed, shared by all workers, and renewed once. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { type Access, NotSignedIn } from '../../src/mcp/client/access.ts';
import { Connection } from '../../src/mcp/client/connection.ts';
import type { UrlServer } from '../../src/mcp/client/server.ts';
import { UrlTransport } from '../../src/mcp/client/url-transport.ts';
import { checkedFetch } from '../../src/mcp/oauth/checked-fetch.ts';
import { expiryOf, KeptAccess, PASSING_MS } from '../../src/mcp/oauth/kept-access.ts';
import type { OAuthClient, SignIn } from '../../src/mcp/oauth/sign-in.ts';
import { McpSignIns, readSignIns } from '../../src/store/mcp-sign-ins.ts';
import {
  CLIENT_SECRET,
  type OAuthMcpServer,
  signInAt,
  startOAuthMcpServer,
} from '../support/oauth-mcp-server.ts';
import { sealing } from '../support/sealing.ts';
import { useStore } from '../support/store.ts';

const store = useStore();
const { signal } = new AbortController();
let server: OAuthMcpServer;
let now = Date.now();
const connections: Connection[] = [];
/** Of one process. */
const failures = new Map();

beforeAll(async () => {
  server = await startOAuthMcpServer();
});
afterEach(async () => {
  await Promise.all(connections.splice(0).map((each) => each.close()));
  await store.db.sql`DELETE FROM mcp_sign_in`;
  Object.assign(server, { tokens: undefined, lasts: 3_600, metadata: {}, narrows: false, asked: {} });
  now = Date.now();
  server.calls.splice(0);
  failures.clear();
});
afterAll(() => server.close());

const signIns = () => new McpSignIns<SignIn>(store.db, sealing);
const place = () => ({ teamId: store.teamId, server: 'guarded' });
const kept = () => signIns().read(place());

/** As each worker has its own. */
function accessOf(settings: Partial<UrlServer> = {}): Access {
  const options = { store: signIns(), isAllowed: () => false, now: () => now, failures };
  return new KeptAccess(options, { ...place(), settings: { url: server.url, ...settings } });
}

function connected(access = accessOf(), settings: Partial<UrlServer> = {}): Connection {
  const connection = new Connection({
    open: () => new UrlTransport({ url: server.url, ...settings }, { messageBytes: 1e6, access }),
    roots: async () => [],
    ...{ version: '0', connectMs: 10_000, callMs: 10_000 },
  });
  connections.push(connection);
  return connection;
}

const call = (connection: Connection, name = 'look') =>
  connection.call({ name, args: {}, signal, onProgress: () => {} });
const LOOKED = { kind: 'result', result: { content: [{ type: 'text', text: 'signed in for look' }] } };

/** What a person does, in `capybara mcp login` and a browser. */
async function signIn(client: OAuthClient = {}, url = server.url): Promise<SignIn> {
  const secret = await signInAt(url, { client, before: (await kept())?.secret });
  const { userId } = store;
  await signIns().put(place(), { secret, expiresAt: expiryOf(secret, now), userId });
  return secret;
}

describe('a server that lets nobody pass', () => {
  test('says that somebody has to sign in, and takes the calls of whoever has; no token is to be read in the database', async () => {
    const connection = connected();
    await expect(connection.tools(signal)).rejects.toThrow(
      'wants somebody to sign in: `capybara mcp login guarded`',
    );
    const { tokens } = await signIn();
    expect(await call(connected())).toMatchObject(LOOKED);
    const { rows } = await store.db.pool.query<{ row: string }>('SELECT s::text AS row FROM mcp_sign_in s');
    for (const secret of [tokens?.access_token ?? '', tokens?.refresh_token ?? ''])
      for (const form of ['hex', 'base64', 'latin1'] as const)
        expect(rows[0]?.row).not.toContain(Buffer.from(secret).toString(form));
    expect(await readSignIns(store.db, store.teamId)).toMatchObject([
      { server: 'guarded', signedInBy: expect.any(String), failure: null },
    ]);
    expect(await readSignIns(store.db, newId())).toEqual([]);
  });

  test('is sent the header that is configured instead', async () => {
    await signIn();
    const [token = ''] = server.open.keys();
    server.open.set('configured', server.open.get(token) ?? expect.unreachable());
    server.open.delete(token);
    const headers = { Authorization: 'Bearer configured' };
    expect(await call(connected(accessOf(), { headers }))).toMatchObject(LOOKED);
    expect(server.asked.refresh_token).toBeUndefined();
  });

  test('at another address than the one that was signed in at gets nothing of it', async () => {
    await signIn();
    const other = accessOf({ url: server.url.replace('127.0.0.1', 'localhost') });
    expect(await other.token(signal)).toBeUndefined();
    await expect(other.renewed(undefined, {}, signal)).rejects.toBeInstanceOf(NotSignedIn);
  });

  test('lets a client in by its own secret, without anybody', async () => {
    const client = { clientId: 'c', clientSecret: CLIENT_SECRET, as: 'client' } as const;
    server.metadata = { grant_types_supported: ['client_credentials'] };
    const connection = connected(accessOf({ oauth: client }));
    expect(await call(connection)).toMatchObject(LOOKED);
    server.expire();
    expect(await call(connection)).toMatchObject(LOOKED);
    expect(server.asked).toEqual({ client_credentials: 2 });
    expect(JSON.stringify((await kept())?.secret)).not.toContain(CLIENT_SECRET);
    const wrong = accessOf({ oauth: { ...client, clientSecret: 'wrong' } });
    server.expire();
    await expect(wrong.renewed('gone', {}, signal)).resolves.toMatch(/^access-/);
    server.expire();
    const refused = (await kept())?.secret.tokens?.access_token;
    await expect(wrong.renewed(refused, {}, signal)).rejects.toThrow('has refused it (invalid_grant)');
  });

  test('gives a client what a call asks for, also where it is let in elsewhere by now; what is not given is not asked for again', async () => {
    const client = { clientId: 'c', clientSecret: CLIENT_SECRET, as: 'client' } as const;
    const connection = connected(accessOf({ oauth: client }));
    expect(await call(connection)).toMatchObject(LOOKED);
    expect(await call(connection, 'more')).toMatchObject({ kind: 'result' });
    expect(server.calls.splice(0)).toEqual(['look more']);
    const { version = 0, secret } = (await kept()) ?? {};
    const { discovery } = secret ?? {};
    const authorizationServerMetadata = {
      ...discovery?.authorizationServerMetadata,
      token_endpoint: server.url.replace('/mcp', '/gone'),
    };
    const claim = randomUUID();
    await signIns().claim(place(), { version, claim, ms: 60_000 });
    const moved = { ...secret, discovery: { ...discovery, authorizationServerMetadata } } as SignIn;
    await signIns().settle(place(), claim, { secret: moved });
    server.expire();
    expect(await call(connected(accessOf({ oauth: client })), 'more')).toMatchObject({ kind: 'result' });
    server.narrows = true;
    server.expire();
    const narrow = connected(accessOf({ oauth: client }));
    for (let calls = 0; calls < 3; calls += 1)
      expect(await call(narrow, 'more')).toMatchObject({
        ...{ kind: 'failed', why: 'wants more than was signed in for', errors: 'look more', begun: false },
      });
    const asked = server.asked.client_credentials;
    expect(await call(narrow, 'more')).toMatchObject({ kind: 'failed' });
    expect(server.asked.client_credentials).toBe(asked);
  });

  test('has to be whom it names, and not somebody else whose pages it shows', async () => {
    server.metadata = { issuer: 'https://honest.example' };
    await expect(signIn()).rejects.toThrow('which says that it is https://honest.example: nobody does');
    server.metadata = {};
    await expect(signInAt(server.url, { iss: 'https://honest.example' })).rejects.toThrow(
      'had its answer sent by https://honest.example, and not by http://127.0.0.1',
    );
    await expect(signInAt(server.url, { iss: new URL(server.url).origin })).resolves.toBeDefined();
  });

  test('that repeats what it was sent has no key shown by that, nor a page', async () => {
    const { tokens } = await signIn();
    server.tokens = (response, body) =>
      void response.writeHead(400).end(JSON.stringify({ error: 'invalid_request', error_description: body }));
    server.expire();
    const [refused] = await Promise.allSettled([connected().tools(signal)]);
    const { message, errors } = (refused as PromiseRejectedResult).reason;
    expect([message, errors]).toEqual([
      expect.stringContaining('has refused it (invalid_request): sign in anew'),
      expect.stringContaining('refresh_token=********'),
    ]);
    expect(`${message}${errors}`).not.toContain(tokens?.refresh_token);
    server.tokens = undefined;
    await signIn();
    server.tokens = (response, body) => void response.writeHead(500).end(`<html>${body}`);
    server.expire();
    failures.clear();
    const [failed] = await Promise.allSettled([connected().tools(signal)]);
    expect((failed as PromiseRejectedResult).reason).toMatchObject({
      ...{ message: 'cannot be signed in at now', errors: 'HTTP 500' },
    });
  });

  test('has to be the one that sends its answer, where it says that it says so', async () => {
    server.metadata = { authorization_response_iss_parameter_supported: true };
    await expect(signIn()).rejects.toThrow('had its answer sent by nobody, and not by http://127.0.0.1');
  });

  test('cannot lead to a private address that is not its own, nor to one without encryption', async () => {
    for (const [host, why] of [
      ['http://10.1.2.3', 'sends to 10.1.2.3, which belongs to a private network'],
      ['http://1.1.1.1', 'sends to 1.1.1.1 without encryption'],
    ]) {
      server.metadata = { registration_endpoint: `${host}/register` };
      await expect(signIn()).rejects.toThrow(why);
    }
  });
});

test('what is reached by TLS gets nothing without', async () => {
  const own = server.url.replace('http:', 'https:');
  await using checked = checkedFetch({ own, isAllowed: () => false });
  await expect(checked.fetch(server.url)).rejects.toMatchObject({
    cause: { message: expect.stringContaining('belongs to this machine') },
  });
});

describe('what was signed in with', () => {
  test('is renewed once, by whoever is first of all workers and calls', async () => {
    await signIn();
    server.expire();
    const workers = Array.from({ length: 4 }, () => connected());
    const ends = await Promise.all(workers.flatMap((each) => [call(each), call(each)]));
    for (const end of ends) expect(end).toMatchObject(LOOKED);
    expect(server.asked).toEqual({ authorization_code: 1, refresh_token: 1 });
  });

  test('is renewed before it ends, and sent meanwhile, and where that fails for now', async () => {
    await signIn();
    now += 3_600_000 - 29_000;
    expect(await call(connected())).toMatchObject(LOOKED);
    await expect.poll(async () => (await kept())?.version).toBe(2);
    expect(server.asked.refresh_token).toBe(1);
    const { promise: held, resolve: answer } = Promise.withResolvers<void>();
    server.tokens = async (response) => {
      await held;
      response.writeHead(503).end();
    };
    now += 3_600_000 - 29_000;
    const connection = connected();
    expect(await call(connection)).toMatchObject(LOOKED);
    answer();
    await expect.poll(() => failures.size).toBe(1);
    expect(await call(connection)).toMatchObject(LOOKED);
    now += 29_000;
    expect(await call(connection)).toMatchObject(LOOKED);
    expect((await kept())?.failure).toBeNull();
  });

  test('is not asked for at once again where it cannot be had now', async () => {
    await signIn();
    server.expire();
    server.tokens = (response) => void response.writeHead(503).end();
    const failed = { kind: 'failed', why: 'cannot be signed in at now', begun: false };
    const access = accessOf();
    const connection = connected(access);
    const refused = await access.token(signal);
    for (let calls = 0; calls < 3; calls += 1)
      await expect(access.renewed(refused, {}, signal)).rejects.toThrow('cannot be signed in at now');
    expect(server.asked.refresh_token).toBe(1);
    now += PASSING_MS;
    expect(await call(connection)).toMatchObject(failed);
    expect(server.asked.refresh_token).toBe(2);
    server.tokens = undefined;
    now += PASSING_MS;
    expect(await access.renewed(refused, {}, signal)).toMatch(/^access-/);
  });

  test.each([0, -5, 315_360_000_000, null])(
    'that lasts %s seconds lasts until it is refused',
    async (lasts) => {
      server.lasts = lasts as number;
      await signIn();
      const connection = connected();
      for (let calls = 0; calls < 2; calls += 1) expect(await call(connection)).toMatchObject(LOOKED);
      expect([(await kept())?.expiresAt, server.asked.refresh_token]).toEqual([null, undefined]);
      server.expire();
      expect(await call(connection)).toMatchObject(LOOKED);
      expect(server.asked.refresh_token).toBe(1);
    },
  );

  test('that is worth nothing any more is said to be, once, until somebody signs in anew', async () => {
    await signIn();
    server.revoke();
    const why = 'has refused it (invalid_grant): sign in anew, with `capybara mcp login guarded`';
    await expect(connected().tools(signal)).rejects.toThrow(why);
    await expect(connected().tools(signal)).rejects.toThrow(why);
    expect(server.asked.refresh_token).toBe(1);
    expect((await kept())?.failure).toBe('has refused it (invalid_grant)');
    await signIn();
    expect(await call(connected())).toMatchObject(LOOKED);
  });

  test('is taken over from a worker that died with it', async () => {
    await signIn();
    const { version = 0 } = (await kept()) ?? {};
    const dead = randomUUID();
    const claim = (by: string, ms: number) => signIns().claim(place(), { version, claim: by, ms });
    expect(await claim(dead, 60_000)).toEqual({ outcome: 'claimed' });
    expect(await claim(dead, 60_000)).toEqual({ outcome: 'claimed' });
    expect(await claim(randomUUID(), 60_000)).toEqual({ outcome: 'busy' });
    server.expire();
    const waiting = call(connected());
    await store.db.sql`UPDATE mcp_sign_in SET claimed_until = clock_timestamp()`;
    expect(await waiting).toMatchObject(LOOKED);
    expect(await signIns().settle(place(), dead, { failure: 'too late' })).toEqual({ outcome: 'lost' });
    expect(await claim(randomUUID(), 60_000)).toEqual({ outcome: 'changed' });
    expect((await kept())?.failure).toBeNull();
  });

  test('goes on where nobody waits for it any more', async () => {
    await signIn();
    server.expire();
    const { promise: asked, resolve: wasAsked } = Promise.withResolvers<void>();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const [refreshed] = [{ access_token: 'next', token_type: 'Bearer', refresh_token: 'r2' }];
    server.tokens = async (response) => {
      wasAsked();
      await answered;
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(refreshed));
    };
    const leaving = new AbortController();
    const refused = (await kept())?.secret.tokens?.access_token;
    const renewing = accessOf().renewed(refused, {}, leaving.signal);
    await asked;
    leaving.abort(new Error('left'));
    await expect(renewing).rejects.toThrow('left');
    answer();
    await expect.poll(async () => (await kept())?.secret.tokens?.refresh_token).toBe('r2');
  });

  test('for less than a call needs is told, the call is not made, and all else goes on', async () => {
    await signIn();
    const connection = connected();
    expect(await call(connection, 'more')).toMatchObject({
      ...{ kind: 'failed', begun: false },
      why: 'wants more than was signed in for: sign in anew, with `capybara mcp login guarded`',
      errors: 'look more',
    });
    expect(await call(connection)).toMatchObject(LOOKED);
    server.expire();
    expect(await call(connected())).toMatchObject(LOOKED);
    expect((await kept())?.failure).toBeNull();
    expect(server.calls).toEqual([]);
    await signIn();
    expect(await call(connection, 'more')).toMatchObject({ kind: 'result' });
    await signIn();
    expect(await call(connected(), 'more')).toMatchObject({ kind: 'result' });
    expect(server.calls).toEqual(['look more', 'look more']);
  });
});
