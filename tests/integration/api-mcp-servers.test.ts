/** The MCP servers of a team, as its administrators add, see and remove them by the API. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAgents } from '../../src/agents/agents.ts';
import { createApi } from '../../src/api/app.ts';
import type { ApiDeps } from '../../src/api/deps.ts';
import { findMcpServer } from '../../src/api/mcp-server-routes.ts';
import { listen } from '../../src/api/server.ts';
import { McpServers } from '../../src/api/wire-mcp.ts';
import { loadConfig } from '../../src/config.ts';
import { MAX_MCP_SERVERS } from '../../src/store/mcp-servers.ts';
import { Sealing } from '../../src/store/sealing.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { askerOf, type Person, startTestApi, type TestApi } from './api-harness.ts';

const CONFIGURED = JSON.stringify({
  ours: { command: '/opt/planted/bin/forge', args: ['--planted'], env: { TOKEN: 'planted' }, hosts: ['a.b'] },
});
const { mcp: config } = loadConfig({
  ...{ cwd: '/', home: '/nowhere' },
  env: {
    CAPYBARA_MCP_ENABLED: '1',
    CAPYBARA_MCP_SERVERS: CONFIGURED,
    CAPYBARA_MCP_ALLOW: 'mcp.internal,10.1.0.0/16',
  },
}).config;
const URL_SERVER = {
  url: 'https://mcp.example:8443/planted?key=planted',
  headers: { Authorization: 'Bearer planted' },
  tools: ['find_*'],
};
const SHOWN = {
  ...{ server: 'search', kind: 'url', command: null, origin: 'https://mcp.example:8443', transport: null },
  ...{ env: [], headers: ['Authorization'], workspace: 'none', share: 'worker', tools: ['find_*'] },
  ...{ trusted: true, source: 'team', unused: null, signIn: null },
};

let it: TestApi;
let stranger: Person;
beforeAll(async () => {
  const agents = createAgents(createRegistry(builtinTools()), {
    servers: ['ours'],
    hasTeamServers: true,
    agents: { narrow: { tools: ['read_file', 'search__find'] } },
  });
  it = await startTestApi(() => ({ mcp: config, agents }));
  stranger = await it.addPerson('theirs', 'Bo');
});
afterAll(() => it.close());

const put = (name: string, body: unknown, key?: string) =>
  it.ask('PUT', `/v1/mcp/servers/${name}`, { body, ...(key === undefined ? {} : { key }) });
const list = async (key?: string) => {
  const { json, text } = await it.ask('GET', '/v1/mcp/servers', key === undefined ? {} : { key });
  expect(text).not.toContain('planted');
  return McpServers.parse(json);
};

/** As an API with other settings, or another key, answers. */
async function elsewhere<Result>(
  change: Partial<ApiDeps>,
  use: (ask: TestApi['ask'], deps: ApiDeps) => Promise<Result>,
): Promise<Result> {
  const deps = { ...it.deps, ...change };
  const server = await listen(createApi(deps), { host: '127.0.0.1', port: 0 });
  try {
    return await use(askerOf(server.url, it.me), deps);
  } finally {
    await server.close();
  }
}

