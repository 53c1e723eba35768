/** `mcp add`, `list`, `remove` and `test`: each command in this process, what it prints and what it writes. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Command, Config, settings } from '@oclif/core';
import { captureOutput } from '@oclif/test';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { bubblewrap } from '../support/bubblewrap.ts';

const COMMANDS = fileURLToPath(new URL('../../src/cli/commands', import.meta.url));
const VERBS = ['list', 'remove', 'add', 'test'] as const;
const OFF = 'MCP is off, and agents see no server: `capybara config set mcp.enabled true` turns it on.\n';

let oclif: Config;
let home: string;
let file: string;
const environment = { ...process.env };

beforeAll(async () => {
  settings.enableAutoTranspile = false;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const pjson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  delete pjson.oclif.commands;
  pjson.oclif.plugins = [];
  oclif = await Config.load({ root, pjson, ignoreManifest: true });
});

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'capybara-mcp-'));
  file = join(home, 'config', 'capybara', 'config.yaml');
  delete process.env.CAPYBARA_URL;
  Object.assign(process.env, { XDG_CONFIG_HOME: join(home, 'config'), XDG_DATA_HOME: home });
});
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  process.exitCode = undefined;
  rmSync(home, { recursive: true, force: true });
});

/** What it prints, with the settings file as FILE; never a planted value. */
async function capybara(verb: (typeof VERBS)[number], ...argv: string[]) {
  const { default: command } = (await import(`${COMMANDS}/mcp/${verb}.ts`)) as { default: Command.Class };
  command.id = `mcp:${verb}`;
  const { stdout, stderr, error: thrown } = await captureOutput(() => command.run(argv, oclif));
  const code = process.exitCode ?? 0;
  process.exitCode = undefined;
  if (thrown) throw thrown;
  expect(stdout + stderr).not.toContain('planted');
  return { stdout: stdout.replaceAll(file, 'FILE'), stderr: stderr.replaceAll(file, 'FILE'), code };
}

function write(text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, 0o644);
}
const read = () => readFileSync(file, 'utf8');
const modeOf = () => (statSync(file).mode & 0o777).toString(8);

/** Stands for the keyboard, or for what is piped in. */
function type(text: string, isTTY: boolean): void {
  const input = Object.assign(new PassThrough(), { isTTY, setRawMode: () => {} });
  vi.spyOn(process, 'stdin', 'get').mockReturnValue(input as unknown as typeof process.stdin);
  input.end(text);
}
afterEach(() => vi.restoreAllMocks());

