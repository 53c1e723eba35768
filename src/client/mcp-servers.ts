/** MCP servers whose tools agents may have, and those that a team adds. */
import type { z } from 'zod';
import {
  type BeginMcpSignIn,
  BegunMcpSignIn,
  type FinishMcpSignIn,
  ListedMcpServer,
  McpServers,
  McpTrial,
  RemovedMcpServer,
  SignedInAtMcp,
} from '../api/wire-mcp.ts';
import { below, type Http } from './http.ts';

export interface McpServerCalls {
  mcpServers(): Promise<McpServers>;
  /** Adds it to the team, or replaces the one of that name. `settings`: as they stand in a config.yaml. */
  putMcpServer(name: string, settings: Readonly<Record<string, unknown>>): Promise<ListedMcpServer>;
  removeMcpServer(name: string): Promise<z.infer<typeof RemovedMcpServer>>;
  beginMcpSignIn(name: string, asked: BeginMcpSignIn): Promise<z.infer<typeof BegunMcpSignIn>>;
  finishMcpSignIn(name: string, answer: FinishMcpSignIn): Promise<SignedInAtMcp>;
  testMcpServer(name: string): Promise<McpTrial>;
  removeMcpSignIn(name: string): Promise<z.infer<typeof RemovedMcpServer>>;
}

export function mcpServerCalls(http: Http): McpServerCalls {
  return {
    mcpServers: () => http.get('/v1/mcp/servers', McpServers),
    putMcpServer: (name, settings) =>
      http.change(`PUT ${below('mcp/servers', name)}`, ListedMcpServer, settings),
    removeMcpServer: (name) => http.delete(below('mcp/servers', name), RemovedMcpServer),
    beginMcpSignIn: (name, asked) =>
      http.change(`POST ${below('mcp/servers', name)}/sign-in`, BegunMcpSignIn, asked),
    finishMcpSignIn: (name, answer) =>
      http.change(`POST ${below('mcp/servers', name)}/sign-in/finish`, SignedInAtMcp, answer),
    testMcpServer: (name) => http.change(`POST ${below('mcp/servers', name)}/test`, McpTrial),
    removeMcpSignIn: (name) => http.delete(`${below('mcp/servers', name)}/sign-in`, RemovedMcpServer),
  };
}
