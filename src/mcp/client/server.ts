/** A server of tools, as configured. Names and limits: `config/mcp-settings.ts`. */
import type { Command } from '../../sandbox/sandbox.ts';
import type { OAuthClient } from '../oauth/sign-in.ts';

interface AnyServer {
  /** Patterns for its tools; all of them where left out. */
  readonly tools?: readonly string[] | undefined;
  /** Whether what it says of its tools is believed. */
  readonly trusted?: boolean | undefined;
  readonly connectSeconds?: number | undefined;
  readonly callSeconds?: number | undefined;
}

/** Runs confined, with the hosts that it may reach. */
export interface CommandServer extends AnyServer {
  readonly command: string;
  readonly args?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly hosts?: Command['egress'];
  /** What it sees of the session's files; one that may change them lives no longer than an attempt. */
  readonly workspace?: 'none' | 'read' | 'write' | undefined;
  readonly share?: 'session' | 'worker' | undefined;
}

export interface UrlServer extends AnyServer {
  readonly url: string;
  /** A team's administrator wrote it, not whoever runs this Capybara: it is reached where it is public, or allowed. */
  readonly ofTeam?: true | undefined;
  /** Whoever wrote a project did: nothing that the team has signed in with is sent there. */
  readonly ofProject?: true | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Left out: Streamable HTTP, and the older one where the server has only that. */
  readonly transport?: 'http' | 'sse' | undefined;
  readonly oauth?: OAuthClient | undefined;
}

export type McpServer = CommandServer | UrlServer;

export interface McpLimits {
  readonly connectSeconds: number;
  readonly callSeconds: number;
  /** How long a server stays when nobody works on its session. */
  readonly idleSeconds: number;
  /** Of one message from a server. */
  readonly messageBytes: number;
}

export const MCP_LIMITS: McpLimits = {
  connectSeconds: 30,
  callSeconds: 120,
  idleSeconds: 60,
  messageBytes: 16 * 1024 * 1024,
};
