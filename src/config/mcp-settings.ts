/** Servers of the Model Context Protocol whose tools agents may use, and how long is waited for them. */
import { z } from 'zod';
import { allowedHosts } from './allowed-hosts.ts';
import { commandHosts, type Limit } from './command-settings.ts';
import { headerName, headerValue, httpUrl, line, variableName } from './map-texts.ts';

/** Longest name of a server. */
export const MAX_MCP_NAME = 32;
/** What one server may be given: arguments, variables or headers, names of tools. */
export const MAX_MCP_ARGS = 256;
export const MAX_MCP_VALUES = 100;
export const MAX_MCP_TOOLS = 200;
/** Longest argument and longest value of a variable, in characters. */
export const MAX_MCP_TEXT = 16_384;

export const MCP_LIMITS = {
  connectSeconds: { env: 'CAPYBARA_MCP_CONNECT_SECONDS', least: 1, most: 600, usual: 30 },
  callSeconds: { env: 'CAPYBARA_MCP_CALL_SECONDS', least: 1, most: 3_600, usual: 120 },
  idleSeconds: { env: 'CAPYBARA_MCP_IDLE_SECONDS', least: 0, most: 86_400, usual: 60 },
  messageKib: { env: 'CAPYBARA_MCP_MESSAGE_KIB', least: 64, most: 65_536, usual: 16_384 },
} as const satisfies Record<string, Limit>;

/** Which servers a team's administrators may add: none, those at addresses, or programs too, which run on the machines of the workers. */
export const TEAM_SERVERS = {
  names: ['none', 'addresses', 'all'] as const,
  meta: { env: 'CAPYBARA_MCP_TEAM_SERVERS', expected: 'none, addresses or all' },
};

/** Hosts, addresses and ranges that `mcp.allow` may list. */
export const MAX_MCP_ALLOWED = 100;
export const MCP_ALLOW = allowedHosts('CAPYBARA_MCP_ALLOW', MAX_MCP_ALLOWED);

/** Its tools are called `name__tool`, which is to be read in one way alone. */
export const mcpName = z
  .string()
  .regex(
    new RegExp(`^[A-Za-z0-9](?!.*__)(?!.*_$)[A-Za-z0-9_-]{0,${MAX_MCP_NAME - 1}}$`),
    `expected up to ${MAX_MCP_NAME} letters, digits, dashes and single underscores, none of them at its end`,
  );

export const MCP_WORKSPACES = ['none', 'read', 'write'] as const;
export const MCP_SHARES = ['session', 'worker'] as const;
export const MCP_TRANSPORTS = ['http', 'sse'] as const;
export const MCP_SIGNERS = ['person', 'client'] as const;

const EXPECTED_TEXT = `expected a text of at most ${MAX_MCP_TEXT} characters; in YAML a number stands in quotes`;
const text = z
  .string(EXPECTED_TEXT)
  .max(MAX_MCP_TEXT, EXPECTED_TEXT)
  .regex(/^[^\0]*$/, EXPECTED_TEXT);
const toolName = z.string().regex(/^[^\p{Cc}]{1,128}$/u, 'expected the name of a tool, or a pattern with *');
const url = httpUrl.refine((address) => {
  const { username = '', password = '' } = URL.parse(address) ?? {};
  return username === '' && password === '';
}, 'expected an address without user and password: they go into headers, as Authorization');

function few<Value extends z.ZodType>(key: z.ZodString, value: Value) {
  return z
    .record(key, value)
    .refine((found) => Object.keys(found).length <= MAX_MCP_VALUES, `expected at most ${MAX_MCP_VALUES}`);
}

function seconds({ least, most }: Limit) {
  return z.int().min(least).max(most).optional();
}

const EXPECTED_WORD = 'expected up to 1024 characters without spaces';
const word = z.string(EXPECTED_WORD).regex(/^[\x21-\x7e]{1,1024}$/, EXPECTED_WORD);

/** How Capybara is known where somebody signs in (OAuth); left out, it registers itself there. */
const OAuth = z
  .strictObject({
    clientId: word.optional(),
    clientSecret: word.optional(),
    /** Separated by spaces; what the server asks for where it does. */
    scope: z
      .string()
      .regex(/^[\x21-\x7e]+( [\x21-\x7e]+)*$/, 'expected scopes with one space between them')
      .optional(),
    /** `client`: nobody signs in, its own secret lets it in. */
    as: z.enum(MCP_SIGNERS).optional(),
  })
  .refine(({ clientId, clientSecret }) => clientSecret === undefined || clientId !== undefined, {
    path: ['clientSecret'],
    message: 'it goes with clientId',
  })
  .refine(({ as, clientSecret }) => as !== 'client' || clientSecret !== undefined, {
    path: ['as'],
    message: 'client is for one with clientId and clientSecret',
  });

const Fields = z.strictObject({
  command: line.optional(),
  args: z.array(text).max(MAX_MCP_ARGS).optional(),
  env: few(variableName, text).optional(),
  hosts: commandHosts.optional(),
  workspace: z.enum(MCP_WORKSPACES).optional(),
  share: z.enum(MCP_SHARES).optional(),
  url: url.optional(),
  headers: few(headerName, headerValue).optional(),
  transport: z.enum(MCP_TRANSPORTS).optional(),
  oauth: OAuth.optional(),
  tools: z.array(toolName).max(MAX_MCP_TOOLS).optional(),
  trusted: z.boolean().default(true),
  connectSeconds: seconds(MCP_LIMITS.connectSeconds),
  callSeconds: seconds(MCP_LIMITS.callSeconds),
});
type Fields = z.infer<typeof Fields>;

