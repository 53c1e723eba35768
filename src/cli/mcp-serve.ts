/** `capybara mcp serve`: an MCP server on this process's stdin and stdout, for a Capybara wherever it runs. */
import type { Config, LoadedConfig } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { createLog } from '../log.ts';
import type { Connection, ConnectOptions } from './connection.ts';

/** An embedded Capybara that is started for the while takes any free port, where none is set. */
export function startOptions(
  { sources }: LoadedConfig,
  onChange: (sentence: string) => void,
): ConnectOptions {
  return { start: true, ...(sources.port.kind === 'default' && { port: 0 }), onChange };
}

/** Resolves when the client has closed stdin, or `signal` has aborted. Stdout has the protocol and nothing else. */
export async function serveMcp(
  reach: Connection,
  { config, signal }: { readonly config: Config; readonly signal: AbortSignal },
): Promise<void> {
  const { serveStdio } = await import('../mcp/server/stdio.ts');
  const log = createLog({ level: config.debug ? 'debug' : 'warn', pretty: true });
  await serveStdio({
    ...{ reach, signal, input: process.stdin, output: process.stdout },
    onBug: (error) => log.error({ error }, `an MCP call failed: ${messageOf(error)}`),
    onNonsense: (error) => log.warn({}, `what came is no MCP message: ${messageOf(error)}`),
  });
}
