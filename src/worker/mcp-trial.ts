/** What `capybara mcp test` asks: a server as a worker here would have it, once, with nothing of it left afterwards. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { type Config, commandEnvironment } from '../config.ts';
import { silentLog } from '../log.ts';
import { type Access, NotSignedIn } from '../mcp/client/access.ts';
import type { FailedAddress, WorkingServer } from '../mcp/client/address-trial.ts';
import { type BridgedSession, McpBridge } from '../mcp/client/bridge.ts';
import { ServerGone } from '../mcp/client/server-gone.ts';
import { findProgram } from '../sandbox/program.ts';
import { VERSION } from '../version.ts';
import { openLocal, scratchOf } from '../workspace/kinds.ts';
import { DEFAULT_LEASE } from './lease.ts';
import { configuredServers, openSandbox, ownerOfWorkspaces, sandboxFor } from './main.ts';

export interface FailedServer extends FailedAddress {
  /** Its program, or a path that it is given, where what it runs in does not show that; `isHere`: this machine has it. */
  readonly absent: { readonly word: string; readonly isHere: boolean } | null;
  /** It took all the time that it has to connect. */
  readonly isLate: boolean;
}

export type Trial = WorkingServer | FailedServer;

export interface TrialPlace {
  /** Whose files it may see, where it sees any. */
  readonly directory: string;
  /** Ends it, and what waits for it rejects. */
  readonly signal: AbortSignal;
}

/**
 * `server`: the name of one that is configured. Throws `UserError` where commands cannot be confined as configured, or no agent may work
 * in that directory; and what the signal was aborted with.
 */
export async function tryServer(config: Config, server: string, place: TrialPlace): Promise<Trial> {
  const choice = await sandboxFor(config, config.databaseUrl === undefined ? 'local' : 'strict');
  const host = { dataDir: config.dataDir, owner: ownerOfWorkspaces(config, choice) };
  const id = `mcp-test-${randomUUID()}`;
  const workspace = () => openLocal({ id, path: place.directory }, host);
  if (seesFiles(config, server)) await workspace();
  const scratch = scratchOf(id, host);
  const sandbox = openSandbox(config, choice);
  const alive = setInterval(() => sandbox.feed(), DEFAULT_LEASE.renewMs);
  const { servers, limits } = configuredServers(config);
  const about = { version: VERSION, log: silentLog, access: () => nobodyAt(server) };
  const bridge = new McpBridge({ limits, sandbox, directory: scratch, ...about });
  try {
    const session = { teamId: id, sessionId: id, servers, workspace, signal: place.signal };
    const connectMs = 1_000 * (config.mcp.servers[server]?.connectSeconds ?? config.mcp.connectSeconds);
    return await tried({ bridge, session, server, connectMs });
  } finally {
    await bridge.close();
    await sandbox.close();
    clearInterval(alive);
    await rm(scratch, { recursive: true, force: true });
  }
}

function nobodyAt(server: string): Access {
  return {
    token: async () => undefined,
    renewed: async () => {
      throw new NotSignedIn(`wants somebody to sign in: \`capybara mcp login ${server}\``, undefined);
    },
  };
}

/** Where it does, a directory that no agent may work in is told as such. */
function seesFiles({ mcp }: Config, server: string): boolean {
  const settings = mcp.servers[server];
  return settings !== undefined && 'command' in settings && settings.workspace !== 'none';
}

interface Tried {
  readonly bridge: McpBridge;
  readonly session: BridgedSession;
  readonly server: string;
  readonly connectMs: number;
}

async function tried({ bridge, session, server, connectMs }: Tried): Promise<Trial> {
  const begunAt = performance.now();
  const sinceBegun = () => Math.round(performance.now() - begunAt);
  try {
    const { server: said, refused, leftOut } = await bridge.offered(session, server);
    const ms = sinceBegun();
    const { tools } = await bridge.toolsOf(session, [server]);
    const shown = tools.map(({ name, effect }) => ({ name, isAsked: effect !== 'read' }));
    return { ok: true, ms, ...said, tools: shown, leftOut, refused };
  } catch (error) {
    if (!(error instanceof ServerGone)) throw error;
    const [ms, said] = [sinceBegun(), error.errors ?? null];
    const absent = await absentFor({ bridge, session, server });
    const isGuarded = error instanceof NotSignedIn;
    return { ok: false, ms, why: error.message, said, absent, isLate: ms >= connectMs, isGuarded };
  }
}

async function absentFor({
  bridge,
  session,
  server,
}: Omit<Tried, 'connectMs'>): Promise<FailedServer['absent']> {
  const word = await bridge.absentWord(session, server);
  if (word === undefined) return null;
  const file = isAbsolute(word) ? word : await findProgram(word, commandEnvironment().PATH ?? '');
  return { word, isHere: file !== undefined && existsSync(file) };
}
