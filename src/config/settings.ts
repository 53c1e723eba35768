/**
 * Every setting there is: its variable, its schema, what to say where a value is wrong, and who may set it. One zod
 * object; its keys are the paths of `Config`.
 */
import { z } from 'zod';
import { UserError } from '../core/errors.ts';
import { API, CORS_ORIGINS, SCHEDULES } from './api-settings.ts';
import {
  BACKGROUND_LIMITS,
  COMMAND_LIMITS,
  COMMANDS,
  CPUS,
  commandHosts,
  commandUser,
  DOCKER,
  type Limit,
  SANDBOX,
} from './command-settings.ts';
import { CONTEXT } from './context-settings.ts';
import { KEEP } from './keep.ts';
import { MAP_METAS, MAPS, MAX_MODEL_SECONDS, type MapKey, wrongInMap } from './maps.ts';
import { MCP_ALLOW, MCP_LIMITS, TEAM_SERVERS } from './mcp-settings.ts';
import { PROJECT_MAP } from './project-map.ts';
import { beginnings, GIT, REPOSITORY_KEYS } from './repositories.ts';
import { RULES, rules, wrongRule } from './rules.ts';
import { ENCRYPTION_KEY } from './sealing-settings.ts';
import { quoted, shownValue } from './shown-value.ts';
import { TRACING } from './tracing-settings.ts';
import { WEBHOOKS_ALLOW } from './webhook-settings.ts';

/** Ports a server may listen on; 0 lets the system pick a free one. */
export const MAX_PORT = 65_535;
/** Most turns that one worker may hold at a time. */
export const MAX_CONCURRENCY = 1_000;
/** Longest text of one setting, in characters. */
export const MAX_SETTING_LENGTH = 4_096;
export { MAX_MODEL_SECONDS } from './maps.ts';
/** With longer and longer pauses, at most a minute each: about a quarter of an hour. */
export const MAX_MODEL_TRIES = 20;
export const DEFAULT_IDLE_SECONDS = 60;
export const DEFAULT_MODEL_TRIES = 3;
/** As long as a model that was given up often is left alone at most: longer, nobody would see that it is back. */
export const MAX_COOL_DOWN_SECONDS = 600;
export const DEFAULT_COOL_DOWN_SECONDS = 30;
/** A text in the JSON of the store may have 256. */
export const MAX_ANSWER_MIB = 64;
/** Several times what any model can write in one go. */
export const DEFAULT_ANSWER_MIB = 16;
/** What `web_fetch` may take for one page. */
export const MAX_WEB_SECONDS = 300;
export const DEFAULT_WEB_SECONDS = 30;
export const MAX_WEB_MIB = 64;
export const DEFAULT_WEB_MIB = 5;
/** What a command may take where its call says nothing, in seconds: the most, and where nothing is set. */
export const MAX_BASH_SECONDS = 600;
export const DEFAULT_BASH_SECONDS = 30;
/** Directories that `tools.allowedPaths` may name. */
export const MAX_ALLOWED_PATHS = 100;
/** Longest time that a person may be given to answer: a year. */
export const MAX_EXPIRE_SECONDS = 366 * 24 * 60 * 60;
/** What one upload of a directory may take, compressed: the most, and where nothing is set. */
export const MAX_UPLOAD_MIB = 65_536;
export const DEFAULT_UPLOAD_MIB = 1_024;
export const DEFAULT_PORT = 7070;
export const DEFAULT_CONCURRENCY = 16;

interface SettingMeta {
  /** Its environment variable. */
  readonly env: string;
  /** Completes "must be …". */
  readonly expected: string;
  /** Never shown, not even where it is wrong. */
  readonly secret?: true;
  /** A project's own `.capybara/config.yaml` may set it: it says what is wished for, never who is trusted. */
  readonly project?: true;
}

const metas = z.registry<SettingMeta>();

const parseNumber = (raw: unknown): unknown =>
  typeof raw === 'string' && /^-?\d+(\.\d+)?$/.test(raw) ? Number(raw) : raw;

