/** Signing in at MCP servers: what a team has signed in with is kept sealed, shared by all workers, and renewed once. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { type Access, NotSignedIn } from '../../src/mcp/client/access.ts';
import { Connection } from '../../src/mcp/client/connection.ts';
import type { UrlServer } from '../../src/mcp/client/server.ts';
import { UrlTransport } from '../../src/mcp/client/url-transport.ts';
import { expiryOf, KeptAccess } from '../../src/mcp/oauth/kept-access.ts';
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

beforeAll(async () => {
  server = await startOAuthMcpServer();
});
afterEach(async () => {
  await Promise.all(connections.splice(0).map((each) => each.close()));
  await store.db.sql`DELETE FROM mcp_sign_in`;
  Object.assign(server, { tokens: undefined, lasts: 3_600, metadata: {}, asked: {} });
  now = Date.now();
});
afterAll(() => server.close());

const signIns = () => new McpSignIns<SignIn>(store.db, sealing);
const place = () => ({ teamId: store.teamId, server: 'guarded' });
const kept = () => signIns().read(place());

/** As each worker has its own. */
function accessOf(settings: Partial<UrlServer> = {}): Access {
  const options = { store: signIns(), isAllowed: () => false, now: () => now };
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

describe('what was signed in with', () => {
  test('is renewed once, by whoever is first of all workers and calls', async () => {
    await signIn();
    server.expire();
    const workers = Array.from({ length: 4 }, () => connected());
    const ends = await Promise.all(workers.flatMap((each) => [call(each), call(each)]));
    for (const end of ends) expect(end).toMatchObject(LOOKED);
    expect(server.asked).toEqual({ authorization_code: 1, refresh_token: 1 });
  });

  test('is renewed before it ends, and sent all the same where that fails for now', async () => {
    await signIn();
    now += 3_600_000 - 29_000;
    expect(await call(connected())).toMatchObject(LOOKED);
    expect(server.asked.refresh_token).toBe(1);
    now += 3_600_000 - 29_000;
    server.tokens = (response) => void response.writeHead(503).end();
    expect(await call(connected())).toMatchObject(LOOKED);
    expect((await kept())?.failure).toBeNull();
    expect(server.asked.refresh_token).toBeGreaterThan(1);
  });

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
      why: 'wants more than was signed in for (look more): sign in anew, with `capybara mcp login guarded`',
    });
    expect(await call(connection)).toMatchObject(LOOKED);
    expect(server.calls).toEqual([]);
    await signIn();
    expect(await call(connection, 'more')).toMatchObject({ kind: 'result' });
    expect(server.calls).toEqual(['look more']);
  });
});
