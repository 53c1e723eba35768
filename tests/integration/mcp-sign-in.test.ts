/** Signing a team in at an MCP server by the API, and as `capybara mcp login` does it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SIGN_IN_MS } from '../../src/api/mcp-sign-in-routes.ts';
import { type Browsing, loggedInText, logIn } from '../../src/cli/mcp-login.ts';
import { createClient } from '../../src/client/client.ts';
import { loadConfig } from '../../src/config.ts';
import type { SignIn } from '../../src/mcp/oauth/sign-in.ts';
import { McpSignIns } from '../../src/store/mcp-sign-ins.ts';
import { Sealing } from '../../src/store/sealing.ts';
import { cliProgram } from '../support/cli.ts';
import {
  browse,
  CLIENT_SECRET,
  type OAuthMcpServer,
  startOAuthMcpServer,
} from '../support/oauth-mcp-server.ts';
import { PseudoTerminal } from '../support/pseudo-terminal.ts';
import { sealing } from '../support/sealing.ts';
import { type Person, startTestApi, type TestApi } from './api-harness.ts';

let server: OAuthMcpServer;
let it: TestApi;
let unsealed: TestApi;
let stranger: Person;
let now = Date.now();

beforeAll(async () => {
  server = await startOAuthMcpServer();
  const servers = {
    ...{ guarded: { url: server.url }, open: { url: server.url.replace('/mcp', '/register') } },
    keyed: { url: server.url, headers: { authorization: 'Bearer x' } },
    own: { url: server.url, oauth: { clientId: 'c', clientSecret: CLIENT_SECRET, as: 'client' } },
    program: { command: 'true' },
  };
  const env = {
    ...{ CAPYBARA_MCP_ENABLED: '1', CAPYBARA_MCP_ALLOW: '127.0.0.1' },
    CAPYBARA_MCP_SERVERS: JSON.stringify(servers),
  };
  const { mcp } = loadConfig({ cwd: '/', home: '/nowhere', env }).config;
  it = await startTestApi(() => ({ mcp, clock: () => now }));
  unsealed = await startTestApi(() => ({ mcp, sealing: new Sealing([]) }));
  stranger = await it.addPerson('theirs', 'Bo');
});
afterEach(async () => {
  await it.db.sql`DELETE FROM mcp_sign_in`;
  now = Date.now();
  server.tokens = undefined;
});
afterAll(() => Promise.all([it.close(), unsealed.close(), server.close()]));

const redirectUri = 'http://127.0.0.1:9/callback';
const path = (name: string) => `/v1/mcp/servers/${name}/sign-in`;
const begin = (name = 'guarded', asking = {}) =>
  it.ask('POST', path(name), { body: { redirectUri }, ...asking });
const finish = (body: Record<string, unknown>, name = 'guarded', asking = {}) =>
  it.ask('POST', `${path(name)}/finish`, { body, ...asking });
const kept = (person = it.me, name = 'guarded') =>
  new McpSignIns<SignIn>(it.db, sealing).read({ teamId: person.teamId, server: name });

/** A server of the team, `added`. */
const add = (url: string, more = {}) => it.ask('PUT', '/v1/mcp/servers/added', { body: { url, ...more } });

/** Begun, and gone through in a browser. */
async function answered(name?: string) {
  const { json } = await begin(name);
  const { searchParams } = await browse(json.authorizationUrl);
  return { login: json.login, code: searchParams.get('code'), state: searchParams.get('state') };
}

