/**
 * The servers of a worker. A session has its own of each, or shares that of its team, as configured; each is started when something needs
 * it, and ended when nobody has for a while, when its session has left, or with the worker.
 */
import { join } from 'node:path';
import { messageOf } from '../../core/errors.ts';
import type { Log } from '../../log.ts';
import type { Command, Sandbox } from '../../sandbox/sandbox.ts';
import { commandPlaces, lookingPlaces } from '../../tools/command-places.ts';
import type { Tool } from '../../tools/tool.ts';
import type { Workspace } from '../../workspace/workspace.ts';
import { absentWord } from './absent-word.ts';
import { type Access, type AccessPlace, NotSignedIn } from './access.ts';
import { bridgedTools, type LeftOut, leftOut } from './bridged-tool.ts';
import { ConfinedTransport, type ServerCommand } from './confined-transport.ts';
import { Connection } from './connection.ts';
import { HiddenKeys } from './hidden-keys.ts';
import type { CommandServer, McpLimits, McpServer } from './server.ts';
import { ServerGone } from './server-gone.ts';
import type { ServerOffer } from './server-offer.ts';
import { UrlTransport, type UrlTransportOptions } from './url-transport.ts';

export interface BridgeOptions {
  readonly limits: McpLimits;
  /** Where a team's servers may be though that is private, or not encrypted. */
  readonly isAllowed?: UrlTransportOptions['isAllowed'];
  /** What a team has signed in with at a server; nobody signs in where left out. */
  readonly access?: ((at: AccessPlace) => Access) | undefined;
  readonly sandbox: Sandbox;
  /** For servers that see no session's files: a directory of the worker's own. */
  readonly directory: string;
  readonly version: string;
  readonly log: Log;
}

/** A session at this worker, while a run has it. */
export interface BridgedSession {
  readonly teamId: string;
  readonly sessionId: string;
  /** Those that it may have, by name. */
  readonly servers: Readonly<Record<string, McpServer>>;
  readonly workspace: () => Promise<Workspace>;
  readonly signal: AbortSignal;
}

/** A server whose tools are not there; `why` completes "the MCP server x …". */
export interface MissingServer {
  readonly server: string;
  readonly why: string;
  /** What it said at its end: a stranger's words. */
  readonly said?: string | undefined;
  /** Somebody has to sign in there, or anew. */
  readonly isGuarded?: boolean;
}

export interface Bridged {
  readonly tools: readonly Tool[];
  readonly missing: readonly MissingServer[];
}

/** `leftOut`: of the tools, those that no agent sees. */
export interface Offered extends ServerOffer {
  readonly leftOut: readonly LeftOut[];
}

interface Kept {
  readonly connection: Connection;
  readonly server: string;
  readonly settings: McpServer;
  /** The run that used it last: a server that is started again sees the files as that has them. */
  session: BridgedSession;
  idle: NodeJS.Timeout | undefined;
}

/** Kept in memory, of servers as they are configured. */
const MAX_OFFERS = 1_000;

export class McpBridge {
  readonly #options: BridgeOptions;
  /** By session, or team, and by server as it is configured: one that is configured anew is another, and the old one ends when it is idle. */
  readonly #kept = new Map<string, Map<string, Kept>>();
  /** What a team's servers offered last, by team and server: a session need not start one to know. */
  readonly #offered = new Map<string, ServerOffer>();
  #isClosed = false;

  constructor(options: BridgeOptions) {
    this.#options = options;
  }

