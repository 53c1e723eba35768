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
    signIn: z
      .object({
        by: z.string().nullable().meta({ description: 'who did; null: Capybara, by its own secret' }),
        at: z.iso.datetime().meta({ description: 'when it was had, or renewed' }),
        failure: z.string().nullable().meta({ description: 'why somebody has to sign in anew' }),
      })
      .nullable()
      .meta({ description: 'what the team has signed in with there (OAuth); null: nobody has' }),
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

/** A browser is sent back there with the code: to a program on the person's own machine (RFC 8252 §7.3), or a page of a tool. */
const RedirectUri = z
  .url({ protocol: /^https?$/ })
  .max(2_000)
  .refine((text) => {
    const { protocol, hostname } = URL.parse(text) ?? {};
    return protocol === 'https:' || ['127.0.0.1', 'localhost', '[::1]'].includes(hostname ?? '');
  }, 'expected https, or http at 127.0.0.1, localhost or [::1]');

export const BeginMcpSignIn = z
  .strictObject({
    redirectUri: RedirectUri.meta({ description: 'where the person is sent back, with code and state' }),
  })
  .meta({ id: 'BeginMcpSignIn' });
export type BeginMcpSignIn = z.infer<typeof BeginMcpSignIn>;

export const SignedInAtMcp = z
  .object({
    server: z.string(),
    scope: z.string().nullable().meta({ description: 'what for, as far as the server says' }),
    canRenew: z.boolean().meta({ description: 'workers renew it; else somebody signs in anew when it ends' }),
  })
  .meta({ id: 'SignedInAtMcp' });
export type SignedInAtMcp = z.infer<typeof SignedInAtMcp>;

export const BegunMcpSignIn = z
  .object({
    authorizationUrl: z.string().nullable().meta({ description: 'where the person goes on' }),
    login: z.string().nullable().meta({ description: 'what to finish with, within 10 minutes; sealed' }),
    finished: SignedInAtMcp.nullable().meta({
      description: 'of a server that lets Capybara in by its own secret, and asks nobody',
    }),
  })
  .meta({ id: 'BegunMcpSignIn' });

export const FinishMcpSignIn = z
  .strictObject({
    login: z.string().max(100_000),
    code: z.string().min(1).max(10_000),
    state: z.string().min(1).max(1_000),
    iss: z
      .string()
      .max(2_000)
      .optional()
      .meta({ description: 'where it came back with the code (RFC 9207)' }),
  })
  .meta({ id: 'FinishMcpSignIn' });
export type FinishMcpSignIn = z.infer<typeof FinishMcpSignIn>;

const ToolThere = z.object({
  name: z.string().meta({ description: 'as agents see it' }),
  isAsked: z.boolean().meta({ description: 'false: it merely reads' }),
});

export const McpTrial = z
  .discriminatedUnion('ok', [
    z.object({
      ok: z.literal(true),
      ms: z.int().meta({ description: 'until it had said what it offers' }),
      name: z.string().meta({ description: 'as it calls itself' }),
      version: z.string(),
      tools: z.array(ToolThere),
      leftOut: z.array(z.object({ tool: z.string(), why: z.enum(['setting', 'schema']) })),
      refused: z.int().meta({ description: 'entries of its list that are no tools' }),
      wants: z.string().nullable().meta({
        description: 'what a call has been refused for, as scopes: somebody signs in anew for more',
      }),
    }),
    z.object({
      ok: z.literal(false),
      ms: z.int(),
      why: z.string().meta({ description: 'completes "the MCP server x …"' }),
      said: z.string().nullable().meta({ description: "a stranger's words" }),
      isGuarded: z.boolean().meta({ description: 'somebody has to sign in, or anew' }),
    }),
  ])
  .meta({ id: 'McpTrial' });
export type McpTrial = z.infer<typeof McpTrial>;
