/**
 * Settings that are maps whose names people choose: providers, aliases of models, agents, MCP servers. In YAML a map stands as itself, in a
 * variable as JSON. A name that several places define is taken from the first of them, whole.
 */
import { z } from 'zod';
import { nearest } from '../core/nearest.ts';
import { EFFORTS, MAX_CHILDREN, MAX_DEPTH, STRATEGIES } from '../core/profile.ts';
import { type ModelSettings as KnownOfModel, PROVIDER_KINDS } from '../core/provider.ts';
import { parseJson } from './json.ts';
import { headerName, headerValue, httpUrl, line, name, secret, variableName } from './map-texts.ts';
import { McpServer, mcpName } from './mcp-settings.ts';

/** Names in one map. */
export const MAX_NAMES = 200;
/** Longest text in one: an agent's prompt. */
export const MAX_MAP_TEXT = 64 * 1024;

/** The longest that a model may take to begin an answer, or be silent in it. */
export const MAX_MODEL_SECONDS = 300;

/** How Oracle's cloud is signed in to. */
export const OCI_AUTHS = ['api_key', 'security_token', 'instance_principal', 'resource_principal'] as const;

const count = z.int().min(1);
const dollars = z.number().min(0);
const seconds = z.int().min(1).max(MAX_MODEL_SECONDS);
/** `provider/model`, a model's name where one provider is configured, or an alias. */
const modelName = z.string().regex(/^\S{1,256}$/, 'expected the name of a model, without blanks');

const price = {
  input: dollars,
  output: dollars,
  cachedInput: dollars.optional(),
  cacheWrite: dollars.optional(),
};
const Prices = z.strictObject({
  ...price,
  /** Of requests whose input is longer than `above`. */
  long: z.strictObject({ above: count, ...price }).optional(),
});

/** What is known of one model, beside or instead of what the kept data says. */
const ModelSettings = z.strictObject({
  contextTokens: count.optional(),
  outputTokens: count.optional(),
  images: z.boolean().optional(),
  temperature: z.boolean().optional(),
  effort: z.boolean().optional(),
  prices: Prices.optional(),
}) satisfies z.ZodType<KnownOfModel>;

const Provider = z.strictObject({
  /** Told from the address where left out. */
  kind: z.enum(PROVIDER_KINDS).optional(),
  baseUrl: httpUrl.optional(),
  apiKey: secret.optional(),
  /** The environment variable that the key is in. */
  apiKeyVariable: variableName.optional(),
  headers: z.record(headerName, headerValue).optional(),
  /** What all workers together send of it under its key. */
  requestsPerMinute: count.optional(),
  tokensPerMinute: count.optional(),
  models: z.record(modelName, ModelSettings).optional(),
  /** How long its models may take to begin an answer, and be silent in it. */
  firstTokenSeconds: seconds.optional(),
  idleSeconds: seconds.optional(),
  /** For `oci`. */
  auth: z.enum(OCI_AUTHS).optional(),
  region: line.optional(),
  compartment: line.optional(),
  ociConfig: line.optional(),
  ociProfile: line.optional(),
  /** For `replay`: what was recorded, and whether what differs from it ends the turn. */
  file: line.optional(),
  strict: z.boolean().optional(),
});

const Limits = z.strictObject({
  turns: count.max(100_000).optional(),
  treeTurns: count.max(1_000_000).optional(),
  children: z.int().min(0).max(MAX_CHILDREN).optional(),
  concurrentChildren: count.max(MAX_CHILDREN).optional(),
  depth: z.int().min(0).max(MAX_DEPTH).optional(),
  tokens: count.optional(),
  usd: z.number().min(0.000_001).max(1_000_000).optional(),
  seconds: count.max(366 * 24 * 60 * 60).optional(),
});

/** A model that an agent may be answered by, and its share where they are balanced. */
const Fallback = z.union([
  modelName.transform((model) => ({ model, weight: 1 })),
  z.strictObject({ model: modelName, weight: z.number().positive().default(1) }),
]);