describe('mcp add', () => {
  test('writes a command beside all that stands there, for its owner alone, and says that MCP is off', async () => {
    write('# Mine.\nmodel: work/a # the small one\nmcp:\n  servers:\n    old: {command: x} # kept\n');
    const added = await capybara(
      ...(['add', 'files', '--workspace', 'write', '--tool', '-y', '--tool', 'read_*'] as const),
      ...['--env', 'TOKEN=planted=1', '--host', 'private:a.local:5000', '--host', '*.b.example'],
      ...['--', 'npx', '-y', '--json', 'read_*', '--', '.'],
    );
    expect(added).toEqual({
      code: 0,
      stdout: 'files added to FILE. A Capybara that runs takes it with its next start.\n',
      stderr: OFF,
    });
    expect(read()).toBe(
      '# Mine.\nmodel: work/a # the small one\nmcp:\n  servers:\n    old: { command: x } # kept\n' +
        '    files:\n      command: npx\n      args:\n        - -y\n        - --json\n        - read_*\n        - --\n        - .\n' +
        '      env:\n        TOKEN: planted=1\n      hosts:\n        - private:a.local:5000\n        - "*.b.example"\n' +
        '      workspace: write\n      tools:\n        - -y\n        - read_*\n',
    );
    expect(modeOf()).toBe('600');
    expect(loadConfig().config.mcp.servers.files).toMatchObject({
      command: 'npx',
      args: ['-y', '--json', 'read_*', '--', '.'],
      hosts: [
        { host: 'a.local', port: 5_000, isPrivate: true },
        { host: '*.b.example', isPrivate: false },
      ],
    });
  });

  test('writes an address with its headers, and turns MCP on where it is told to', async () => {
    const { stdout, stderr } = await capybara(
      ...(['add', 'search', '--url', 'https://m.example/mcp?key=planted', '--header'] as const),
      ...['Authorization: Bearer planted', '--header', 'x-team:a:b', '--transport', 'sse', '--untrusted'],
      ...['--enable', '--json'],
    );
    expect(JSON.parse(stdout)).toEqual({ server: 'search', kind: 'url', file: 'FILE', enabled: true });
    expect(stderr).toBe('');
    expect(read()).toBe(
      'mcp:\n  servers:\n    search:\n      url: https://m.example/mcp?key=planted\n      headers:\n' +
        '        Authorization: Bearer planted\n        x-team: a:b\n      transport: sse\n      trusted: false\n  enabled: true\n',
    );
    expect(modeOf()).toBe('600');
  });

  test('takes values that stand in no argument: of the environment, of stdin, and typed unseen', async () => {
    process.env.FORGE_TOKEN = '0123';
    await capybara('add', 'forge', '--env', 'FORGE_TOKEN', '--', 'forge-mcp');
    expect(read()).toContain('      env:\n        FORGE_TOKEN: "0123"\n');
    type('Bearer planted-1\n', false);
    await capybara('add', 'a', '--url', 'http://a/mcp', '--header', 'Authorization');
    expect(read()).toContain('        Authorization: Bearer planted-1\n');
    type('Bearer planted-2\r', true);
    const { stderr } = await capybara('add', 'b', '--url', 'http://b/mcp', '--header', 'Authorization');
    expect(stderr).toBe(`Authorization (not shown): \n${OFF}`);
    expect(read()).toContain('        Authorization: Bearer planted-2\n');
  });

  test('is left with Ctrl-C where a value is asked for: exit code 130, and nothing is written', async () => {
    type('pl\u0003', true);
    const left = await capybara('add', 'a', '--url', 'http://a', '--header', 'x-key');
    expect(left).toEqual({
      ...{ code: 130, stdout: '' },
      stderr: 'x-key (not shown): \nNothing was changed.\n',
    });
    expect(existsSync(file)).toBe(false);
  });

  test.each([
    [['files'], 'Nothing says what "files" is: pass --url URL, or behind -- the command that starts it.\n'],
    [['a', '--url', 'http://a', '--', 'x'], 'Expected --url or a command; found both.\n'],
    [['a__b', '--', 'x'], 'mcp.servers.a__b is wrong: expected up to 32 letters, digits, dashes and single'],
    [['a', '--url', 'a.example'], 'mcp.servers.a.url is wrong: expected an address that begins with http://'],
    [['a', '--url', 'http://u:planted@a'], 'mcp.servers.a.url is wrong: expected an address without user'],
    [
      ['a', '--url', 'http://a', '--env', 'K=planted'],
      'mcp.servers.a.env is wrong: it goes with command, and this server has url.\n',
    ],
    [
      ['a', '--header', 'K: planted', '--', 'x'],
      'mcp.servers.a.headers is wrong: it goes with url, and this server has command.\n',
    ],
    [
      ['a', '--share', 'worker', '--', 'x'],
      'mcp.servers.a.share is wrong: worker is for servers that see no',
    ],
    [['a', '--host', 'planted host', '--', 'x'], 'mcp.servers.a.hosts.0 is wrong: expected a host such as'],
    [
      ['a', '--env', 'CAPYBARA_TEST_UNSET', '--', 'x'],
      '--env "CAPYBARA_TEST_UNSET" names no variable that is set here: set it, or say "CAPYBARA_TEST_UNSET=value".\n',
    ],
    [
      ['a', '--url', 'http://a', '--header', 'K', '--header', 'L'],
      'One header may have its value on stdin; found several without one.\n',
    ],
    [
      ['a', '--url', 'http://a', '--header', 'K'],
      'The header from stdin has no value: expected "Name: value".\n',
    ],
    [['a', 'npx', '-y', 'x'], 'There is no flag -y: see `capybara mcp add --help`.\n'],
    [['old', '--', 'y'], 'There is an MCP server old in FILE already: pass --force, or take another name.\n'],
  ])('%j is refused, and nothing is written', async (argv, said) => {
    const before = 'mcp: {servers: {old: {command: x, env: {K: planted}}}}\n';
    write(before);
    type('\n', false);
    const { stdout, stderr, code } = await capybara('add', ...argv);
    expect(stderr).toContain(said);
    expect({ stdout, code }).toEqual({ stdout: '', code: 2 });
    expect(read()).toBe(before);
  });

  test('takes the place of one with --force, whole; what is heard first instead is told', async () => {
    write('mcp: {enabled: true, servers: {old: {command: x, env: {K: planted}}}}\n');
    process.env.CAPYBARA_MCP_SERVERS = '{"old": {"command": "y"}}';
    process.env.CAPYBARA_MCP_ENABLED = '0';
    const { stderr } = await capybara('add', 'old', '--url', 'http://old', '--force');
    expect(stderr).toBe(
      'CAPYBARA_MCP_SERVERS (environment) has old too, and is heard first.\n' +
        'MCP is off, and agents see no server: CAPYBARA_MCP_ENABLED (environment) says so.\n',
    );
    expect(read()).toBe('mcp: { enabled: true, servers: { old: { url: http://old } } }\n');
  });

  test('writes into a profile, and names it in what to do next', async () => {
    write('profiles:\n  home:\n    model: a/b\n');
    const { stderr } = await capybara('add', 'a', '--profile', 'home', '--', 'x');
    expect(stderr).toContain('`capybara config set mcp.enabled true --profile "home"` turns it on.');
    expect(read()).toBe(
      'profiles:\n  home:\n    model: a/b\n    mcp:\n      servers:\n        a:\n          command: x\n',
    );
  });
});

