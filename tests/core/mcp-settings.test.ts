/** MCP servers in settings: what each form takes, and where they may be said. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MAX_HOSTS } from '../../src/config/command-settings.ts';
import { MAX_NAMES } from '../../src/config/maps.ts';
import {
  MAX_MCP_ALLOWED,
  MAX_MCP_ARGS,
  MAX_MCP_NAME,
  MAX_MCP_TEXT,
  MAX_MCP_TOOLS,
  MAX_MCP_VALUES,
  MCP_LIMITS,
  readProjectServer,
} from '../../src/config/mcp-settings.ts';
import { secretFiles, withoutSecretsOf } from '../../src/config/secrets.ts';
import { type LoadOptions, loadConfig, projectTerms } from '../../src/config.ts';

let home: string;
let userFile: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'capybara-mcp-settings-'));
  userFile = join(home, '.config', 'capybara', 'config.yaml');
  mkdirSync(dirname(userFile), { recursive: true });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function load(options: LoadOptions = {}) {
  return loadConfig({ env: {}, cwd: home, home, ...options });
}

function withServers(servers: unknown) {
  const text = typeof servers === 'string' ? servers : JSON.stringify(servers);
  return load({ env: { CAPYBARA_MCP_SERVERS: text } });
}

/** What becomes of one server of this name. */
const server = (settings: object, name = 'a') => withServers({ [name]: settings }).config.mcp.servers[name];

const YAML = `
mcp:
  enabled: true
  callSeconds: 30
  servers:
    files:
      command: npx
      args: [-y, "@modelcontextprotocol/server-filesystem", "."]
      env: {TOKEN: planted-token, "N": "8080"}
      hosts: [registry.npmjs.org, "private:*.local:5000"]
      workspace: write
      tools: [read_*, list_directory]
    search:
      url: https://mcp.example/mcp?key=planted-query
      headers: {Authorization: Bearer planted-header}
      trusted: false
      connectSeconds: 5
profiles:
  home:
    mcp:
      servers:
        search: {url: "http://127.0.0.1:9/mcp", transport: sse}
`;