const Agent = z.strictObject({
  /** Its text. */
  prompt: z.string().min(1).max(MAX_MAP_TEXT).optional(),
  /** A file that has it, absolute or beside the settings file. */
  promptFile: line.optional(),
  /** What it is like: one of the agents that are built in; else `build`. */
  like: name.optional(),
  model: modelName.optional(),
  fallbacks: z.array(Fallback).max(16).optional(),
  strategy: z.enum(STRATEGIES).optional(),
  tools: z.array(name).max(200).optional(),
  mode: z.enum(['safe', 'plan', 'auto']).optional(),
  temperature: z.number().min(0).max(2).optional(),
  maxTokens: count.optional(),
  effort: z.enum(EFFORTS).optional(),
  limits: Limits.optional(),
});

function map<Item extends z.ZodType>(item: Item, key: z.ZodString = name) {
  const few = z.record(key, item).refine((found) => Object.keys(found).length <= MAX_NAMES);
  return z.preprocess(parseJson, few);
}

const ITEMS = {
  providers: Provider,
  aliases: modelName,
  models: ModelSettings,
  agents: Agent,
  'mcp.servers': McpServer,
} as const;

export const MAPS = {
  providers: map(ITEMS.providers),
  aliases: map(ITEMS.aliases),
  models: map(ITEMS.models, modelName),
  agents: map(ITEMS.agents),
  'mcp.servers': map(ITEMS['mcp.servers'], mcpName),
};
export type MapKey = keyof typeof MAPS;
export const MAP_KEYS = Object.keys(MAPS) as MapKey[];

/** The map that this place in the settings is, or lies in. */
export function mapAt(path: readonly string[]): MapKey | undefined {
  return MAP_KEYS.find((key) => key.split('.').every((part, index) => part === path[index]));
}

export const MAP_METAS = {
  providers: {
    env: 'CAPYBARA_PROVIDERS',
    expected: `a map of at most ${MAX_NAMES} providers, {"name": {"kind": …, "baseUrl": …}}`,
    secret: true,
  },
  aliases: {
    env: 'CAPYBARA_ALIASES',
    expected: `a map of at most ${MAX_NAMES} names of models, {"name": "provider/model"}`,
  },
  models: {
    env: 'CAPYBARA_MODELS',
    expected: `a map of what is known of at most ${MAX_NAMES} models, {"name": {"contextTokens": …}}`,
  },
  agents: {
    env: 'CAPYBARA_AGENTS',
    expected: `a map of at most ${MAX_NAMES} agents, {"name": {"prompt": …}}`,
  },
  'mcp.servers': {
    env: 'CAPYBARA_MCP_SERVERS',
    expected: `a map of at most ${MAX_NAMES} MCP servers, {"name": {"command": …}} or {"name": {"url": …}}`,
    secret: true,
  },
} as const;

export type ProviderSettings = z.infer<typeof Provider>;
export type AgentConfig = z.infer<typeof Agent>;

/** Where in a map it is wrong, and how; a value is never quoted, it may be a secret. Undefined where it is no map. */
export function wrongInMap(key: MapKey, raw: unknown): string | undefined {
  const found = MAPS[key].safeParse(raw);
  const issues = found.error?.issues ?? [];
  // What is missing where something is misspelt is most often the same.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  if (issue === undefined || issue.path.length === 0) return undefined;
  const at = [key, ...issue.path].join('.');
  // Of a name it says nothing itself.
  const cause = issue.code === 'invalid_key' ? (issue.issues[0] ?? issue) : issue;
  if (issue.code !== 'unrecognized_keys') return `${at} is wrong: ${cause.message}`;
  const [unknown = ''] = issue.keys;
  return `${at} has no setting "${unknown}"; the nearest one is "${nearest(unknown, namesIn(ITEMS[key], issue.path.slice(1)))}"`;
}

/** What may stand at a place in one item of a map. */
function namesIn(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const [name, ...rest] = path;
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault)
    return namesIn(schema.unwrap(), path);
  if (schema instanceof z.ZodPipe) return namesIn(schema.in, path);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => namesIn(option, path));
  if (schema instanceof z.ZodRecord) return namesIn(schema.valueType, rest);
  if (schema instanceof z.ZodArray) return namesIn(schema.element, rest);
  if (!(schema instanceof z.ZodObject)) return [];
  const inner = schema.shape[String(name)];
  return name === undefined ? Object.keys(schema.shape) : inner === undefined ? [] : namesIn(inner, rest);
}