function whole(env: string, min: number, max: number, meta: Partial<SettingMeta> = {}) {
  const upTo = max === Number.MAX_SAFE_INTEGER ? `, ${min} or more` : ` from ${min} to ${max}`;
  return z
    .preprocess(parseNumber, z.int().min(min).max(max))
    .register(metas, { env, expected: `a whole number${upTo}`, ...meta });
}

const plain = z
  .string()
  .max(MAX_SETTING_LENGTH)
  .regex(/^[^\p{Cc}]+$/u);

const BOOLEANS = new Map([
  ...['1', 'true', 'yes', 'on'].map((word) => [word, true] as const),
  ...['0', 'false', 'no', 'off'].map((word) => [word, false] as const),
]);

function flag(env: string) {
  const read = (raw: unknown) => (typeof raw === 'string' ? (BOOLEANS.get(raw.toLowerCase()) ?? raw) : raw);
  return z.preprocess(read, z.boolean()).register(metas, { env, expected: '1 or 0 (or true, false)' });
}

function secret(env: string) {
  // What is not ASCII would be quoted by the error of whoever puts it into a header.
  return plain
    .regex(/^[\x21-\x7e]+$/)
    .register(metas, { env, secret: true, expected: 'a key of ASCII characters without spaces' });
}

function address(env: string, protocols: readonly string[], meta: Partial<SettingMeta> = {}) {
  const example = protocols.map((protocol) => `${protocol}//…`).join(' or ');
  return plain
    .refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol))
    .register(metas, { env, expected: `a URL, ${example}`, ...meta });
}

function ports(env: string) {
  const read = (raw: unknown) =>
    typeof raw === 'string' ? raw.split(',').map((text) => parseNumber(text.trim())) : [raw].flat();
  return z
    .preprocess(read, z.array(z.int().min(1).max(MAX_PORT)))
    .register(metas, { env, expected: `port numbers from 1 to ${MAX_PORT}, with commas between them` });
}

const HTTP = ['http:', 'https:'];
const POSTGRES = ['postgres:', 'postgresql:'];

/** `src, docs/api` → `['src', 'docs/api']`. */
function directories(env: string) {
  const split = (raw: unknown) =>
    typeof raw === 'string'
      ? raw.split(',').map((each) => each.trim().replace(/^(\.\/)+|\/+$/g, '') || '.')
      : raw;
  const directory = z.string().regex(/^(?!\/)(?!.*(^|\/)\.\.(\/|$))[^\p{Cc}]+$/u);
  const expected = `at most ${MAX_ALLOWED_PATHS} directories of the workspace, relative to it, with commas between them`;
  return z
    .preprocess(split, z.array(directory).min(1).max(MAX_ALLOWED_PATHS))
    .register(metas, { env, expected });
}

function limit({ env, least, most, usual }: Limit) {
  return whole(env, least, most).default(usual);
}