const SEVERAL = `mcp:
  enabled: true
  servers:
    files: {command: npx, args: [--key, planted], env: {TOKEN: planted}, workspace: write, tools: [read_*, ls]}
    search: {url: "http://other"}
    shared: {command: s, workspace: none, share: worker, tools: []}
profiles:
  home:
    mcp:
      servers:
        search: {url: "https://m.example:8443/planted/mcp?key=planted", headers: {X-Key: planted}, transport: sse, trusted: false}
`;

describe('mcp list', () => {
  test('shows what each is and where it comes from, and no argument, path or value', async () => {
    write(SEVERAL);
    process.env.CAPYBARA_MCP_SERVERS = '{"more": {"url": "http://127.0.0.1:9/mcp"}}';
    const { stdout, stderr } = await capybara('list', '--profile', 'home');
    expect(stderr).toBe('');
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['SERVER', 'KIND', 'RUNS', 'FILES', 'TOOLS', 'FROM'],
      ['files', 'command', 'npx', 'write', 'read_* ls', 'config.yaml'],
      ['search', 'url (sse)', 'https://m.example:8443', 'none', 'all, not trusted', 'profile'],
      ['shared', 'command', 's', 'none, shared', 'none', 'config.yaml'],
      ['more', 'url', 'http://127.0.0.1:9', 'none', 'all', 'CAPYBARA_MCP_SERVERS'],
      [''],
    ]);
    const { enabled, servers } = JSON.parse((await capybara('list', '--profile', 'home', '--json')).stdout);
    expect(enabled).toBe(true);
    expect(servers.slice(0, 2)).toEqual([
      {
        ...{ server: 'files', kind: 'command', command: 'npx', origin: null, transport: null },
        ...{ env: ['TOKEN'], headers: [], workspace: 'write', share: 'session', tools: ['read_*', 'ls'] },
        ...{ trusted: true, source: { kind: 'user', where: 'FILE' }, unused: null },
      },
      {
        ...{
          server: 'search',
          kind: 'url',
          command: null,
          origin: 'https://m.example:8443',
          transport: 'sse',
        },
        ...{ env: [], headers: ['X-Key'], workspace: 'none', share: 'worker', tools: null },
        ...{ trusted: false, source: { kind: 'profile', where: 'FILE' }, unused: null },
      },
    ]);
  });

  test('shows those of the project, and that they are not used where nobody allowed it', async () => {
    const project = join(home, 'project');
    mkdirSync(join(project, '.capybara'), { recursive: true });
    writeFileSync(
      join(project, '.capybara', 'config.yaml'),
      'mcp: {servers: {own: {command: ./tool, args: [planted]}, files: {url: "https://m.example/planted"}}}\n',
    );
    vi.spyOn(process, 'cwd').mockReturnValue(project);
    write('mcp: {enabled: true, servers: {files: {command: npx}}}\n');
    const table = (own: string, files: string) =>
      [
        'SERVER  KIND     RUNS               FILES  TOOLS             FROM',
        'files   command  npx                read   all               config.yaml',
        `own     command  ./tool             read   all, not trusted  ${own}`,
        `files   url      https://m.example  none   all, not trusted  ${files}\n`,
      ].join('\n');
    expect(await capybara('list')).toEqual({
      ...{ code: 0, stdout: table('project (not allowed)', 'project (not allowed)') },
      stderr:
        'The MCP servers of the project are not used: `capybara config set mcp.projectServers true` allows those of every project.\n',
    });
    process.env.CAPYBARA_MCP_PROJECT_SERVERS = '1';
    expect(await capybara('list')).toEqual({
      ...{ code: 0, stdout: table('project', 'project (its name is configured)'), stderr: '' },
    });
  });

  test('says where there is none, and where agents see none', async () => {
    expect(await capybara('list')).toEqual({
      ...{ code: 0, stderr: '' },
      stdout: 'No MCP server is configured: `capybara mcp add NAME` adds one.\n',
    });
    write('mcp: {servers: {a: {command: x}}}\n');
    expect((await capybara('list')).stderr).toBe(OFF);
  });
});

