/**
 * The models of Oracle's cloud: how they are named, which of its message formats they speak, and what they take.
 */
import type { Failure } from '../core/errors.ts';
import type { ModelSettings } from '../core/provider.ts';
import type { ModelRequest } from './model.ts';

/** `COHEREV2` is for Cohere's models that see or reason; the others of Cohere's know `COHERE`, everyone else `GENERIC`. */
export type OciFormatName = 'COHERE' | 'COHEREV2' | 'GENERIC';

export interface OciModelName {
  /** `provider.model-name-version`, or an OCID. */
  readonly id: string;
  /** Who made it: `cohere`, `meta`, `xai`, ... */
  readonly vendor: string;
  readonly format: OciFormatName;
  /** An endpoint of a dedicated cluster, which has no name but its OCID. */
  readonly isDedicated: boolean;
}

/** What people call them. */
export const OCI_ALIASES: Readonly<Record<string, string>> = {
  command: 'cohere.command-a-03-2025',
  'command-a': 'cohere.command-a-03-2025',
  'command-a-reasoning': 'cohere.command-a-reasoning-08-2025',
  'command-a-vision': 'cohere.command-a-vision-07-2025',
  'command-r': 'cohere.command-r-08-2024',
  'command-r-plus': 'cohere.command-r-plus-08-2024',
  llama: 'meta.llama-3.3-70b-instruct',
  'llama-3.1-405b': 'meta.llama-3.1-405b-instruct',
  'llama-3.2-90b': 'meta.llama-3.2-90b-vision-instruct',
  'llama-3.3': 'meta.llama-3.3-70b-instruct',
  'llama-3.3-70b': 'meta.llama-3.3-70b-instruct',
  'llama-4-maverick': 'meta.llama-4-maverick-17b-128e-instruct-fp8',
  'llama-4-scout': 'meta.llama-4-scout-17b-16e-instruct',
  grok: 'xai.grok-4',
  'grok-3': 'xai.grok-3',
  'grok-3-mini': 'xai.grok-3-mini',
  'grok-4': 'xai.grok-4',
  'grok-code': 'xai.grok-code-fast-1',
};

/** Whose a name is that says it only by its beginning. */
const VENDOR_OF_FAMILY: readonly (readonly [RegExp, string])[] = [
  [/^command-/, 'cohere'],
  [/^llama-/, 'meta'],
  [/^grok-/, 'xai'],
  [/^gpt-/, 'openai'],
  [/^gemini-/, 'google'],
];

const ENDPOINT = /^(?:([a-z]+)\.)?(ocid1\.generativeaiendpoint\..+)$/;
const MODEL = /^(?:([a-z]+)\.)?(ocid1\..+)$/;
const NAMED = /^([a-z][a-z0-9]*)\..+$/;

/**
 * What a name stands for; what is no name here, the service judges. A dedicated endpoint's OCID says nothing of the model
 * behind it: `cohere.ocid1.generativeaiendpoint…` does.
 */
export function ociModelOf(name: string): OciModelName {
  const given = OCI_ALIASES[name.toLowerCase()] ?? name;
  const ocid = ENDPOINT.exec(given) ?? MODEL.exec(given);
  if (ocid !== null) {
    const [, vendor = '', id = given] = ocid;
    return { id, vendor, format: formatOf(vendor, ''), isDedicated: ENDPOINT.test(given) };
  }
  const family = VENDOR_OF_FAMILY.find(([begins]) => begins.test(given))?.[1];
  const id = family === undefined ? given : `${family}.${given}`;
  const vendor = NAMED.exec(id)?.[1] ?? '';
  return { id, vendor, format: formatOf(vendor, id), isDedicated: false };
}

function formatOf(vendor: string, id: string): OciFormatName {
  if (vendor !== 'cohere') return 'GENERIC';
  return /vision|reasoning/.test(id) ? 'COHEREV2' : 'COHERE';
}

/** Whether it can be shown images, as far as its name says. */
export function ociTakesImages(name: string): boolean {
  const { id, vendor } = ociModelOf(name);
  if (vendor === 'cohere') return id.includes('vision');
  if (vendor === 'meta') return /vision|llama-4/.test(id);
  if (vendor === 'xai') return /grok-4/.test(id) && !id.includes('code');
  return vendor === 'google' || (vendor === 'openai' && !id.includes('gpt-oss'));
}

/** What a model takes. Where undefined, nobody has said. */
export interface OciRange {
  /** From 0 to this; null where it refuses one. */
  readonly temperature?: number | null;
  /** Tokens of an answer that is asked for on demand. */
  readonly outputTokens?: number;
}

/** By the beginning of the name, as Oracle documents them; the first that fits counts. */
const RANGES: readonly (readonly [RegExp, OciRange])[] = [
  [/^cohere\.command-a-reasoning/, { temperature: 1, outputTokens: 32_000 }],
  [/^cohere\.command-(a|latest|plus-latest)/, { temperature: 1, outputTokens: 8_000 }],
  [/^cohere\.command-r/, { temperature: 1, outputTokens: 4_000 }],
  [/^cohere\./, { temperature: 1 }],
  [/^meta\./, { temperature: 2, outputTokens: 4_000 }],
  [/^xai\./, { temperature: 2 }],
  [/^openai\.gpt-oss/, { temperature: 2 }],
  [/^openai\./, { temperature: null }],
];

export function ociRangeOf({ id, isDedicated }: OciModelName): OciRange {
  const range = RANGES.find(([fits]) => fits.test(id))?.[1] ?? {};
  if (!isDedicated) return range;
  const { outputTokens: _onDemandOnly, ...rest } = range;
  return rest;
}

/** A request's settings as the model takes them, or why it would refuse them. What a person said of the model comes first. */
export function ociSettingsOf(
  name: OciModelName,
  { temperature, maxTokens }: Pick<ModelRequest, 'temperature' | 'maxTokens'>,
  said: ModelSettings,
): { readonly temperature?: number; readonly maxTokens?: number } | Failure {
  const range = ociRangeOf(name);
  const takes = said.temperature ?? range.temperature !== null;
  const most = range.temperature ?? 2;
  const longest = said.outputTokens ?? range.outputTokens;
  if (takes && temperature !== undefined && temperature > most)
    return outOfRange(
      `Model ${name.id} takes a temperature from 0 to ${most}; found ${temperature}`,
      '--temperature',
    );
  if (maxTokens !== undefined && longest !== undefined && maxTokens > longest)
    return outOfRange(
      `Model ${name.id} answers with at most ${longest} tokens; asked for ${maxTokens}`,
      '--max-tokens',
    );
  return {
    ...(takes && temperature !== undefined ? { temperature } : {}),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
}

function outOfRange(what: string, flag: string): Failure {
  return { kind: 'terminal', code: 'bad_request', message: `${what}: set ${flag} to less.` };
}