describe('by the API', () => {
  test('a team signs in for itself alone, once, and out', async () => {
    const answer = await answered();
    for (const form of ['utf8', 'latin1'] as const)
      expect(Buffer.from(answer.login, 'base64url').toString(form)).not.toContain('verifier');
    const { status, json, text } = await finish(answer);
    expect([status, json]).toEqual([200, { server: 'guarded', scope: 'look', canRenew: true }]);
    const { tokens } = (await kept())?.secret ?? {};
    expect(server.open.has(tokens?.access_token ?? '')).toBe(true);
    expect(text).not.toContain(tokens?.access_token);
    expect(await kept(stranger)).toBeUndefined();
    expect((await finish(answer)).json).toEqual(json);
    expect((await kept())?.secret.tokens).toEqual(tokens);
    const out = (key: string) => it.ask('DELETE', path('guarded'), { key });
    expect((await out(stranger.apiKey)).status).toBe(404);
    expect((await out(it.me.apiKey)).json).toEqual({ server: 'guarded' });
    expect((await out(it.me.apiKey)).status).toBe(404);
    expect(await kept()).toBeUndefined();
  });

  test('what is sent back has to belong to what was begun, lately, by that team, at that server', async () => {
    const answer = await answered();
    const { login, ...rest } = answer;
    const wrong = (asked: Promise<{ json: { code: string; detail: string } }>) =>
      asked.then(({ json }) => `${json.code}: ${json.detail}`);
    const other = 'bad_sign_in: No sign-in at "guarded" was begun with this login.';
    expect(await wrong(finish({ ...rest, login: 'AAAA' }))).toBe(other);
    expect(await wrong(finish(answer, 'guarded', { key: stranger.apiKey }))).toBe(other);
    expect(await wrong(finish(answer, 'own'))).toContain('bad_sign_in: No sign-in at "own"');
    expect(await wrong(finish({ ...answer, state: 'x' }))).toBe(
      'bad_sign_in: This is the answer to another sign-in: begin anew.',
    );
    expect(await wrong(finish({ ...answer, code: 'x' }))).toBe(
      'mcp_sign_in_failed: The MCP server guarded has refused it (invalid_grant).',
    );
    now += SIGN_IN_MS + 1;
    expect(await wrong(finish(answer))).toContain('It was begun more than 10 minutes ago');
    now -= 1;
    expect((await finish(answer)).status).toBe(200);
  });

  test.each([
    [
      'program',
      409,
      'Nobody signs in at the MCP server program: it is a program, which is given its keys as variables.',
    ],
    [
      'keyed',
      409,
      'Nobody signs in at the MCP server keyed: it is sent the header Authorization that is configured for it.',
    ],
    ['none', 404, 'There is no MCP server "none".'],
    [
      'gaurded',
      404,
      'There is no MCP server "gaurded": the nearest one is guarded, and `capybara mcp list` has all.',
    ],
  ])('at %s nobody does', async (name, status, detail) => {
    expect((await begin(name)).json).toMatchObject({ status, detail });
  });

  test.each(['http://evil.example/', 'javascript:alert(1)', 'http://127.0.0.1.evil.example/x', ''])(
    'nobody is sent to %s',
    async (uri) => {
      expect((await begin('guarded', { body: { redirectUri: uri } })).json).toMatchObject({
        ...{ status: 400, code: 'invalid_request', field: 'redirectUri' },
      });
    },
  );

  test('a client with a secret of its own is let in at once', async () => {
    const { json } = await begin('own');
    expect(json).toEqual({
      ...{ authorizationUrl: null, login: null },
      finished: { server: 'own', scope: 'look', canRenew: false },
    });
    expect(server.open.has((await kept(it.me, 'own'))?.secret.tokens?.access_token ?? '')).toBe(true);
  });

  test('a server is tried with what the team has, and listed with who signed in', async () => {
    const tried = async (name: string) => (await it.ask('POST', `/v1/mcp/servers/${name}/test`)).json;
    expect(await tried('guarded')).toMatchObject({
      ...{ ok: false, isGuarded: true, said: null },
      why: 'wants somebody to sign in: `capybara mcp login guarded`',
    });
    const signIns = async () => {
      const { data } = (await it.ask('GET', '/v1/mcp/servers')).json;
      return data.map(({ server: name, signIn }: Record<string, unknown>) => [name, signIn]);
    };
    expect(Object.fromEntries(await signIns())).toMatchObject({ guarded: null, own: null });
    await finish(await answered());
    expect(await tried('guarded')).toMatchObject({
      ...{ ok: true, name: 'guarded', version: '1', leftOut: [], refused: 0, wants: null },
      tools: [
        { name: 'guarded__look', isAsked: false },
        { name: 'guarded__more', isAsked: true },
      ],
    });
    server.revoke();
    expect(await tried('guarded')).toMatchObject({ ok: false, isGuarded: true });
    const { by, failure } = Object.fromEntries(await signIns()).guarded;
    expect([by, failure]).toEqual(['Ana', 'has refused it (invalid_grant)']);
    expect(await tried('program')).toMatchObject({ status: 409, code: 'mcp_program' });
    expect(await tried('none')).toMatchObject({ status: 404 });
    expect(await tried('open')).toMatchObject({ ok: false, isGuarded: false });
  });

  test.each([
    ['removed', () => it.ask('DELETE', '/v1/mcp/servers/added')],
    ['replaced', () => add(server.url)],
  ])('a server that is %s meanwhile has nobody signed in', async (_, change) => {
    await add(server.url);
    const answer = await answered('added');
    server.tokens = async (response) => {
      await change();
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ access_token: 'late', token_type: 'Bearer' }));
    };
    expect((await finish(answer, 'added')).json).toMatchObject({
      ...{ status: 404, code: 'not_found' },
      detail: 'There is no MCP server "added" as it was signed in at: it was removed or replaced meanwhile.',
    });
    expect(await kept(it.me, 'added')).toBeUndefined();
  });

  test('what was signed in with at a server of the team goes with its address, and with nothing else of it', async () => {
    await add(server.url);
    expect((await finish(await answered('added'), 'added')).status).toBe(200);
    expect((await add(server.url, { trusted: false })).json.signIn).toMatchObject({ by: 'Ana' });
    expect((await add(`${server.url}?other`)).json.signIn).toBeNull();
    expect(await kept(it.me, 'added')).toBeUndefined();
  });

  test('without a key to seal with nobody signs in', async () => {
    const { json } = await unsealed.ask('POST', path('guarded'), { body: { redirectUri } });
    expect(json).toMatchObject({ status: 409, code: 'no_encryption_key' });
  });
});