  /** What the servers of these names offer. One that cannot be asked is missing; that takes no longer than it may take to connect. */
  async toolsOf(session: BridgedSession, names: readonly string[]): Promise<Bridged> {
    const found = await Promise.all(names.map((server) => this.#toolsOf(session, server)));
    return {
      tools: found.flatMap((each) => ('why' in each ? [] : each)),
      missing: found.flatMap((each) => ('why' in each ? [each] : [])),
    };
  }

  async #toolsOf(session: BridgedSession, server: string): Promise<readonly Tool[] | MissingServer> {
    try {
      const settings = settingsOf(session, server);
      const offered = await this.#known(session, server, settings);
      const connection = async () => this.#connection(session, server, settings).connection;
      return bridgedTools({ server, settings, connection }, offered);
    } catch (error) {
      session.signal.throwIfAborted();
      const gone = error instanceof ServerGone ? error : new ServerGone(messageOf(error), undefined);
      this.#options.log.warn(
        { server, reason: gone.message, said: gone.errors },
        'an MCP server cannot be used',
      );
      const guarded = gone instanceof NotSignedIn && { isGuarded: true };
      return { server, why: gone.message, said: gone.errors, ...guarded };
    }
  }

  /** What a server says of itself and of its tools. Throws `ServerGone`, and what the session's signal was aborted with. */
  async offered(session: BridgedSession, server: string): Promise<Offered> {
    const settings = settingsOf(session, server);
    const offered = await this.#known(session, server, settings);
    return { ...offered, leftOut: leftOut(settings, offered.tools) };
  }

  async #known(session: BridgedSession, server: string, settings: McpServer): Promise<ServerOffer> {
    const known = this.#offered.get(offerKey(session, server, settings));
    return known ?? (await this.#ask(session, server, settings));
  }

  /**
   * Of the words of a server's command, the first that is not there where it runs: its program, or a path that this machine has.
   * Undefined: all are there, or it is no command.
   */
  async absentWord(session: BridgedSession, server: string): Promise<string | undefined> {
    const settings = settingsOf(session, server);
    if (!('command' in settings)) return undefined;
    const { words, egress: _, ...places } = await this.#commandOf(session, server, settings);
    return absentWord(this.#options.sandbox, { ...places, words }, session.signal);
  }

  async #ask(session: BridgedSession, server: string, settings: McpServer): Promise<ServerOffer> {
    const { connection } = this.#connection(session, server, settings);
    const offer = await connection.tools(session.signal);
    if (offer.refused > 0)
      this.#options.log.warn({ server, refused: offer.refused }, 'an MCP server offers tools that are none');
    if (this.#offered.size >= MAX_OFFERS) this.#offered.clear();
    this.#offered.set(offerKey(session, server, settings), offer);
    return offer;
  }

  #connection(session: BridgedSession, server: string, settings: McpServer): Kept {
    const isShared = !('command' in settings) || settings.share === 'worker';
    const owner = isShared ? session.teamId : session.sessionId;
    const ofOwner = this.#kept.get(owner) ?? new Map<string, Kept>();
    this.#kept.set(owner, ofOwner);
    const key = keyOf(server, settings);
    const kept = ofOwner.get(key) ?? this.#fresh(session, server, settings);
    ofOwner.set(key, kept);
    clearTimeout(kept.idle);
    kept.idle = undefined;
    kept.session = session;
    return kept;
  }

  #fresh(session: BridgedSession, server: string, settings: McpServer): Kept {
    if (this.#isClosed) throw new ServerGone('was ended with its worker', undefined);
    const { limits, version } = this.#options;
    const keys = new HiddenKeys(settings);
    const connection: Connection = new Connection({
      open: () => this.#open(kept, keys),
      shown: (words) => keys.shown(words),
      roots: () => this.#roots(kept.session, settings),
      version,
      connectMs: 1_000 * (settings.connectSeconds ?? limits.connectSeconds),
      callMs: 1_000 * (settings.callSeconds ?? limits.callSeconds),
      onTools: () => this.#offered.delete(offerKey(session, server, settings)),
    });
    const kept: Kept = { connection, server, settings, session, idle: undefined };
    return kept;
  }