describe('a server of a team', () => {
  test('is added, listed beside the configured ones without its keys, replaced and removed; no other team knows of it', async () => {
    const added = await put('search', URL_SERVER);
    expect([added.status, added.json]).toEqual([200, SHOWN]);
    expect(await list()).toEqual({
      ...{ enabled: true, teamServers: 'addresses' },
      data: [
        {
          ...{ server: 'ours', kind: 'command', command: 'forge', origin: null, transport: null },
          ...{ env: ['TOKEN'], headers: [], workspace: 'read', share: 'session', tools: null },
          ...{ trusted: true, source: 'configured', unused: null, signIn: null },
        },
        SHOWN,
      ],
    });
    expect((await list(stranger.apiKey)).data.map(({ server }) => server)).toEqual(['ours']);
    expect((await it.ask('DELETE', '/v1/mcp/servers/search', { key: stranger.apiKey })).status).toBe(404);
    await put('search', { url: 'https://other.example/', trusted: false }, stranger.apiKey);
    expect((await put('search', { ...URL_SERVER, trusted: false })).json).toEqual({
      ...SHOWN,
      trusted: false,
    });
    const origins = async (key?: string) => (await list(key)).data.map(({ origin }) => origin);
    expect([await origins(), await origins(stranger.apiKey)]).toEqual([
      [null, 'https://mcp.example:8443'],
      [null, 'https://other.example'],
    ]);
    const removed = await it.ask('DELETE', '/v1/mcp/servers/search');
    expect([removed.status, removed.json]).toEqual([200, { server: 'search' }]);
    expect([await origins(), await origins(stranger.apiKey)]).toEqual([
      [null],
      [null, 'https://other.example'],
    ]);
    const audit = async () => (await it.ask('GET', '/v1/audit?subject=search')).json.data;
    await expect
      .poll(async () => (await audit()).map((each: Record<string, unknown>) => [each.action, each.status]))
      .toEqual([
        ['DELETE /v1/mcp/servers/:name', 200],
        ['PUT /v1/mcp/servers/:name', 200],
        ['PUT /v1/mcp/servers/:name', 200],
      ]);
  });

  test('is in the catalogue of its agents, and in what a task is told that they may have', async () => {
    await put('search', URL_SERVER);
    const servers = async (key?: string) =>
      (await it.ask('GET', '/v1/agents', key === undefined ? {} : { key })).json.data
        .filter(({ name }: { name: string }) => name === 'build' || name === 'narrow')
        .map((each: { servers: string[] }) => each.servers);
    expect(await servers()).toEqual([['ours', 'search'], ['search']]);
    const other = await it.addPerson('others', 'Cy');
    expect(await servers(other.apiKey)).toEqual([['ours'], []]);
    const mcpOf = (agent: string, withoutTools: string[] = []) =>
      it.deps.agents.resolve({ agent, model: 'm', withoutTools }).mcp;
    expect([mcpOf('build'), mcpOf('narrow', ['a__b'])]).toEqual([
      { servers: ['ours'], team: true },
      { servers: [], team: true, only: ['search__find'], without: ['a__b'] },
    ]);
  });

  test('is found by its name, as the configured ones are, which win', async () => {
    await put('search', URL_SERVER);
    const find = (name: string, deps: ApiDeps = it.deps) => findMcpServer(deps, it.me.teamId, name);
    expect(await find('search')).toEqual({
      ...{ id: expect.any(String), source: 'team' },
      settings: { ...URL_SERVER, trusted: true, ofTeam: true },
    });
    expect(await find('ours')).toMatchObject({
      source: 'configured',
      settings: { env: { TOKEN: 'planted' } },
    });
    expect([await find('none'), await find('constructor')]).toEqual([undefined, undefined]);
    expect(await findMcpServer(it.deps, stranger.teamId, 'search')).not.toMatchObject({
      settings: URL_SERVER,
    });
    const { ours } = config.servers;
    const wins = { ...it.deps, mcp: { ...config, servers: { ...(ours && { search: ours }) } } };
    expect(await find('search', wins)).toMatchObject({ source: 'configured' });
    const none = { ...it.deps, mcp: { ...config, teamServers: 'none' as const } };
    expect(await find('search', none)).toBeUndefined();
  });

  test('says why agents do not have it, and is listed all the same', async () => {
    await put('search', URL_SERVER);
    const unusedAt = (change: Partial<ApiDeps>) =>
      elsewhere(change, async (ask) => {
        const { data } = McpServers.parse((await ask('GET', '/v1/mcp/servers')).json);
        const agents = (await ask('GET', '/v1/agents')).json.data[0].servers;
        return [data.find(({ source }) => source === 'team')?.unused, agents];
      });
    const { ours } = config.servers;
    expect(await unusedAt({ mcp: { ...config, teamServers: 'none' } })).toEqual(['not_allowed', ['ours']]);
    const taken = { ...config, servers: { ...(ours && { search: ours }) } };
    expect(await unusedAt({ mcp: taken })).toEqual(['name_taken', ['ours']]);
    const sealing = new Sealing([Buffer.alloc(32, 9).toString('base64')]);
    expect(await unusedAt({ sealing })).toEqual(['unreadable', ['ours']]);
    expect(await unusedAt({ mcp: { ...config, enabled: false } })).toEqual([null, ['ours']]);
  });
});