describe('in a terminal', () => {
  /** What the command shows, and the address that the person is to open. */
  function terminal(more: Partial<Browsing> = {}) {
    const said: string[] = [];
    const shown = Promise.withResolvers<string>();
    const tell = (sentence: string) => {
      said.push(sentence);
      const url = /https?:\/\/\S+\/authorize\S*/.exec(sentence)?.[0];
      if (url !== undefined) shown.resolve(url);
    };
    const browsing = { port: 0, opens: false, signal: new AbortController().signal, tell, ...more };
    const client = createClient({ url: it.url, apiKey: it.me.apiKey });
    return { said, url: shown.promise, done: logIn(client, 'guarded', browsing) };
  }

  const get = (url: URL | string) => fetch(url).then(async (answer) => [answer.status, await answer.text()]);

  test('the browser comes back to this machine, and only what answers this sign-in counts', async () => {
    const { url, done } = terminal();
    const back = await browse(await url);
    expect(back.hostname).toBe('127.0.0.1');
    const stray = new URL(back);
    stray.searchParams.set('state', 'other');
    expect(await get(stray)).toEqual([400, expect.stringContaining('belongs to no sign-in')]);
    expect((await get(new URL('/', back)))[0]).toBe(404);
    expect((await get(`${back.origin}//`))[0]).toBe(404);
    expect(await get(back)).toEqual([200, expect.stringContaining('You can close this page')]);
    expect(loggedInText(await done)).toBe('Signed in at guarded, for look.\n');
    await expect(fetch(back)).rejects.toThrow();
    expect((await kept())?.failure).toBeNull();
  });

  test('where the browser is elsewhere the address is pasted', async () => {
    const input = new PassThrough();
    const { url, done, said } = terminal({ input });
    const back = await browse(await url);
    input.write(`nonsense\n${back}\n`);
    expect(await done).toEqual({ server: 'guarded', scope: 'look', canRenew: true });
    expect(said).toContain(
      'That does not answer this sign-in: paste the whole address that it sent the browser to, not that of an earlier one.',
    );
  });

  test('the command ends with the sign-in, though somebody could type still', async () => {
    const home = mkdtempSync(join(tmpdir(), 'capybara-login-'));
    const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env;
    const terminal = new PseudoTerminal({
      ...{ command: process.execPath, args: [cliProgram(), 'mcp', 'login', 'guarded', '--no-browser'] },
      ...{ cwd: home, columns: 1_000, rows: 24 },
      env: {
        ...{ PATH, NODE_COMPILE_CACHE, HOME: home },
        ...{ CAPYBARA_URL: it.url, CAPYBARA_API_KEY: it.me.apiKey },
      },
    });
    try {
      const shown = await terminal.sees(/paste the address/);
      await get(await browse(/http\S+\/authorize\S+/.exec(shown)?.[0] ?? ''));
      await terminal.sees(/Signed in at guarded/);
      expect(await terminal.ended).toBe(0);
    } finally {
      await terminal.end();
      rmSync(home, { recursive: true });
    }
  });

  test('a no is told, a person may leave, and a port may be taken', async () => {
    const refused = terminal();
    const back = await browse(await refused.url);
    back.searchParams.delete('code');
    back.searchParams.set('error', 'access_denied');
    back.searchParams.set('error_description', 'not \u001b[31mtoday');
    const [denied] = await Promise.all([refused.done.catch((error) => error), get(back)]);
    expect(denied).toMatchObject({ code: 'sign_in_refused' });
    expect(denied.message).toMatch(/^Nobody was signed in\. The server said: access_denied not .*today$/);
    expect(denied.message).not.toContain('\u001b');
    const leaving = new AbortController();
    const left = terminal({ signal: leaving.signal });
    const port = Number(new URL((await browse(await left.url)).href).port);
    await expect(terminal({ port }).done).rejects.toMatchObject({ code: 'port_taken' });
    leaving.abort(new Error('left'));
    await expect(left.done).rejects.toThrow('left');
    expect(await kept()).toBeUndefined();
  });
});