  async #open({ session, server, settings }: Kept, keys: HiddenKeys) {
    const { sandbox, limits } = this.#options;
    if (!('command' in settings)) {
      const at = { teamId: session.teamId, server, settings };
      const access = settings.ofProject ? undefined : this.#options.access?.(at);
      return new UrlTransport(settings, {
        ...{ messageBytes: limits.messageBytes, isAllowed: this.#options.isAllowed },
        access: access && keys.noting(access),
      });
    }
    const command = await this.#commandOf(session, server, settings);
    return new ConfinedTransport(sandbox, command, limits.messageBytes);
  }

  async #commandOf(session: BridgedSession, server: string, settings: CommandServer): Promise<ServerCommand> {
    const { command, args = [], env = {}, hosts = [] } = settings;
    const places = await this.#places(session, server, settings);
    return { ...places, env: { ...places.env, ...env }, egress: hosts, words: [command, ...args] };
  }

  async #places(session: BridgedSession, server: string, settings: CommandServer): Promise<Places> {
    const { workspace: sees = 'read' } = settings;
    if (sees === 'none' || settings.share === 'worker') return this.#ownPlaces(session, server);
    const workspace = await session.workspace();
    return sees === 'write'
      ? commandPlaces(workspace, this.#options.sandbox)
      : lookingPlaces(workspace, this.#options.sandbox);
  }

  #ownPlaces({ teamId }: BridgedSession, server: string): Places {
    const scratch = join(this.#options.directory, teamId, server);
    return { cwd: '/', writable: [], scratch };
  }

  async #roots(session: BridgedSession, settings: McpServer): Promise<readonly string[]> {
    if (!('command' in settings) || settings.workspace === 'none' || settings.share === 'worker') return [];
    return [(await session.workspace()).root];
  }

  /**
   * The run that had the session ends. A server that may write to its files ends with it, before another run may have them; any other
   * stays for a while.
   */
  async leave({ teamId, sessionId }: Pick<BridgedSession, 'teamId' | 'sessionId'>): Promise<void> {
    const ofSession = [...(this.#kept.get(sessionId)?.values() ?? [])];
    const shared = [...(this.#kept.get(teamId)?.values() ?? [])];
    const isWriter = ({ settings }: Kept) => 'command' in settings && settings.workspace === 'write';
    for (const kept of [...ofSession, ...shared]) {
      clearTimeout(kept.idle);
      if (!isWriter(kept)) this.#endLater(kept);
    }
    await Promise.all(ofSession.filter(isWriter).map((kept) => this.#end(kept)));
  }

  #endLater(kept: Kept): void {
    const idleMs = 1_000 * this.#options.limits.idleSeconds;
    kept.idle = setTimeout(() => {
      const leftMs = kept.connection.usedAt + idleMs - performance.now();
      if (kept.connection.isBusy || leftMs > 1) this.#endLater(kept);
      else void this.#end(kept);
    }, idleMs);
    kept.idle.unref();
  }

  async #end(kept: Kept): Promise<void> {
    clearTimeout(kept.idle);
    for (const [owner, ofOwner] of this.#kept) {
      const key = keyOf(kept.server, kept.settings);
      if (ofOwner.get(key) !== kept) continue;
      ofOwner.delete(key);
      if (ofOwner.size === 0) this.#kept.delete(owner);
    }
    await kept.connection.close();
  }

  /** Resolves when nothing is left of any server. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#kept.values()].flatMap((ofOwner) => [...ofOwner.values()]);
    await Promise.all(all.map((kept) => this.#end(kept)));
  }
}

function offerKey({ teamId }: BridgedSession, server: string, settings: McpServer): string {
  return `${teamId} ${keyOf(server, settings)}`;
}

function keyOf(server: string, settings: McpServer): string {
  return `${server} ${JSON.stringify(settings)}`;
}

function settingsOf({ servers }: BridgedSession, server: string): McpServer {
  const settings = servers[server];
  if (settings !== undefined) return settings;
  throw new ServerGone('is not configured at this worker', undefined);
}

type Places = Omit<Command, 'script' | 'timeoutMs' | 'onOutput'>;