describe('MCP servers', () => {
  test('stand in YAML beside the settings for all of them, in one of two forms', () => {
    writeFileSync(userFile, YAML);
    const { config, shown, sources } = load();
    expect(config.mcp).toEqual({
      enabled: true,
      servers: {
        files: {
          command: 'npx',
          args: ['-y', '@modelcontextprotocol/server-filesystem', '.'],
          env: { TOKEN: 'planted-token', N: '8080' },
          hosts: [
            { host: 'registry.npmjs.org', isPrivate: false },
            { host: '*.local', port: 5_000, isPrivate: true },
          ],
          workspace: 'write',
          share: 'session',
          tools: ['read_*', 'list_directory'],
          trusted: true,
        },
        search: {
          url: 'https://mcp.example/mcp?key=planted-query',
          headers: { Authorization: 'Bearer planted-header' },
          trusted: false,
          connectSeconds: 5,
        },
      },
      ...{ teamServers: 'addresses', projectServers: false },
      ...{ connectSeconds: 30, callSeconds: 30, idleSeconds: 60, messageKib: 16_384 },
      teamServers: 'addresses',
    });
    expect(shown['mcp.servers']).toBe('files, search');
    expect(sources['mcp.servers'].where).toBe(`${userFile}, line 7`);
  });

  test('are taken from the first place that has their name, which is kept', () => {
    writeFileSync(userFile, YAML);
    const env = { CAPYBARA_MCP_SERVERS: '{"more": {"command": "m"}}' };
    const { config, origins } = load({ env, profile: 'home' });
    expect(Object.keys(config.mcp.servers).toSorted()).toEqual(['files', 'more', 'search']);
    expect(config.mcp.servers.search).toEqual({
      url: 'http://127.0.0.1:9/mcp',
      ...{ transport: 'sse', trusted: true },
    });
    const kinds = Object.entries(origins['mcp.servers'] ?? {}).map(([name, { kind }]) => [name, kind]);
    expect(Object.fromEntries(kinds)).toEqual({ files: 'user', search: 'profile', more: 'environment' });
  });

  test('read the workspace and belong to their session where nothing else is said', () => {
    expect(server({ command: 'x' })).toEqual({
      ...{ command: 'x', workspace: 'read', share: 'session', trusted: true },
    });
    expect(server({ command: 'x', workspace: 'none', share: 'worker' })).toMatchObject({ share: 'worker' });
    expect(server({ url: 'http://x' })).toEqual({ url: 'http://x', trusted: true });
  });

  test.each([
    ['[]', 'must be a map of at most 200 MCP servers'],
    [
      '{"a": {"trusted": true}}',
      'mcp.servers.a is wrong: expected either command, a program to start, or url',
    ],
    ['{"a": {"command": "planted", "url": "http://x"}}', 'mcp.servers.a is wrong: expected either command'],
    [
      '{"a": {"url": "http://x", "env": {"K": "planted"}}}',
      'mcp.servers.a.env is wrong: it goes with command, and this server has url.',
    ],
    [
      '{"a": {"command": "x", "headers": {"K": "planted"}}}',
      'mcp.servers.a.headers is wrong: it goes with url, and this server has command.',
    ],
    [
      '{"a": {"command": "x", "share": "worker"}}',
      'mcp.servers.a.share is wrong: worker is for servers that see no files: expected workspace none too.',
    ],
    [
      '{"a": {"command": "x", "share": "worker", "workspace": "read"}}',
      'mcp.servers.a.share is wrong: worker is for',
    ],
    [
      '{"a": {"command": "x", "cwd": "planted"}}',
      'CAPYBARA_MCP_SERVERS (environment): mcp.servers.a has no setting "cwd"; the nearest one is ',
    ],
    [
      '{"a": {"command": "x", "arg": ["planted"]}}',
      'mcp.servers.a has no setting "arg"; the nearest one is "args".',
    ],
    ['{"a": {"command": "x", "args": "planted"}}', 'mcp.servers.a.args is wrong'],
    ['{"a": {"command": "x", "args": [8080]}}', 'mcp.servers.a.args.0 is wrong: expected a text of at most'],
    ['{"a": {"command": "x", "env": {"N": 5}}}', 'in YAML a number stands in quotes'],
    ['{"a": {"command": "x", "env": {"N": "planted\\u0000"}}}', 'mcp.servers.a.env.N is wrong'],
    ['{"a": {"command": "x", "env": {"1N": "planted"}}}', 'mcp.servers.a.env.1N is wrong'],
    [
      '{"a": {"command": "x", "hosts": ["planted host"]}}',
      'mcp.servers.a.hosts.0 is wrong: expected a host such as registry.npmjs.org',
    ],
    ['{"a": {"command": "x", "workspace": "planted"}}', 'expected one of "none"|"read"|"write"'],
    ['{"a": {"url": "ftp://planted"}}', 'mcp.servers.a.url is wrong: expected an address that begins'],
    [
      '{"a": {"url": "http://u:planted@x"}}',
      'mcp.servers.a.url is wrong: expected an address without user and password',
    ],
    ['{"a": {"url": "http://x", "headers": {"K": "planted\\n"}}}', 'mcp.servers.a.headers.K is wrong'],
    ['{"a": {"url": "http://x", "transport": "ws"}}', 'expected one of "http"|"sse"'],
    ['{"a": {"url": "http://x", "tools": [""]}}', 'expected the name of a tool, or a pattern with *'],
  ])('that are wrong are named with what was expected, and never quoted: %s', (servers, said) => {
    expect(() => withServers(servers)).toThrow(said);
    expect(() => withServers(servers)).not.toThrow(/planted/);
  });

  test.each(['a', 'A-1_b', 'a'.repeat(MAX_MCP_NAME)])('may be called %s', (name) => {
    expect(server({ command: 'x' }, name)).toBeDefined();
  });

  test.each(['', '-a', '_a', 'a__b', 'a_', 'a.b', 'a b', 'ä', 'a'.repeat(MAX_MCP_NAME + 1)])(
    'may not be called %j: their tools are `name__tool`',
    (name) => {
      expect(() => server({ command: 'x' }, name)).toThrow(
        `mcp.servers.${name} is wrong: expected up to 32 letters, digits, dashes and single underscores`,
      );
    },
  );

  test('have as much of each as they may, and no more', () => {
    const record = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`K${index}`, 'v']));
    const list = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`);
    const both: [number, (count: number) => unknown][] = [
      [MAX_MCP_ARGS, (count) => server({ command: 'x', args: list(count) })],
      [MAX_MCP_TEXT, (count) => server({ command: 'x', args: ['a'.repeat(count)] })],
      [MAX_MCP_VALUES, (count) => server({ command: 'x', env: record(count) })],
      [MAX_MCP_VALUES, (count) => server({ url: 'http://x', headers: record(count) })],
      [MAX_MCP_TOOLS, (count) => server({ url: 'http://x', tools: list(count) })],
      [MAX_HOSTS, (count) => server({ command: 'x', hosts: list(count) })],
      [MAX_NAMES, (count) => withServers(Object.fromEntries(list(count).map((n) => [n, { command: 'x' }])))],
    ];
    for (const [most, withMany] of both) {
      expect(withMany(most)).toBeDefined();
      expect(() => withMany(most + 1)).toThrow();
    }
  });

  test('are given their own times, within what holds for all', () => {
    for (const name of ['connectSeconds', 'callSeconds'] as const) {
      const { least, most } = MCP_LIMITS[name];
      for (const value of [least, most])
        expect(server({ command: 'x', [name]: value })).toMatchObject({ [name]: value });
      for (const value of [least - 1, most + 1])
        expect(() => server({ command: 'x', [name]: value })).toThrow(`mcp.servers.a.${name} is wrong`);
    }
  });

  test.each(Object.values(MCP_LIMITS))('$env is from $least to $most', ({ env, least, most }) => {
    for (const value of [least, most]) expect(load({ env: { [env]: `${value}` } })).toBeDefined();
    for (const value of [least - 1, most + 1])
      expect(() => load({ env: { [env]: `${value}` } })).toThrow(
        `must be a whole number from ${least} to ${most}`,
      );
  });

  test('are not said by a directory, neither which nor whether', () => {
    const variables = [
      'ENABLED=1',
      'PROJECT_SERVERS=1',
      'TEAM_SERVERS=all',
      'ALLOW=db',
      'SERVERS={"evil":{"command":"x"}}',
      'CALL_SECONDS=1',
    ];
    writeFileSync(join(home, '.env'), variables.map((line) => `CAPYBARA_MCP_${line}\n`).join(''));
    expect(load().config.mcp).toEqual({
      ...{ enabled: false, servers: {}, teamServers: 'addresses', projectServers: false },
      ...{ connectSeconds: 30, callSeconds: 120, idleSeconds: 60, messageKib: 16_384 },
    });
    mkdirSync(join(home, '.capybara'));
    for (const yaml of ['mcp: {enabled: true}', 'mcp: {projectServers: true}', 'mcp: {allow: db}']) {
      writeFileSync(join(home, '.capybara', 'config.yaml'), yaml);
      expect(() => load()).toThrow('may not be set by a project');
    }
  });

  test('have secrets, which are taken out of what is shown, in a file for its owner alone', () => {
    writeFileSync(userFile, YAML);
    chmodSync(userFile, 0o644);
    const loaded = load();
    const text = 'planted-token planted-query planted-header Bearer planted-header 8080 and nothing else';
    expect(withoutSecretsOf(loaded.config, text)).toBe(`${'******** '.repeat(5)}and nothing else`);
    expect(secretFiles(loaded)).toEqual([userFile]);
    writeFileSync(userFile, 'mcp: {servers: {a: {command: x}, b: {url: "http://x/mcp"}}}');
    expect(secretFiles(load())).toEqual([]);
  });

  test('what is misspelt above them is answered with the nearest, and nothing stands for none', () => {
    writeFileSync(userFile, 'mcp:\n  server:\n    a: {command: x}\n');
    expect(() => load()).toThrow('there is no setting "mcp.server.a.command"; the nearest one is "mcp.');
    writeFileSync(userFile, 'mcp:\n  servers:\n');
    expect(load().config.mcp.servers).toEqual({});
    writeFileSync(userFile, 'mcp:\n  servers: [a]\n');
    expect(() => load()).toThrow('must be a map of at most 200 MCP servers');
  });
});

test('what servers of teams and projects may have of private addresses is listed, so much of it', () => {
  const allow = (count: number) =>
    load({ env: { CAPYBARA_MCP_ALLOW: Array(count).fill('10.0.0.0/8').join() } });
  expect(allow(MAX_MCP_ALLOWED).config.mcp.allow).toHaveLength(MAX_MCP_ALLOWED);
  expect(() => allow(MAX_MCP_ALLOWED + 1)).toThrow('must be at most 100 hosts, addresses or ranges');
});

describe('MCP servers of a project', () => {
  const project = (text: string) => {
    mkdirSync(join(home, '.capybara'), { recursive: true });
    writeFileSync(join(home, '.capybara', 'config.yaml'), text);
  };

  test('are told apart from those that are configured, and never believed', () => {
    project(
      'model: a/b\nmcp:\n  servers:\n    own: {command: ./server, hosts: [a.example], trusted: true}\n    far: {url: "https://m.example/"}\n',
    );
    expect(load().config.mcp).toMatchObject({ servers: {}, projectServers: false });
    const { rules, servers } = projectTerms(home);
    expect(rules).toEqual([]);
    expect(servers).toEqual({
      own: { command: './server', hosts: ['a.example'], trusted: true },
      far: { url: 'https://m.example/' },
    });
    expect(readProjectServer(servers.own)).toMatchObject({ hosts: [{ host: 'a.example' }], trusted: false });
    expect(readProjectServer(servers.far)).toEqual({
      url: 'https://m.example/',
      ofTeam: true,
      ofProject: true,
      trusted: false,
    });
    expect(readProjectServer({ command: 'x', unknown: 1 })).toBeUndefined();
    project('mcp:\n  servers: \'{"own": {"command": "x"}}\'\n');
    expect(projectTerms(home).servers).toEqual({ own: { command: 'x' } });
  });

  test.each([
    [
      '  servers:\n    a: {args: [x]}\n',
      'mcp.servers.a is wrong: expected either command, a program to start, or url',
    ],
    ['  servers:\n    a: {url: "https://a/", oauth: {as: person}}\n', 'mcp.servers.a.oauth ('],
    ['  servers:\n    a: {command: x, hosts: ["private:db.local"]}\n', 'mcp.servers.a.hosts ('],
  ])('stop the start where they are wrong: %j', (text, said) => {
    project(`mcp:\n${text}`);
    expect(() => load()).toThrow(said);
  });
});
