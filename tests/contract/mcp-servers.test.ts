/** Tools of MCP servers: real ones, and one that misbehaves in every way it can. Whatever a server does, a call has a result in time. */
import { realpathSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { McpBridge } from '../../src/mcp/client/bridge.ts';
import { MESSAGES_AT_ONCE } from '../../src/mcp/client/flow.ts';
import { MCP_LIMITS, type McpLimits, type McpServer } from '../../src/mcp/client/server.ts';
import { BackgroundProcesses } from '../../src/sandbox/background.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import type { ToolOutcome } from '../../src/tools/tool.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import { createSeenFiles } from '../../src/workspace/seen-files.ts';
import type { Workspace } from '../../src/workspace/workspace.ts';
import { bubblewrap } from '../support/bubblewrap.ts';

const MODULES = realpathSync(join(import.meta.dirname, '../../node_modules'));
const NODE = process.execPath;
const everything: McpServer = {
  command: NODE,
  args: [join(MODULES, '@modelcontextprotocol/server-everything/dist/index.js')],
};
const odd = (...args: string[]): McpServer => ({
  command: NODE,
  args: [join(import.meta.dirname, '../support/mcp-odd-server.mjs'), ...args],
  env: { TOLD: 'by the settings' },
});

let base: string;
/** The session's files. */
let root: string;
let workspace: Workspace;
let plain: LeasedSandbox;
const bridges: McpBridge[] = [];

beforeAll(async () => {
  base = realpathSync(await mkdtemp(join(tmpdir(), 'capybara-mcp-')));
  plain = createUnconfinedSandbox({ environment: process.env });
  root = join(base, 'project');
  await mkdir(root);
  await writeFile(join(root, 'note.txt'), 'a note\n');
  workspace = await openLocal({ id: 'w', path: root }, { dataDir: join(base, 'data') });
});
afterEach(async () => {
  await Promise.all(bridges.splice(0).map((each) => each.close()));
});
afterAll(async () => {
  await plain.close();
  await rm(base, { recursive: true, force: true });
});

function bridgeOf(
  servers: Readonly<Record<string, McpServer>>,
  { sandbox = plain, ...limits }: Partial<McpLimits> & { readonly sandbox?: LeasedSandbox } = {},
) {
  const bridge = new McpBridge({
    ...{ sandbox, version: '0', log: silentLog, directory: join(base, 'mcp') },
    limits: { ...MCP_LIMITS, ...limits },
  });
  bridges.push(bridge);
  const session = {
    ...{ teamId: 't', sessionId: 's', servers, workspace: async () => workspace },
    signal: new AbortController().signal,
  };
  const offered = () => bridge.toolsOf(session, Object.keys(servers));
  return {
    bridge,
    offered,
    names: async () => (await offered()).tools.map(({ name }) => name),
    async call(
      name: string,
      args: Record<string, unknown> = {},
      { signal = session.signal, onOutput = (_: string) => {} } = {},
    ): Promise<ToolOutcome> {
      const registry = createRegistry((await offered()).tools);
      return registry.execute(name, JSON.stringify(args), {
        ...{ workspace, sandbox, signal, onOutput },
        background: new BackgroundProcesses(sandbox),
        seen: createSeenFiles(),
        readOutput: async () => undefined,
      });
    },
  };
}

describe('a real server', () => {
  it('offers its tools by its own name, and answers with texts and structured content', async () => {
    const { offered, call } = bridgeOf({ every: everything });
    const { tools, missing } = await offered();
    expect(missing).toEqual([]);
    expect(tools.map(({ name }) => name)).toContain('every__echo');
    const echo = tools.find(({ name }) => name === 'every__echo');
    expect(echo?.schema).toMatchObject({ type: 'object', required: ['message'] });
    expect(await call('every__echo', { message: 'hello' })).toEqual({
      text: '<untrusted source="every: echo">\nEcho: hello\n</untrusted>',
    });
    const weather = await call('every__get-structured-content', { location: 'New York' });
    expect(weather.text.match(/temperature/g)).toHaveLength(1);
  });

  it('has resources and prompts, which are read by tools', async () => {
    const { call, offered } = bridgeOf({ every: everything });
    const listed = await call('every__list_resources');
    const uri = /^demo:\/\/\S+(?=: )/m.exec(listed.text)?.[0] ?? '';
    expect(uri).toMatch(/^demo:/);
    expect((await call('every__read_resource', { uri })).text).toContain(`(resource ${uri})`);
    const none = await call('every__read_resource', { uri: 'demo://none' });
    expect(none.text).toMatch(/the MCP server 'every' answered with an error.*<untrusted source="every">/s);
    const { description } = (await offered()).tools.find(({ name }) => name === 'every__get_prompt') ?? {};
    expect(description).toContain('args-prompt(city, state?)');
    const prompt = await call('every__get_prompt', { name: 'args-prompt', arguments: { city: 'Bern' } });
    expect(prompt.text).toContain('[user]\n');
    expect(prompt.text).toContain('Bern');
  });

  it('shows images and resources', async () => {
    const { call } = bridgeOf({ odd: odd() });
    const { text, images } = await call('odd__draw');
    expect(images).toMatchObject([
      { mediaType: 'image/png', name: 'draw-1', width: 2 },
      { mediaType: 'image/png', name: 'draw-2', width: 2 },
    ]);
    expect(text).toBe(`<untrusted source="odd: draw">
(draw-1 is an image: PNG, of 2 x 2 pixels, 74 bytes.)
(resource mem://red) (draw-2 is an image: PNG, of 2 x 2 pixels, 74 bytes.)
(resource mem://note)
a note
(resource mem://far: far)
(audio, audio/wav, 3 bytes: it cannot be shown)
{"drawn":2}
</untrusted>`);
  });

  it('is not asked with arguments that do not fit', async () => {
    const { call } = bridgeOf({ every: everything });
    const { text, isError } = await call('every__echo', { message: 5 });
    expect(isError).toBe(true);
    expect(text).toContain("Error: InvalidArguments: the arguments of 'every__echo' do not fit");
    expect(text).toContain('message');
  });

  it('tells of its progress', async () => {
    const said: string[] = [];
    const { call } = bridgeOf({ odd: odd() });
    const { text } = await call('odd__slow', { n: 2 }, { onOutput: (words) => said.push(words) });
    expect(text).toContain('slow and done');
    expect(said).toEqual(['step (1 of 2)\n', 'step (2 of 2)\n']);
  });

  it('says that there are more tools, and they are there', async () => {
    const { call, names } = bridgeOf({ odd: odd() });
    expect(await names()).not.toContain('odd__another');
    await call('odd__more');
    expect(await names()).toContain('odd__another');
  });
});

describe('a server that misbehaves', () => {
  it('and ends in the middle of a call is told of, and started again for the next', async () => {
    const { call } = bridgeOf({ odd: odd() });
    expect((await call('odd__count')).text).toContain('calls 1');
    const died = await call('odd__die');
    expect(died).toEqual({
      text: "Error: McpServer: the MCP server 'odd' ended (exit code 7). Whether the call has done anything is unknown: find out before you repeat it.",
      isError: true,
    });
    expect((await call('odd__count')).text).toContain('calls 1');
  });

  it('and ends is told of and started again, though one that it started holds on to what it said', async () => {
    const { call } = bridgeOf({ odd: odd() });
    const { text } = await call('odd__orphan');
    expect(text).toMatch(/'odd' ended \(exit code 7\)\. Whether .*goodbye/s);
    expect((await call('odd__count')).text).toContain('calls 1');
  });

  it('and does not start is missing, with what it said, and is not tried at once again', async () => {
    const { offered } = bridgeOf({ bad: odd('dies'), odd: odd() });
    const { tools, missing } = await offered();
    expect(missing).toEqual([{ server: 'bad', why: 'ended (exit code 3)', said: 'no such thing as a key' }]);
    expect(tools.map(({ name }) => name)).toContain('odd__count');
  });

  it('and hangs at its start is waited for once, not by each turn', async () => {
    const hangs: McpServer = { command: 'sleep', args: ['600'] };
    const { offered } = bridgeOf({ hangs }, { connectSeconds: 2 });
    const began = performance.now();
    const [{ why: first = '' } = {}] = (await offered()).missing;
    expect(first).toBe('did not answer within 2 s of its start');
    for (let turns = 0; turns < 3; turns += 1)
      expect((await offered()).missing).toMatchObject([
        { server: 'hangs', why: expect.stringMatching(/^did not answer.*; it is tried again in [1-3] s$/) },
      ]);
    expect(performance.now() - began).toBeLessThan(7_000);
  });

  it('by repeating a key that it was given shows it to nobody', async () => {
    const env = { KEY: 'a-key-of-ours' };
    const script = 'echo "no use: $KEY" >&2; printf "%04090d$KEY" 0 >&2; exit 3';
    const { offered } = bridgeOf({ bad: { command: 'bash', args: ['-c', script], env } });
    const [{ said = '' } = {}] = (await offered()).missing;
    expect(said).toMatch(/^no use: \*{8}\n0{4079}…$/);
  });

  it.each([
    ['hang', 'did not answer within 1 s'],
    ['flood', 'sent more than anybody can read, and was ended'],
    ['huge', 'sent a message of more than 65536 bytes, and was ended'],
    ['nonsense', 'speaks something else than JSON-RPC, and was ended'],
    ['wrong', 'answered with what is no result of a call'],
  ])('by its %s gives a result', async (name, why) => {
    // What ends it may take a while where the machine is busy; what never ends is not waited for long.
    const callSeconds = name === 'hang' ? 1 : 60;
    const { call } = bridgeOf({ odd: odd() }, { callSeconds, messageBytes: 65_536 });
    const { text, isError } = await call(`odd__${name}`);
    expect(isError).toBe(true);
    expect(text).toContain(`the MCP server 'odd' ${why}. Whether`);
  });

  it('by more messages than anybody can read is ended, and not by fewer', async () => {
    const { call } = bridgeOf({ odd: odd() });
    expect((await call('odd__small', { n: MESSAGES_AT_ONCE / 2 })).text).toContain('all said');
    expect((await call('odd__trickle')).text).toContain('slowly');
    expect((await call('odd__small', { n: 100 * MESSAGES_AT_ONCE })).text).toContain(
      "the MCP server 'odd' sent more than anybody can read, and was ended. Whether",
    );
  });

  it('by an error whose number looks like a status is not asked again', async () => {
    const { call } = bridgeOf({ odd: odd() });
    expect((await call('odd__lost')).text).toContain(
      "'odd' answered with an error. Whether the call has done",
    );
    expect((await call('odd__count')).text).toContain('calls 2');
  });

  it('by its silence at the start is missing', async () => {
    const { offered } = bridgeOf({ odd: odd('silent') }, { connectSeconds: 1 });
    expect((await offered()).missing).toEqual([
      { server: 'odd', why: 'did not answer within 1 s of its start' },
    ]);
  });

  it('by naming its tools again and again has each once', async () => {
    const { names } = bridgeOf({ odd: odd('repeats') });
    expect(await names()).toEqual(await bridgeOf({ odd: odd() }).names());
  });

  it('by its silence at the start is ended with what it said, and is not waited for when it is ended before', async () => {
    const asks: McpServer = { command: 'bash', args: ['-c', 'echo a key, please >&2; exec sleep 1000'] };
    const { offered } = bridgeOf({ asks }, { connectSeconds: 1 });
    expect((await offered()).missing).toEqual([
      { server: 'asks', why: 'did not answer within 1 s of its start', said: 'a key, please' },
    ]);
    const { bridge, offered: late } = bridgeOf({ odd: odd('silent') }, { connectSeconds: 60 });
    const asked = late();
    const before = performance.now();
    await bridge.close();
    expect((await asked).missing).toEqual([{ server: 'odd', why: expect.stringMatching(/ended/) }]);
    expect(performance.now() - before).toBeLessThan(10_000);
  });

  it('by greeting on the wrong stream is understood', async () => {
    const { call } = bridgeOf({ odd: odd('greets') });
    expect((await call('odd__count')).text).toContain('calls 1');
  });

  it('is told that a call is called off', async () => {
    const { call } = bridgeOf({ odd: odd() });
    const aborting = new AbortController();
    const called = call('odd__hang', {}, { signal: aborting.signal });
    await call('odd__count');
    aborting.abort(new Error('cancelled'));
    expect((await called).isError).toBe(true);
    expect((await call('odd__count')).text).toContain('calls 3');
  });

  it('that is no program is missing', async () => {
    const { offered } = bridgeOf({ none: { command: 'no-such-program' } });
    const said = expect.stringContaining('no-such-program: command not found');
    expect((await offered()).missing).toEqual([{ server: 'none', why: 'ended (exit code 127)', said }]);
  });
});

describe.skipIf(bubblewrap === undefined)('in the sandbox', () => {
  let sandbox: LeasedSandbox;
  beforeAll(() => {
    const readable = [MODULES, join(import.meta.dirname, '../support')];
    const program = bubblewrap ?? '';
    const shared = { environment: process.env, hidden: [], readable };
    sandbox = createBubblewrapSandbox({ ...shared, profile: 'local', program });
  });
  afterAll(() => sandbox.close());

  it('a server sees the files, and changes them only where it may', async () => {
    const write = { ...odd(), workspace: 'write' as const };
    const { call, bridge } = bridgeOf({ odd: odd(), may: write }, { sandbox });
    const path = join(root, 'written.txt');
    expect((await call('odd__write', { path })).text).toContain('not written: EROFS');
    expect((await call('may__write', { path })).text).toContain('written');
    expect(await readFile(path, 'utf8')).toBe('by a server\n');
    expect((await call('odd__count')).text).toContain('calls 2');
    await bridge.leave({ teamId: 't', sessionId: 's' });
    expect((await call('may__count')).text).toContain('calls 1');
    expect((await call('odd__count')).text).toContain('calls 3');
  });

  it('a server has its own environment, and nothing of the worker', async () => {
    process.env.CAPYBARA_TEST_PLANTED = 'planted';
    const { call } = bridgeOf({ odd: odd() }, { sandbox });
    const { text } = await call('odd__env');
    delete process.env.CAPYBARA_TEST_PLANTED;
    expect(text).toContain('by the settings');
    expect(text).not.toContain('planted');
  });

  it('the files of a session are served by another’s server', async () => {
    const files: McpServer = {
      command: NODE,
      args: [join(MODULES, '@modelcontextprotocol/server-filesystem/dist/index.js'), root],
    };
    const { call } = bridgeOf({ files }, { sandbox });
    const { text } = await call('files__read_text_file', { path: join(root, 'note.txt') });
    expect(text).toContain('a note');
  });
});
