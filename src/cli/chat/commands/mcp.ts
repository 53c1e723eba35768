/** /mcp: the MCP servers of the agent, and what was called of them here. */
import { oneLine } from '../../untrusted-text.ts';
import type { ChatState } from '../state.ts';
import { type ChatCommand, type ChatContext, say } from './context.ts';
import { agentOf } from './tools.ts';

export const MCP_COMMANDS: readonly ChatCommand[] = [
  {
    name: 'mcp',
    summary: "list the agent's MCP servers, and what was called",
    usage: '',
    run: async (context) => say(context, await serversText(context)),
  },
];

async function serversText({ client, state, look }: ChatContext): Promise<string> {
  const agent = agentOf(state());
  const { data } = await client.agents();
  const servers = data.find(({ name }) => name === agent)?.servers ?? [];
  const { theme } = look();
  if (servers.length === 0)
    return `${oneLine(agent, 60)} has no MCP servers: there are none where it works, or MCP is off there.`;
  const title = `${oneLine(agent, 60)} ${theme.bold('may have tools of these MCP servers:')}`;
  const lines = servers.map((server) => {
    const called = calledOf(server, state());
    const told = called === '' ? theme.quiet('nothing was called here') : called;
    return `${theme.accent(oneLine(server, 60))}  ${told}`;
  });
  return [title, ...lines].join('\n');
}

/** `files__read 2, files__list 1`, of the calls that are still kept. */
function calledOf(server: string, { items }: ChatState): string {
  const counts = new Map<string, number>();
  for (const item of items) {
    if (item.kind !== 'call' || !item.name.startsWith(`${server}__`)) continue;
    counts.set(item.name, (counts.get(item.name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => `${oneLine(name, 80)} ${count}`).join(', ');
}
