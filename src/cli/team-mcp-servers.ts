/** What `mcp list`, `add` and `remove` show and change where commands talk to a server: those that are configured there, and the team's. */
import type { ListedMcpServer, McpServers } from '../api/wire-mcp.ts';
import type { Client } from '../client/client.ts';
import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import type { Added, Typed } from './added-mcp-server.ts';
import { typedServer } from './added-mcp-server.ts';
import { checkServer, fromWhere, SERVER_HEADING, saysSignIn, serverCells, UNUSED } from './mcp-servers.ts';
import { table } from './table.ts';
import { oneLine } from './untrusted-text.ts';

/** Where commands talk to a server that was named. */
export interface Place {
  readonly client: Client;
  readonly config: Pick<Config, 'url'>;
}

interface Told {
  readonly answer: Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly remarks: readonly string[];
}

const NAME = 80;

export async function serversThere({ client, config }: Place): Promise<Told> {
  const { enabled, data } = await client.mcpServers();
  const there = sayThere(config);
  const none = `There is no MCP server at ${there}: \`capybara mcp add NAME\` adds one to your team.\n`;
  const text = data.length === 0 ? none : table(SERVER_HEADING, data.map(rowOf));
  return {
    answer: { enabled, servers: data },
    text,
    remarks: data.length === 0 ? [] : saysOff(there, enabled),
  };
}

function rowOf({ server, kind, command, origin, source, unused, signIn, ...others }: ListedMcpServer) {
  const told = { server, kind: kind ?? '-', runs: command ?? origin ?? '-' };
  const from = fromWhere(source, [unused && UNUSED[unused], saysSignIn(signIn)]);
  return serverCells({ ...others, ...told, from }).map((cell) => oneLine(cell, NAME));
}

/** `words`: the command. Undefined where the person left: nothing was written. Throws `UserError` for what is wrong. */
export async function addThere(
  name: string,
  words: readonly string[],
  { flags, client, config }: Place & { readonly flags: Typed },
): Promise<Added | undefined> {
  const there = sayThere(config);
  if (flags.enable)
    throw new UserError('bad_usage', `--enable is for servers of this machine: ${whoTurnsItOn(there)}`);
  const settings = await typedServer(name, words, flags);
  if (settings === undefined) return undefined;
  checkServer(name, settings);
  const { enabled, data }: McpServers = await client.mcpServers();
  const isThere = data.some(({ server, source }) => server === name && source === 'team');
  if (isThere && !flags.force)
    throw new UserError(
      'mcp_server_exists',
      `Your team has an MCP server ${name} at ${there} already: pass --force, or take another name.`,
    );
  const { kind } = await client.putMcpServer(name, settings);
  return {
    answer: { server: name, kind, source: 'team', enabled },
    done: `${name} added to your team at ${there}. Its agents have it from their next turn on.`,
    remarks: saysOff(there, enabled),
  };
}

export async function removeThere(name: string, { client, config }: Place): Promise<Omit<Told, 'remarks'>> {
  const answer = await client.removeMcpServer(name);
  const text = `${name} removed from your team at ${sayThere(config)}. Its agents have it until their turns end.\n`;
  return { answer, text };
}

function saysOff(there: string, enabled: boolean): string[] {
  return enabled ? [] : [`MCP is off at ${there}, and agents see no server: ${whoTurnsItOn(there)}`];
}

function whoTurnsItOn(there: string): string {
  return `whoever runs ${there} turns MCP on with mcp.enabled (CAPYBARA_MCP_ENABLED).`;
}

function sayThere({ url = '' }: Pick<Config, 'url'>): string {
  return new URL(url).origin;
}