export const SETTINGS = z.object({
  databaseUrl: address('DATABASE_URL', POSTGRES, { secret: true }).optional(),
  databaseDirectUrl: address('DATABASE_DIRECT_URL', POSTGRES, { secret: true }).optional(),
  redisUrl: address('REDIS_URL', ['redis:', 'rediss:'], { secret: true }).optional(),
  encryptionKey: ENCRYPTION_KEY.schema.register(metas, ENCRYPTION_KEY.meta).optional(),
  url: address('CAPYBARA_URL', HTTP).optional(),
  apiKey: secret('CAPYBARA_API_KEY').optional(),
  port: whole('CAPYBARA_PORT', 0, MAX_PORT).default(DEFAULT_PORT),
  dataDir: plain.register(metas, { env: 'CAPYBARA_DATA_DIR', expected: 'a path, absolute or from ~' }),
  snapshots: plain
    .regex(/^(?!-)/)
    .register(metas, {
      env: 'CAPYBARA_SNAPSHOTS',
      expected: 'an absolute path, or the address of a git remote',
    })
    .optional(),
  'api.requestsPerMinute': limit(API.requestsPerMinute),
  'api.wrongKeysPerMinute': limit(API.wrongKeysPerMinute),
  'api.corsOrigins': CORS_ORIGINS.schema.register(metas, CORS_ORIGINS.meta).optional(),
  'schedules.perTeam': limit(SCHEDULES.perTeam),
  'schedules.shortestSeconds': limit(SCHEDULES.shortestSeconds),
  'metrics.open': flag('CAPYBARA_METRICS_OPEN').default(false),
  'tracing.endpoint': address('OTEL_EXPORTER_OTLP_ENDPOINT', HTTP).optional(),
  'tracing.headers': TRACING.headers.schema.register(metas, TRACING.headers.meta).optional(),
  'tracing.service': TRACING.service.schema.register(metas, TRACING.service.meta).optional(),
  uploadMib: whole('CAPYBARA_UPLOAD_MIB', 1, MAX_UPLOAD_MIB).default(DEFAULT_UPLOAD_MIB),
  concurrency: whole('CAPYBARA_CONCURRENCY', 1, MAX_CONCURRENCY).default(DEFAULT_CONCURRENCY),
  sandbox: z.enum(SANDBOX.names).register(metas, SANDBOX.meta).default('auto'),
  'docker.image': plain.regex(DOCKER.image.pattern).register(metas, DOCKER.image.meta).optional(),
  'docker.program': plain
    .regex(DOCKER.program.pattern)
    .register(metas, DOCKER.program.meta)
    .default('docker'),
  'docker.host': plain.regex(DOCKER.host.pattern).register(metas, DOCKER.host.meta).optional(),
  'commands.memoryMib': limit(COMMAND_LIMITS.memoryMib),
  'commands.processes': limit(COMMAND_LIMITS.processes),
  'commands.fileMib': limit(COMMAND_LIMITS.fileMib),
  'commands.openFiles': limit(COMMAND_LIMITS.openFiles),
  'commands.cpuSeconds': limit(COMMAND_LIMITS.cpuSeconds),
  'commands.freeMib': limit(COMMAND_LIMITS.freeMib),
  'commands.cpus': CPUS.schema.register(metas, CPUS.meta).optional(),
  'commands.user': commandUser.register(metas, COMMANDS.user).optional(),
  'commands.hosts': commandHosts.register(metas, COMMANDS.hosts).optional(),
  'background.processes': limit(BACKGROUND_LIMITS.processes),
  'background.lifetimeSeconds': limit(BACKGROUND_LIMITS.lifetimeSeconds),
  'background.idleSeconds': limit(BACKGROUND_LIMITS.idleSeconds),
  'background.bufferKib': limit(BACKGROUND_LIMITS.bufferKib),
  model: plain
    .regex(/^\S+$/)
    .register(metas, { env: 'CAPYBARA_MODEL', project: true, expected: 'provider/model, without spaces' })
    .optional(),
  temperature: z
    .preprocess(parseNumber, z.number().min(0).max(2))
    .register(metas, { env: 'CAPYBARA_TEMPERATURE', project: true, expected: 'a number from 0 to 2' })
    .optional(),
  maxTokens: whole('CAPYBARA_MAX_TOKENS', 1, Number.MAX_SAFE_INTEGER, { project: true }).optional(),
  modelFirstTokenSeconds: whole('CAPYBARA_MODEL_FIRST_TOKEN_SECONDS', 1, MAX_MODEL_SECONDS).optional(),
  modelIdleSeconds: whole('CAPYBARA_MODEL_IDLE_SECONDS', 1, MAX_MODEL_SECONDS).default(DEFAULT_IDLE_SECONDS),
  modelTries: whole('CAPYBARA_MODEL_TRIES', 1, MAX_MODEL_TRIES).default(DEFAULT_MODEL_TRIES),
  modelCoolDownSeconds: whole('CAPYBARA_MODEL_COOL_DOWN_SECONDS', 1, MAX_COOL_DOWN_SECONDS).default(
    DEFAULT_COOL_DOWN_SECONDS,
  ),
  modelAnswerMib: whole('CAPYBARA_MODEL_ANSWER_MIB', 1, MAX_ANSWER_MIB).default(DEFAULT_ANSWER_MIB),
  modelImages: flag('CAPYBARA_MODEL_IMAGES').default(true),
  permissions: rules.register(metas, RULES).optional(),
  'tools.allowedPaths': directories('CAPYBARA_TOOLS_ALLOWED_PATHS').optional(),
  'tools.bash.enabled': flag('CAPYBARA_TOOLS_BASH_ENABLED').default(true),
  'tools.bash.timeout': whole('CAPYBARA_TOOLS_BASH_TIMEOUT', 1, MAX_BASH_SECONDS).default(
    DEFAULT_BASH_SECONDS,
  ),
  'tools.filesystem.enabled': flag('CAPYBARA_TOOLS_FILESYSTEM_ENABLED').default(true),
  'approvals.expireAfter': whole('CAPYBARA_APPROVALS_EXPIRE_AFTER', 1, MAX_EXPIRE_SECONDS).optional(),
  offline: flag('CAPYBARA_OFFLINE').default(false),
  debug: flag('CAPYBARA_DEBUG').default(false),
  // Any text means yes: https://no-color.org
  noColor: z
    .preprocess((raw) => (typeof raw === 'string' ? true : raw), z.boolean())
    .register(metas, { env: 'NO_COLOR', expected: 'true or false' })
    .default(false),
  'git.allow': beginnings.register(metas, GIT.allow).optional(),
  'git.credentials': plain.regex(REPOSITORY_KEYS).register(metas, GIT.credentials).optional(),
  'git.sshKey': plain.regex(/^\//).register(metas, GIT.sshKey).optional(),
  'git.mib': whole(GIT.mib.env, 1, GIT.mib.most).default(GIT.mib.usual),
  'git.seconds': whole(GIT.seconds.env, 1, GIT.seconds.most).default(GIT.seconds.usual),
  'git.cacheMib': limit(GIT.cacheMib),
  'projectMap.tokens': limit(PROJECT_MAP.tokens),
  'context.strategy': CONTEXT.strategy.schema.register(metas, CONTEXT.strategy.meta).default('compact'),
  'context.maxTokens': limit(CONTEXT.maxTokens),
  'context.maxMessages': CONTEXT.maxMessages.schema.register(metas, CONTEXT.maxMessages.meta).default(50),
  'context.compactAt': CONTEXT.compactAt.schema.register(metas, CONTEXT.compactAt.meta).default(0.8),
  'keep.filesDays': limit(KEEP.filesDays),
  'keep.uploadsDays': limit(KEEP.uploadsDays),
  'keep.auditDays': limit(KEEP.auditDays),
  'keep.deliveriesDays': limit(KEEP.deliveriesDays),
  'webhooks.allow': WEBHOOKS_ALLOW.schema.register(metas, WEBHOOKS_ALLOW.meta).optional(),
  'webFetch.ports': ports('CAPYBARA_WEB_FETCH_PORTS').default([]),
  'webFetch.seconds': whole('CAPYBARA_WEB_FETCH_SECONDS', 1, MAX_WEB_SECONDS).default(DEFAULT_WEB_SECONDS),
  'webFetch.mib': whole('CAPYBARA_WEB_FETCH_MIB', 1, MAX_WEB_MIB).default(DEFAULT_WEB_MIB),
  'webSearch.provider': z
    .enum(['brave', 'tavily', 'searxng'])
    .register(metas, { env: 'CAPYBARA_WEB_SEARCH_PROVIDER', expected: 'brave, tavily or searxng' })
    .optional(),
  'webSearch.apiKey': secret('CAPYBARA_WEB_SEARCH_API_KEY').optional(),
  'webSearch.url': address('CAPYBARA_WEB_SEARCH_URL', HTTP).optional(),
  // Before what stands in it under a key of its own.
  providers: MAPS.providers.register(metas, MAP_METAS.providers).default({}),
  aliases: MAPS.aliases.register(metas, MAP_METAS.aliases).default({}),
  models: MAPS.models.register(metas, MAP_METAS.models).default({}),
  agents: MAPS.agents.register(metas, MAP_METAS.agents).default({}),
  'mcp.enabled': flag('CAPYBARA_MCP_ENABLED').default(false),
  'mcp.servers': MAPS['mcp.servers'].register(metas, MAP_METAS['mcp.servers']).default({}),
  'mcp.teamServers': z.enum(TEAM_SERVERS.names).register(metas, TEAM_SERVERS.meta).default('addresses'),
  'mcp.projectServers': flag('CAPYBARA_MCP_PROJECT_SERVERS').default(false),
  'mcp.allow': MCP_ALLOW.schema.register(metas, MCP_ALLOW.meta).optional(),
  'mcp.connectSeconds': limit(MCP_LIMITS.connectSeconds),
  'mcp.callSeconds': limit(MCP_LIMITS.callSeconds),
  'mcp.idleSeconds': limit(MCP_LIMITS.idleSeconds),
  'mcp.messageKib': limit(MCP_LIMITS.messageKib),
  'providers.anthropic.apiKey': secret('ANTHROPIC_API_KEY').optional(),
  'providers.anthropic.baseUrl': address('ANTHROPIC_BASE_URL', HTTP).optional(),
  'providers.openai.apiKey': secret('OPENAI_API_KEY').optional(),
  'providers.openai.baseUrl': address('OPENAI_BASE_URL', HTTP).optional(),
  'providers.env.apiKey': secret('CAPYBARA_MODEL_API_KEY').optional(),
  'providers.env.baseUrl': address('CAPYBARA_MODEL_ENDPOINT', HTTP).optional(),
});

export type SettingKey = keyof typeof SETTINGS.shape;
export const SETTING_KEYS = Object.keys(SETTINGS.shape) as SettingKey[];

function inner(schema: z.core.$ZodType): z.core.$ZodType {
  const wraps = schema instanceof z.ZodOptional || schema instanceof z.ZodDefault;
  return wraps ? inner(schema.unwrap()) : schema;
}

export function metaOf(key: SettingKey): SettingMeta {
  const meta = metas.get(inner(SETTINGS.shape[key]));
  if (!meta) throw new Error(`the setting ${key} has no meta data`);
  return meta;
}

/** Where a value was found, as a person would look for it. */
export interface Source {
  readonly kind: 'flag' | 'environment' | '.env' | 'project' | 'profile' | 'user' | 'default';
  /** What it is called there: `--port`, `CAPYBARA_PORT`, `port`. */
  readonly name: string;
  /** `command line`, `environment`, a file with its line, `default`. */
  readonly where: string;
}

/** The value that `raw` means. Throws `UserError` naming key, source, what was expected and what was found. */
export function parseSetting(key: SettingKey, raw: unknown, source: Source): unknown {
  const result = SETTINGS.shape[key].safeParse(raw);
  if (result.success) return result.data;
  const wrong =
    key === 'permissions' ? wrongRule(raw) : key in MAPS ? wrongInMap(key as MapKey, raw) : undefined;
  if (wrong !== undefined)
    throw new UserError('config_invalid', `${source.name} (${source.where}): ${wrong}.`);
  const { expected: meta, secret } = metaOf(key);
  const isLong =
    key !== 'permissions' && !(key in MAPS) && typeof raw === 'string' && raw.length > MAX_SETTING_LENGTH;
  const expected = isLong ? `a text of at most ${MAX_SETTING_LENGTH} characters` : meta;
  const found = secret ? 'what is there is not (not shown: it is a secret)' : `found ${quoted(raw)}`;
  throw new UserError('config_invalid', `${source.name} (${source.where}) must be ${expected}; ${found}.`);
}

/** What may be shown of a value that was set. */
export function shown(key: SettingKey, value: unknown): string {
  return shownValue(value, metaOf(key).secret ?? false);
}