describe('mcp remove', () => {
  test('takes out the server and its keys, and with the last one the map', async () => {
    write(
      'model: a/b\nmcp:\n  servers:\n    a: {command: x, env: {K: planted}}\n    b: {command: y} # kept\n',
    );
    expect(await capybara('remove', 'a')).toEqual({
      ...{ code: 0, stderr: '' },
      stdout: 'a removed from FILE. A Capybara that runs has it until its next start.\n',
    });
    expect(read()).toBe('model: a/b\nmcp:\n  servers:\n    b: { command: y } # kept\n');
    await capybara('remove', 'b');
    expect(read()).toBe('model: a/b\n');
  });

  test('says where one is that it cannot take out', async () => {
    const before = 'mcp: {servers: {a: {command: x}}}\nprofiles: {home: {model: a/b}}\n';
    write(before);
    process.env.CAPYBARA_MCP_SERVERS = '{"more": {"command": "y"}}';
    const refused = async (...argv: string[]) => {
      const { stderr, code } = await capybara('remove', ...argv);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await refused('more')).toBe(
      'There is no MCP server more in FILE: it comes from CAPYBARA_MCP_SERVERS (environment), unset that.\n',
    );
    expect(await refused('a', '--profile', 'home')).toBe(
      'There is no MCP server a in the profile of FILE: it is outside of it, leave --profile out.\n',
    );
    expect(await refused('constructor')).toBe(
      'There is no MCP server constructor in FILE: `capybara mcp list` has those there are.\n',
    );
    expect(read()).toBe(before);
  });
});

