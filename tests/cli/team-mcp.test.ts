/** `mcp list`, `add`, `remove` and `test` where commands talk to a server: what they ask it for, and what they print. */
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ListedMcpServer } from '../../src/api/wire-mcp.ts';
import { capybara, withScriptedApi } from '../support/commands.ts';
import { problem, type ScriptedApi } from './scripted-api.ts';

let api: ScriptedApi;
let home: string;
withScriptedApi((started, directory) => {
  api = started;
  home = directory;
});

const mcp = async (verb: string, ...argv: string[]) => {
  const { stdout, stderr, code } = await capybara(`mcp:${verb}`, ...argv);
  const there = (text: string) => text.replaceAll(api.url, 'SERVER');
  return { stdout: there(stdout), stderr: there(stderr), code };
};
const said = (stdout: string, stderr = '') => ({ stdout, stderr, code: 0 });
const refused = (stderr: string) => ({ stdout: '', stderr, code: 2 });

function aServer(change: Partial<ListedMcpServer> = {}): ListedMcpServer {
  return {
    ...{
      server: 'search',
      kind: 'url',
      command: null,
      origin: 'https://m.example',
      transport: null,
      env: [],
    },
    ...{
      headers: [],
      workspace: 'none',
      share: 'worker',
      tools: null,
      trusted: true,
      source: 'team',
      unused: null,
      signIn: null,
    },
    ...change,
  };
}
const have = (data: readonly ListedMcpServer[], enabled = true) =>
  api.on('GET /v1/mcp/servers', () => ({ enabled, teamServers: 'addresses', data }));
const changes = () => api.received.filter(({ method }) => method !== 'GET');
const OFF =
  'MCP is off at SERVER, and agents see no server: whoever runs SERVER turns MCP on with mcp.enabled (CAPYBARA_MCP_ENABLED).';

