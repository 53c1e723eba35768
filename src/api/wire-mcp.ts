/** MCP servers whose tools agents may have. */
import { z } from 'zod';

export const ListedMcpServer = z
  .object({
    server: z.string().meta({ description: 'its name: its tools are called name__tool' }),
    kind: z
      .enum(['command', 'url'])
      .nullable()
      .meta({ description: 'a program that workers start, or an address; null: its settings do not open' }),
    command: z.string().nullable().meta({ description: 'the name of the program, without what it is given' }),
    origin: z.string().nullable().meta({ description: 'scheme, host and port of the address' }),
    transport: z.enum(['http', 'sse']).nullable().meta({ description: 'null: whichever it speaks' }),
    env: z.array(z.string()).meta({ description: 'names of the variables that it is given' }),
    headers: z.array(z.string()).meta({ description: 'names of the headers that it is sent' }),
    workspace: z
      .enum(['none', 'read', 'write'])
      .meta({ description: "what it may do with a session's files" }),
    share: z.enum(['session', 'worker']).meta({ description: 'who has one of its own' }),
    tools: z
      .array(z.string())
      .nullable()
      .meta({ description: 'the only ones that agents see; null: all of them' }),
    trusted: z.boolean().meta({ description: 'what it says of its tools is believed' }),
    source: z.enum(['configured', 'team']).meta({
      description: 'configured: by whoever runs this Capybara; team: by an administrator of the team',
    }),
    unused: z.enum(['not_allowed', 'name_taken', 'unreadable']).nullable().meta({
      description:
        'why agents do not have it: mcp.teamServers does not allow it, one that is configured has its name, its settings do not open; null: they do',
    }),
  })
  .meta({ id: 'McpServer' });
export type ListedMcpServer = z.infer<typeof ListedMcpServer>;

export const McpServers = z
  .object({
    enabled: z.boolean().meta({ description: 'whether agents have tools of any of them' }),
    teamServers: z
      .enum(['none', 'addresses', 'all'])
      .meta({ description: "which ones a team's administrators may add; all: programs too" }),
    data: z.array(ListedMcpServer),
  })
  .meta({ id: 'McpServers' });
export type McpServers = z.infer<typeof McpServers>;

export const RemovedMcpServer = z.object({ server: z.string() }).meta({ id: 'RemovedMcpServer' });
