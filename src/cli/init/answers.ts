/** What `init` asks, as data: the kinds of providers, what each answer may be, and what is written for them. */

export const TYPES = ['openai', 'anthropic', 'ollama', 'lmstudio', 'custom'] as const;
export type ProviderType = (typeof TYPES)[number];

interface TypeMeta {
  readonly title: string;
  /** Empty: it has to be said. */
  readonly endpoint: string;
  /** How it is spoken to; undefined: told from the address. */
  readonly kind?: 'openai' | 'anthropic' | 'ollama' | 'chat';
}

export const TYPE_META: Readonly<Record<ProviderType, TypeMeta>> = {
  openai: { title: 'OpenAI', endpoint: 'https://api.openai.com/v1', kind: 'openai' },
  anthropic: { title: 'Anthropic', endpoint: 'https://api.anthropic.com/v1', kind: 'anthropic' },
  ollama: { title: 'Ollama', endpoint: 'http://localhost:11434/v1', kind: 'ollama' },
  lmstudio: { title: 'LM Studio', endpoint: 'http://localhost:1234/v1', kind: 'chat' },
  custom: { title: 'Custom', endpoint: '' },
};

export const DEFAULT_TEMPERATURE = 0.7;
/** Fewest characters of a key. */
export const MIN_KEY_LENGTH = 10;

export interface Answers {
  readonly name: string;
  readonly type: ProviderType;
  readonly endpoint: string;
  readonly apiKey?: string | undefined;
  readonly model?: string | undefined;
  readonly temperature: number;
  readonly maxTokens?: number | undefined;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const MAX_KEY_LENGTH = 4_096;

/** Each says what is wrong with an answer as it was typed, in one sentence; undefined where nothing is. */
export const CHECKS = {
  name: (text: string) => {
    if (text.trim() === '') return 'Give it a name: it must not be empty.';
    if (text === 'env') return 'The name env is CAPYBARA_MODEL_ENDPOINT: choose another.';
    return NAME.test(text) ? undefined : 'A name has letters, digits, dots and dashes, at most 64 of them.';
  },
  endpoint: (text: string) => {
    const url = URL.parse(text);
    if (url === null || !/^https?:$/.test(url.protocol))
      return 'An endpoint is an address that begins with http:// or https://.';
    if (url.username !== '' || url.password !== '')
      return 'An endpoint has no password in it: the key is asked for by itself.';
    return undefined;
  },
  apiKey: (text: string) => {
    if (/\s/.test(text)) return 'A key has no spaces.';
    if (text.length < MIN_KEY_LENGTH) return `A key has ${MIN_KEY_LENGTH} characters or more.`;
    if (text.length > MAX_KEY_LENGTH) return `A key has at most ${MAX_KEY_LENGTH} characters.`;
    return /^[\x21-\x7e]+$/.test(text) ? undefined : 'A key has ASCII characters alone.';
  },
  model: (text: string) => (/\s|\p{Cc}/u.test(text) ? 'A model’s name has no spaces.' : undefined),
  temperature: (text: string) =>
    /^\d+(\.\d+)?$/.test(text) && Number(text) <= 2
      ? undefined
      : 'The temperature is a number from 0.0 to 2.0.',
  maxTokens: (text: string) =>
    text === '' || (/^\d{1,15}$/.test(text) && Number(text) > 0)
      ? undefined
      : 'The most tokens of an answer are a whole number, 1 or more; leave it empty for the provider’s own.',
} as const;

/** Paths in the user's settings, and what is written there. */
export function settingsOf(answers: Answers): ReadonlyMap<readonly string[], unknown> {
  const { name, type, endpoint, apiKey, model, temperature, maxTokens } = answers;
  const { kind } = TYPE_META[type];
  const provider = {
    ...(kind === undefined ? {} : { kind }),
    baseUrl: endpoint,
    ...(apiKey === undefined ? {} : { apiKey }),
  };
  return new Map<readonly string[], unknown>([
    [['providers', name], provider],
    ...(model === undefined ? [] : [[['model'], `${name}/${model}`] as const]),
    [['temperature'], temperature],
    ...(maxTokens === undefined ? [] : [[['maxTokens'], maxTokens] as const]),
  ]);
}

const OWN_VARIABLES: Partial<Record<ProviderType, { provider: string; key: string; url: string }>> = {
  openai: { provider: 'openai', key: 'OPENAI_API_KEY', url: 'OPENAI_BASE_URL' },
  anthropic: { provider: 'anthropic', key: 'ANTHROPIC_API_KEY', url: 'ANTHROPIC_BASE_URL' },
};

/** The same as variables: a provider without its own becomes `env`. */
export function variablesOf(answers: Answers): Readonly<Record<string, string>> {
  const { type, endpoint, apiKey, model, temperature, maxTokens } = answers;
  const { provider, key, url } = OWN_VARIABLES[type] ?? {
    ...{ provider: 'env', key: 'CAPYBARA_MODEL_API_KEY', url: 'CAPYBARA_MODEL_ENDPOINT' },
  };
  return {
    [url]: endpoint,
    ...(apiKey === undefined ? {} : { [key]: apiKey }),
    ...(model === undefined ? {} : { CAPYBARA_MODEL: `${provider}/${model}` }),
    CAPYBARA_TEMPERATURE: String(temperature),
    ...(maxTokens === undefined ? {} : { CAPYBARA_MAX_TOKENS: String(maxTokens) }),
  };
}

/** What is shown before it is tried: never the key. */
export function summaryOf(answers: Answers): readonly (readonly [name: string, value: string])[] {
  const { name, type, endpoint, apiKey, model, temperature, maxTokens } = answers;
  return [
    ['name', name],
    ['type', TYPE_META[type].title],
    ['endpoint', endpoint],
    ['key', apiKey === undefined ? 'none' : 'set (not shown)'],
    ['model', model ?? 'none named'],
    ['temperature', String(temperature)],
    ['max tokens', maxTokens === undefined ? 'the provider’s own' : String(maxTokens)],
  ];
}
