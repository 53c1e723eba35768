import type { McpServerSettings } from './mcp-settings.ts';

/** Of an MCP server, what may be shown: no argument, value or path, since keys are put into all of them. */
export interface ShownMcpServer {
  readonly kind: 'command' | 'url';
  /** The program that is started. */
  readonly command: string | null;
  /** Scheme, host and port of the one that runs elsewhere. */
  readonly origin: string | null;
  /** Null: whichever it speaks. */
  readonly transport: 'http' | 'sse' | null;
  /** Names of the variables that it is given, and of the headers that it is sent. */
  readonly env: readonly string[];
  readonly headers: readonly string[];
  readonly workspace: 'none' | 'read' | 'write';
  readonly share: 'session' | 'worker';
  /** Those that agents see; null: all. */
  readonly tools: readonly string[] | null;
  readonly trusted: boolean;
}

export function shownServer(settings: McpServerSettings): ShownMcpServer {
  const both = { tools: settings.tools ?? null, trusted: settings.trusted };
  if ('command' in settings) {
    const { command, env = {}, workspace, share } = settings;
    const none = { origin: null, transport: null, headers: [] };
    return { kind: 'command', command, ...none, env: Object.keys(env), workspace, share, ...both };
  }
  const { url, headers = {}, transport = null } = settings;
  const none = { command: null, env: [], workspace: 'none', share: 'worker' } as const;
  const { origin } = new URL(url);
  return { kind: 'url', ...none, origin, transport, headers: Object.keys(headers), ...both };
}