describe('mcp test', () => {
  const odd = (...args: string[]) => ({
    command: process.execPath,
    args: [fileURLToPath(new URL('../support/mcp-odd-server.mjs', import.meta.url)), ...args],
    workspace: 'none',
  });
  const configure = (servers: Record<string, unknown>, enabled = true) => {
    process.env.CAPYBARA_SANDBOX = 'off';
    write(JSON.stringify({ mcp: { enabled, servers } }));
  };
  const left = () => readdirSync(join(home, 'capybara')).filter((name) => name === 'scratch');

  test('starts one, says what agents would see of it, and leaves nothing, though MCP is off', async () => {
    configure({ odd: { ...odd(), tools: ['count', 'd*'] } }, false);
    const { stdout, stderr, code } = await capybara('test', 'odd');
    expect(stdout.replace(/\d+ ms/, 'N ms')).toBe(
      '✓ odd works: it answered in N ms, calls itself odd 1, and has 3 tools.\n' +
        '  odd__count  reads\n  odd__die    is asked about\n  odd__draw   is asked about\n' +
        'Left out, since its setting tools does not name them: orphan, hang, flood, small, trickle, huge, nonsense, wrong, lost, slow, more, env, write, pid, mark.\n' +
        'Left out, since they are no tools: 1 entry of its list.\n',
    );
    expect({ stderr, code }).toEqual({ stderr: OFF, code: 0 });
    expect(left()).toEqual([]);
  });

  test('says why one cannot be used, with what it said, made safe, and what to do', async () => {
    const script =
      'for n in $(seq 30); do echo "$n"; done >&2; printf "\\033]0;title\\007why\\n" >&2; exit 3';
    const says = { command: 'bash', args: ['-c', script], workspace: 'none', env: { KEY: 'planted' } };
    configure({
      says,
      none: { command: 'no-such-program', workspace: 'none' },
      url: { url: 'http://127.0.0.1:1/mcp' },
    });
    const [first, , ...others] = (await capybara('test', 'says')).stdout.trimEnd().split('\n');
    expect(first).toBe('✗ The MCP server says ended (exit code 3).');
    expect(others.slice(7, 10)).toEqual(['  8', '  (15 more lines)', '  24']);
    expect(others.slice(-2)).toEqual([
      '  why',
      "It is given these variables: KEY (--env); hosts: none (--host); and of the project's files: none (--workspace). " +
        'Where it needs others, add it anew with --force.',
    ]);
    const { stdout, code } = await capybara('test', 'none', '--json');
    expect(JSON.parse(stdout)).toEqual({
      ...{ server: 'none', enabled: true, ok: false, ms: expect.any(Number), why: 'ended (exit code 127)' },
      ...{ said: expect.stringContaining('command not found'), isLate: false, isGuarded: false },
      absent: { word: 'no-such-program', isHere: false },
      step: 'There is no program no-such-program: install it, or add the server anew with --force and the one that there is.',
    });
    expect(code).toBe(1);
    expect(await capybara('test', 'url')).toEqual({
      ...{ code: 1, stderr: '' },
      stdout:
        '✗ The MCP server url could not be reached: bad port.\n' +
        'Look whether it runs there, and whether its address and headers are those: add it anew with --force where they are not.\n',
    });
    expect(left()).toEqual([]);
  });

  test.skipIf(bubblewrap === undefined)('names the file that the sandbox does not show', async () => {
    const script = join(home, 'server.sh');
    writeFileSync(script, '');
    configure({ hidden: { command: 'bash', args: [script], workspace: 'none' } });
    process.env.CAPYBARA_SANDBOX = 'auto';
    const { stdout, code } = await capybara('test', 'hidden');
    expect(stdout).toContain(
      `${script} is on this machine, and not to be seen where commands of agents run: put it below the project`,
    );
    expect(code).toBe(1);
  });

  test('is left with Ctrl-C: exit code 130, and the server is not waited for', async () => {
    const started = join(home, 'started');
    const script = `touch ${started}; exec sleep 1000`;
    configure({ silent: { command: 'bash', args: ['-c', script], workspace: 'none' } });
    const tested = capybara('test', 'silent');
    await vi.waitFor(() => expect(existsSync(started)).toBe(true), 10_000);
    process.emit('SIGINT');
    await expect(tested).rejects.toThrow('EEXIT: 130');
    expect(left()).toEqual([]);
  });

  test('names the nearest one where there is none of that name', async () => {
    expect((await capybara('test', 'constructor')).stderr).toBe(
      'There is no MCP server "constructor": `capybara mcp add NAME` adds one.\n',
    );
    configure({ files: odd(), search: odd() });
    expect(await capybara('test', 'flies')).toEqual({
      ...{ code: 2, stdout: '' },
      stderr: 'There is no MCP server "flies": the nearest one is files, and `capybara mcp list` has all.\n',
    });
  });
});
