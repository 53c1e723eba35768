/** What tools of MCP servers cost: a call beside one of the plain SDK, and twenty servers with four hundred tools. */
import { mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { silentLog } from '../src/log.ts';
import { McpBridge } from '../src/mcp/client/bridge.ts';
import { findToolsTool } from '../src/mcp/client/find-tools.ts';
import { MCP_LIMITS, type McpServer } from '../src/mcp/client/server.ts';
import { tokenCounter } from '../src/model/tokens.ts';
import { BackgroundProcesses } from '../src/sandbox/background.ts';
import { createUnconfinedSandbox } from '../src/sandbox/unconfined.ts';
import { createRegistry } from '../src/tools/registry.ts';
import type { Tool, ToolContext } from '../src/tools/tool.ts';
import { openLocal } from '../src/workspace/kinds.ts';
import { createSeenFiles } from '../src/workspace/seen-files.ts';
import { more } from './files.ts';
import { type Row, spread } from './under.ts';

const HERE = { backend: 'mcp' };
const WARM_UP = 50;
const SERVERS = 20;
const TOOLS_EACH = 20;
const SERVER = join(import.meta.dirname, 'mcp-server.ts');
const TURNS = 50;
const MIB = 1024 * 1024;

export async function measureMcp(place: string, calls: number): Promise<Row[]> {
  const root = join(realpathSync(place), 'mcp');
  mkdirSync(join(root, 'project'), { recursive: true });
  const workspace = await openLocal(
    { id: 'w', path: join(root, 'project') },
    { dataDir: join(root, 'data') },
  );
  const sandbox = createUnconfinedSandbox({ environment: process.env });
  const signal = new AbortController().signal;
  const context: ToolContext = {
    ...{ workspace, sandbox, signal, onOutput: () => {} },
    background: new BackgroundProcesses(sandbox),
    seen: createSeenFiles(),
    readOutput: async () => undefined,
  };
  const bridges: McpBridge[] = [];
  const bridgeOf = (servers: Readonly<Record<string, McpServer>>) => {
    const shared = { sandbox, version: '0', log: silentLog, directory: join(root, 'servers') };
    const bridge = new McpBridge({ ...shared, limits: MCP_LIMITS });
    bridges.push(bridge);
    const session = {
      ...{ teamId: 't', sessionId: 's', servers, workspace: async () => workspace, signal },
    };
    return { bridge, session };
  };
  try {
    return [
      ...(await measureCalls(calls, { ...bridgeOf({ bench: serverWith(1) }), context })),
      ...(await measureMany(bridgeOf)),
    ];
  } finally {
    await Promise.all(bridges.map((bridge) => bridge.close()));
    await sandbox.close();
  }
}

function serverWith(tools: number): McpServer {
  return { command: process.execPath, args: ['--no-warnings', SERVER, `${tools}`] };
}

interface Calling {
  readonly bridge: McpBridge;
  readonly session: Parameters<McpBridge['toolsOf']>[0];
  readonly context: ToolContext;
}

/** The same call, in turns. */
async function measureCalls(calls: number, { bridge, session, context }: Calling): Promise<Row[]> {
  const client = new Client({ name: 'bench', version: '1' });
  await client.connect(
    new StdioClientTransport({ command: process.execPath, args: ['--no-warnings', SERVER, '1'] }),
  );
  const registry = createRegistry((await bridge.toolsOf(session, ['bench'])).tools);
  const args = { owner: 'somebody' };
  const text = JSON.stringify(args);
  const took: { plain: number[]; bridged: number[] } = { plain: [], bridged: [] };
  for (let round = 0; round < calls + WARM_UP; round += 1) {
    took.plain.push(await timed(() => client.callTool({ name: 'echo', arguments: args })));
    took.bridged.push(await timed(() => registry.execute('bench__echo', text, context)));
  }
  await client.close();
  const [plain, bridged] = [took.plain.slice(WARM_UP), took.bridged.slice(WARM_UP)];
  return [
    spread('a call by the plain SDK', HERE, plain),
    spread('a call by an agent’s tool', HERE, bridged),
    more('what Capybara adds to a call', HERE, [bridged, plain]),
  ];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function measureMany(
  bridgeOf: (servers: Readonly<Record<string, McpServer>>) => Omit<Calling, 'context'>,
): Promise<Row[]> {
  const names = Array.from({ length: SERVERS }, (_, number) => `server${number}`);
  const { bridge, session } = bridgeOf(
    Object.fromEntries(names.map((name) => [name, serverWith(TOOLS_EACH)])),
  );
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = heap();
  const first = await timed(() => bridge.toolsOf(session, names));
  const own = heap() - before;
  const turns: number[] = [];
  for (let turn = 0; turn < TURNS; turn += 1)
    turns.push(await timed(async () => toldOf((await bridge.toolsOf(session, names)).tools)));
  const { tools } = await bridge.toolsOf(session, names);
  if (tools.length !== SERVERS * TOOLS_EACH)
    throw new Error(`the bench's servers offer ${tools.length} tools`);
  const count = await tokenCounter();
  const tokensOf = (these: readonly Tool[]) => count(toldOf(these));
  const one = (what: string, unit: string, p50: number): Row => ({ ...HERE, what, unit, n: 1, p50 });
  return [
    one(`${SERVERS} servers, ${tools.length} tools: until they are there`, 'ms', first),
    spread('the same in each turn after', HERE, turns),
    one('the same: memory of the worker', 'MiB', own / MIB),
    one('the same: memory of the servers', 'MiB', residentBytes() / MIB),
    one('the same: tokens, were all told', 'tokens', tokensOf(tools)),
    one('the same: tokens in the first request', 'tokens', tokensOf([findToolsTool(tools)])),
  ];
}

/** As a request has it. */
function toldOf(tools: readonly Tool[]): string {
  return JSON.stringify(createRegistry(tools).specs());
}

/** Of all processes that run the bench's server; what they share is counted for each. */
function residentBytes(): number {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.reduce((sum, pid) => sum + residentOf(pid), 0);
}

function residentOf(pid: string): number {
  try {
    const isServer = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${SERVER}\0${TOOLS_EACH}`);
    const [, kib = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return isServer ? Number(kib) * 1024 : 0;
  } catch {
    return 0;
  }
}