const OF_COMMAND = ['args', 'env', 'hosts', 'workspace', 'share'] as const;
const OF_URL = ['headers', 'transport', 'oauth'] as const;

/**
 * `tools`: the only ones that agents see, `*` in a name stands for anything; all of them where left out. `trusted`: what it says of
 * its tools is believed; else each is external and asked about. Its seconds, where it has any, stand instead of those for all servers.
 */
type OfBoth = Pick<Fields, 'tools' | 'trusted' | 'connectSeconds' | 'callSeconds'>;

/** A program that is started, confined as commands are. */
export type McpCommandServer = OfBoth &
  Pick<Fields, 'args' | 'env' | 'hosts'> & {
    readonly command: string;
    /** What it may do with the session's files. */
    readonly workspace: (typeof MCP_WORKSPACES)[number];
    /** Whether each session has one of its own, or a worker one for all; the latter has no workspace. */
    readonly share: (typeof MCP_SHARES)[number];
  };

/** One that runs elsewhere. `transport` left out: Streamable HTTP, and SSE where it has that alone. */
export type McpUrlServer = OfBoth &
  Pick<Fields, (typeof OF_URL)[number]> & {
    readonly url: string;
    /** Whether a team's administrator wrote it, or whoever wrote a project; never said in settings. */
    readonly ofTeam?: true;
    readonly ofProject?: true;
  };

export type McpServerSettings = McpCommandServer | McpUrlServer;

export const McpServer = Fields.superRefine((fields, { addIssue }) => {
  const wrong = wrongForm(fields);
  if (wrong !== undefined) addIssue({ code: 'custom', ...wrong });
}).transform(settingsOf);

function wrongForm(fields: Fields): { readonly path: string[]; readonly message: string } | undefined {
  const { command, url: address, workspace = 'read', share } = fields;
  if ((command === undefined) === (address === undefined))
    return { path: [], message: 'expected either command, a program to start, or url, where one runs' };
  const [own, other, others] =
    command === undefined ? (['url', 'command', OF_COMMAND] as const) : (['command', 'url', OF_URL] as const);
  const stray = others.find((field) => fields[field] !== undefined);
  if (stray !== undefined)
    return { path: [stray], message: `it goes with ${other}, and this server has ${own}` };
  if (fields.oauth !== undefined && saysWhoAsks(fields))
    return { path: ['oauth'], message: 'it stands instead of the header Authorization, and there are both' };
  if (share !== 'worker' || workspace === 'none') return undefined;
  return { path: ['share'], message: 'worker is for servers that see no files: expected workspace none too' };
}

/** Whether a header is configured for that: then nobody signs in. */
export function saysWhoAsks({ headers = {} }: Pick<Fields, 'headers'>): boolean {
  return Object.keys(headers).some((name) => name.toLowerCase() === 'authorization');
}

function settingsOf(fields: Fields): McpServerSettings {
  const { command, url: address, workspace = 'read', share = 'session', ...others } = fields;
  if (command !== undefined) return { ...others, command, workspace, share };
  return { ...others, url: address ?? '' };
}

/** Of what an administrator of a team has put, the server that it is. Undefined: it is none, or none any more. */
export function readTeamServer(put: unknown): McpServerSettings | undefined {
  const { data } = McpServer.safeParse(put);
  return data !== undefined && 'url' in data ? { ...data, ofTeam: true } : data;
}

/** The same of a project's: what it says of its tools is not believed. */
export function readProjectServer(said: unknown): McpServerSettings | undefined {
  const settings = readTeamServer(said);
  if (settings === undefined || 'command' in settings) return settings && { ...settings, trusted: false };
  return { ...settings, trusted: false, ofProject: true };
}

/** What a server of a project may not have: a setting, and why, in the end of a sentence. */
export function forbiddenInProject(server: McpServerSettings): readonly [string, string] | undefined {
  if ('url' in server)
    return (
      server.oauth && ['oauth', 'nobody signs in for a project: take a header, or add the server to the team']
    );
  const hasPrivate = server.hosts?.some(({ isPrivate }) => isPrivate) ?? false;
  return hasPrivate ? ['hosts', 'an MCP server of a project reaches public hosts alone'] : undefined;
}

/** Whether a team may have it here. */
export function isTeams(settings: McpServerSettings, teamServers: McpConfig['teamServers']): boolean {
  return teamServers === 'all' || (teamServers === 'addresses' && 'url' in settings);
}

export interface McpConfig {
  readonly enabled: boolean;
  /** By name. */
  readonly servers: Readonly<Record<string, McpServerSettings>>;
  readonly teamServers: (typeof TEAM_SERVERS)['names'][number];
  /** Whether a project's own are used. */
  readonly projectServers: boolean;
  /** What servers of teams and projects may have of private addresses, and be reached at without TLS. */
  readonly allow?: readonly string[];
  /** Until a server has said what it offers. */
  readonly connectSeconds: number;
  /** Until one of its tools has answered. */
  readonly callSeconds: number;
  /** How long one that may not write stays while nobody works on its session. */
  readonly idleSeconds: number;
  /** The longest message that one may send. */
  readonly messageKib: number;
}
