/** Whether what is configured of MCP servers is there. None is started: `capybara mcp test` does that. */
import { isAbsolute } from 'node:path';
import { type Config, commandEnvironment, type McpServerSettings, projectTerms } from '../config.ts';
import { findProgram, isProgram } from '../sandbox/program.ts';
import { type Check, reasonOf } from './check.ts';

const CONNECT_MS = 3_000;

/** Nothing where there is none, or where they belong to the server that commands talk to. */
export async function mcpServers(config: Pick<Config, 'mcp' | 'url'>, directory: string): Promise<Check[]> {
  if (config.url !== undefined) return [];
  return [...(await configured(config)), ...ofProject(config, directory)];
}

function ofProject({ mcp }: Pick<Config, 'mcp'>, directory: string): Check[] {
  const names = Object.keys(projectTerms(directory).servers);
  if (names.length === 0) return [];
  const used = mcp.projectServers
    ? 'used in sessions that begin here'
    : 'not used, mcp.projectServers is off';
  return [{ name: 'MCP servers of the project', state: 'ok', found: `${names.join(', ')}: ${used}` }];
}

async function configured({ mcp }: Pick<Config, 'mcp'>): Promise<Check[]> {
  const servers = Object.entries(mcp.servers);
  if (servers.length === 0 && !mcp.enabled) return [];
  const count = servers.length === 1 ? '1 server' : `${servers.length || 'no'} servers`;
  if (!mcp.enabled) return [{ name: 'MCP', state: 'ok', found: `off, with ${count} configured` }];
  const checks = await Promise.all(servers.map(([name, settings]) => one(name, settings)));
  return [{ name: 'MCP', state: 'ok', found: `on, with ${count}` }, ...checks];
}

async function one(server: string, settings: McpServerSettings): Promise<Check> {
  const name = `MCP server ${server}`;
  const lack = 'command' in settings ? await lackOf(settings) : await unreached(settings.url);
  const test = `capybara mcp test ${server}`;
  if (lack === undefined) return { name, state: 'ok', found: `${shown(settings)}; ${test} tries it` };
  return { name, state: 'wrong', ...lack };
}

function shown(settings: McpServerSettings): string {
  if ('command' in settings && isOfSession(settings.command)) return `${settings.command} is of each session`;
  return 'command' in settings ? `${settings.command} is there` : `${new URL(settings.url).origin} answers`;
}

type Lack = Required<Pick<Check, 'found' | 'cure'>>;

async function lackOf({ command, env }: Extract<McpServerSettings, { command: string }>) {
  const path = env?.PATH ?? commandEnvironment().PATH ?? '';
  if (isOfSession(command)) return undefined;
  const isPath = isAbsolute(command);
  const isThere = isPath ? await isProgram(command) : (await findProgram(command, path)) !== undefined;
  if (isThere) return undefined;
  const found = isPath ? `${command} is no program` : `there is no ${command} on the PATH`;
  return { found, cure: 'install it, or correct the command (capybara mcp add NAME --force)' } satisfies Lack;
}

/** A path that is not absolute leads to one of a session's files. */
function isOfSession(command: string): boolean {
  return command.includes('/') && !isAbsolute(command);
}

/** Any answer will do, and no header is sent. Offline no other address is connected to. */
async function unreached(url: string): Promise<Lack | undefined> {
  const { origin } = new URL(url);
  try {
    const signal = AbortSignal.timeout(CONNECT_MS);
    const answer = await fetch(url, { method: 'HEAD', redirect: 'manual', signal });
    await answer.body?.cancel();
    return undefined;
  } catch (error) {
    const { cause } = error as { readonly cause?: unknown };
    if ((cause as { readonly code?: unknown } | undefined)?.code === 'ERR_IP_BLOCKED')
      return { found: `${origin} has a public address, and this is offline`, cure: 'leave out --offline' };
    const cure = 'start it, or correct its url (capybara mcp add NAME --force)';
    return { found: `${origin} cannot be connected to (${reasonOf(cause ?? error)})`, cure };
  }
}