describe('with a server', () => {
  test('list shows those that are configured there and those of the team, and why one is not used', async () => {
    const program = { kind: 'command', origin: null, workspace: 'write', share: 'session' } as const;
    const servers = [
      aServer({ ...program, server: 'files', command: 'npx', tools: ['read_*', 'ls'], source: 'configured' }),
      aServer({ transport: 'sse', trusted: false }),
      aServer({ ...program, server: 'prog', command: 'x\u001b[31m', unused: 'not_allowed' }),
      aServer({ server: 'files', unused: 'name_taken' }),
      aServer({ server: 'shut', kind: null, origin: null, unused: 'unreadable' }),
    ];
    have(servers);
    expect(await mcp('list')).toEqual(
      said(
        'SERVER  KIND       RUNS               FILES  TOOLS             FROM\n' +
          'files   command    npx                write  read_* ls         configured\n' +
          'search  url (sse)  https://m.example  none   all, not trusted  team\n' +
          'prog    command    x                  write  all               team (not allowed)\n' +
          'files   url        https://m.example  none   all               team (its name is configured)\n' +
          'shut    -          -                  none   all               team (does not open)\n',
      ),
    );
    have(servers, false);
    const { stdout, stderr } = await mcp('list', '--json');
    expect([JSON.parse(stdout), stderr]).toEqual([{ enabled: false, servers }, `${OFF}\n`]);
    have([]);
    expect(await mcp('list')).toEqual(
      said('There is no MCP server at SERVER: `capybara mcp add NAME` adds one to your team.\n'),
    );
  });

  test('add sends it to the team there, and writes nothing here', async () => {
    have([], false);
    api.on('PUT /v1/mcp/servers/search', () => aServer());
    const argv = [
      'search',
      '--url',
      'https://m.example/mcp',
      '--header',
      'X-Key: planted',
      '--tool',
      'find_*',
    ];
    expect(await mcp('add', ...argv)).toEqual(
      said('search added to your team at SERVER. Its agents have it from their next turn on.\n', `${OFF}\n`),
    );
    expect(changes().map(({ body }) => body)).toEqual([
      { url: 'https://m.example/mcp', headers: { 'X-Key': 'planted' }, tools: ['find_*'] },
    ]);
    expect(readdirSync(home)).toEqual([]);
    const { stdout } = await mcp('add', ...argv, '--json');
    expect(JSON.parse(stdout)).toEqual({ server: 'search', kind: 'url', source: 'team', enabled: false });
  });

  test('add replaces one of the team with --force alone, and says what the server refuses', async () => {
    have([aServer(), aServer({ server: 'files', source: 'configured' })]);
    api.on('PUT /v1/mcp/servers/search', () => aServer());
    const argv = ['--url', 'https://m.example/mcp'];
    expect(await mcp('add', 'search', ...argv)).toEqual(
      refused('Your team has an MCP server search at SERVER already: pass --force, or take another name.\n'),
    );
    expect(await mcp('add', 'search', ...argv, '--enable')).toEqual(
      refused(
        '--enable is for servers of this machine: whoever runs SERVER turns MCP on with mcp.enabled (CAPYBARA_MCP_ENABLED).\n',
      ),
    );
    expect(await mcp('add', 'a__b', ...argv)).toMatchObject({ code: 2 });
    expect(changes()).toEqual([]);
    expect((await mcp('add', 'search', ...argv, '--force')).code).toBe(0);
    api.on('PUT /v1/mcp/servers/prog', (_, response) =>
      problem(response, 403, 'mcp_server_not_allowed', 'A team may add no programs.'),
    );
    expect((await mcp('add', 'prog', '--', 'x')).stderr).toContain('A team may add no programs.');
  });

  test('remove takes it from the team there', async () => {
    api.on('DELETE /v1/mcp/servers/search', () => ({ server: 'search' }));
    expect(await mcp('remove', 'search')).toEqual(
      said('search removed from your team at SERVER. Its agents have it until their turns end.\n'),
    );
    expect((await mcp('remove', 'none')).code).not.toBe(0);
  });

  test('test has the API try one at an address, with what the team has signed in with; a program is for a worker', async () => {
    const failed = { ok: false, ms: 5, said: null, isGuarded: true } as const;
    const why = 'wants somebody to sign in: `capybara mcp login search`';
    api.on('POST /v1/mcp/servers/search/test', () => ({ ...failed, why }));
    expect(await mcp('test', 'search')).toEqual({
      ...said('✗ The MCP server search wants somebody to sign in: `capybara mcp login search`.\n'),
      code: 1,
    });
    api.on('POST /v1/mcp/servers/search/test', () => ({ ...failed, isGuarded: false, why: 'is away' }));
    const { step, ...told } = JSON.parse((await mcp('test', 'search', '--json')).stdout);
    expect(told).toEqual({ server: 'search', ...failed, isGuarded: false, why: 'is away' });
    expect(step).toMatch(/^Look whether it runs there/);
    const works = { ok: true, ms: 3, name: 's', version: '1', leftOut: [], refused: 0, wants: 'look more' };
    api.on('POST /v1/mcp/servers/search/test', () => ({
      ...works,
      tools: [{ name: 'search__find', isAsked: false }],
    }));
    expect(await mcp('test', 'search')).toEqual(
      said(
        '✓ search works: it answered in 3 ms, calls itself s 1, and has 1 tool.\n  search__find  reads\n' +
          'A call wanted more than was signed in for (look more): `capybara mcp login search`.\n',
      ),
    );
    api.on('POST /v1/mcp/servers/files/test', (_, response) =>
      problem(response, 409, 'mcp_program', 'The MCP server files is a program.'),
    );
    expect((await mcp('test', 'files')).stderr).toContain('The MCP server files is a program.');
  });

  test('list says who has to sign in anew, and logout forgets', async () => {
    const signIn = { by: 'Ana', at: '2026-11-27T09:00:00.000Z', failure: null };
    have([aServer({ signIn }), aServer({ server: 'other', signIn: { ...signIn, failure: 'x' } })]);
    const { stdout } = await mcp('list');
    expect(stdout).toMatch(/search .*team \(signed in\)\nother .*team \(sign in anew\)\n$/);
    api.on('DELETE /v1/mcp/servers/search/sign-in', () => ({ server: 'search' }));
    expect(await mcp('logout', 'search')).toEqual(said('Signed out at search.\n'));
  });

  test('add takes how Capybara is known where people sign in, and its secret from stdin', async () => {
    have([]);
    api.on('PUT /v1/mcp/servers/search', () => aServer());
    const flags = ['--url', 'https://m.example/', '--client-id', 'cap', '--scope', 'a b'];
    await mcp('add', 'search', ...flags);
    expect(changes().map(({ body }) => body)).toEqual([
      { url: 'https://m.example/', oauth: { clientId: 'cap', scope: 'a b' } },
    ]);
    expect((await mcp('add', 'search', ...flags, '--sign-in-as', 'client')).stderr).toContain(
      'client is for one with clientId and clientSecret',
    );
  });
});