describe('a server that a team may not have', () => {
  test.each([
    ['ours', URL_SERVER, 409, 'name_taken', 'configured an MCP server ours: take another name'],
    ['a__b', URL_SERVER, 400, 'invalid_request', 'The name of the server cannot be used: expected up to 32'],
    [
      'a',
      { command: 'x' },
      403,
      'mcp_server_not_allowed',
      'at addresses here (url), and no programs: whoever',
    ],
    ['a', { url: 'x' }, 400, 'invalid_request', 'cannot be used at url: expected an address'],
    ['a', { url: 'https://a', ofTeam: true }, 400, 'invalid_request', 'fields that are not known: ofTeam'],
    ['a', { url: 'https://10.0.0.1/' }, 400, 'bad_mcp_url', '10.0.0.1 belongs to a private network: a team'],
    ['a', { url: 'https://[::1]/' }, 400, 'bad_mcp_url', '::1 belongs to this machine'],
    ['a', { url: 'https://x.localhost/' }, 400, 'bad_mcp_url', 'x.localhost belongs to this machine'],
    ['a', { url: 'https://169.254.169.254/' }, 400, 'bad_mcp_url', 'the metadata of a cloud'],
    [
      'a',
      { url: 'http://8.8.8.8/' },
      400,
      'bad_mcp_url',
      '8.8.8.8 would be reached without encryption: use https',
    ],
  ])('%s as %j is refused: %d %s', async (name, body, status, code, detail) => {
    const { json } = await put(name, body);
    expect(json).toMatchObject({ status, code, detail: expect.stringContaining(detail) });
    expect(JSON.stringify(json)).not.toContain('planted');
  });

  test('is one where there is no key to seal it with, where none may be added, or where there are as many as may be', async () => {
    const codeAt = (change: Partial<ApiDeps>) =>
      elsewhere(change, async (ask) => (await ask('PUT', '/v1/mcp/servers/a', { body: URL_SERVER })).json);
    expect(await codeAt({ sealing: new Sealing([]) })).toMatchObject({
      status: 409,
      code: 'no_encryption_key',
    });
    expect(await codeAt({ mcp: { ...config, teamServers: 'none' } })).toMatchObject({
      ...{ status: 403, detail: expect.stringContaining('A team may add no MCP servers here') },
    });
    await it.db.sql`
      INSERT INTO mcp_server (id, team_id, user_id, name, settings)
      SELECT gen_random_uuid(), ${it.me.teamId}, ${it.me.userId}, 's' || n, decode('01' || repeat('00', 40), 'hex')
        FROM generate_series(1, ${MAX_MCP_SERVERS}) n`;
    expect((await put('more', URL_SERVER)).json).toMatchObject({ status: 409, code: 'too_many_mcp_servers' });
    await it.db.sql`DELETE FROM mcp_server WHERE name LIKE 's%'`;
  });
});

test('private addresses and http are taken where whoever runs Capybara allows them', async () => {
  const urls = [
    'http://mcp.internal/',
    'http://10.1.2.3:9/mcp',
    'http://other.internal/',
    'https://public.example/',
  ];
  for (const url of urls) expect([url, (await put('a', { url })).status]).toEqual([url, 200]);
  const program = { command: 'x', hosts: ['a.b:1'], workspace: 'none' };
  const made = await elsewhere({ mcp: { ...config, teamServers: 'all' } }, async (ask, deps) => [
    (await ask('PUT', '/v1/mcp/servers/b', { body: program })).status,
    await findMcpServer(deps, it.me.teamId, 'b'),
  ]);
  expect(made).toMatchObject([200, { settings: { command: 'x', hosts: [{ host: 'a.b', port: 1 }] } }]);
});
