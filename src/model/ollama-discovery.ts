/** An Ollama that runs on this machine, where nobody has configured a provider. */
import { connect } from 'node:net';
import type { ProviderKind } from '../core/provider.ts';

/** Where one listens that was told nothing. */
const HOST = '127.0.0.1';
const PORT = 11_434;

/** How long one is looked for: whoever starts Capybara where none is waits no longer. */
export const DISCOVERY_MS = 300;
/** How long what listens there may take to say that it is one: a busy machine's is not overlooked. */
export const ANSWER_MS = 2_000;

export interface FoundOllama {
  readonly baseUrl: string;
  readonly version: string;
  /** Names of what is installed there. */
  readonly models: readonly string[];
}

/** Undefined where none listens, or answers within `answerMs`. */
export async function findOllama({
  port = PORT,
  answerMs = ANSWER_MS,
} = {}): Promise<FoundOllama | undefined> {
  if (!(await listens(port, DISCOVERY_MS))) return undefined;
  const { installedModels, ollamaVersion } = await import('./ollama-admin.ts');
  const target = { provider: 'ollama', baseUrl: `http://${HOST}:${port}` };
  try {
    const asked = [ollamaVersion(target, answerMs), installedModels(target, answerMs)] as const;
    const [version, models] = await Promise.all(asked);
    return { baseUrl: target.baseUrl, version, models: models.map(({ name }) => name) };
  } catch {
    return undefined; // Something else listens there, or it is too slow to be waited for.
  }
}

/** Nearly always nobody does, which is known at once. */
async function listens(port: number, waitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port, timeout: waitMs });
    const say = (found: boolean) => {
      socket.destroy();
      resolve(found);
    };
    socket.once('connect', () => say(true));
    socket.once('timeout', () => say(false));
    socket.once('error', () => say(false));
  });
}

interface Provider {
  readonly kind?: ProviderKind | undefined;
  readonly apiKey?: string | undefined;
  readonly baseUrl?: string | undefined;
}

interface Settings {
  readonly offline: boolean;
  readonly providers: Readonly<Record<string, Provider>>;
  readonly model?: string;
}

/**
 * The settings of one's own Capybara with the Ollama of this machine for its provider `ollama`, where no provider is configured and
 * one answers; `said` tells of it. Its model is the default where it is the only one. Offline nobody is asked.
 */
export async function withFoundOllama<Given extends Settings>(
  settings: Given,
  options: { readonly port?: number; readonly answerMs?: number } = {},
): Promise<{ readonly settings: Given; readonly said?: string }> {
  if (settings.offline || hasProvider(settings)) return { settings };
  const found = await findOllama(options);
  if (found === undefined) return { settings };
  const { baseUrl, models } = found;
  const only = models.length === 1 && settings.model === undefined ? { model: `ollama/${models[0]}` } : {};
  const providers = { ...settings.providers, ollama: { kind: 'ollama' as const, baseUrl } };
  return { settings: { ...settings, providers, ...only }, said: foundSentence(found) };
}

/** What has a key, an address or a kind. */
export function hasProvider({ providers }: Pick<Settings, 'providers'>): boolean {
  return Object.values(providers).some(
    ({ kind, apiKey, baseUrl }) => kind !== undefined || apiKey?.trim() || baseUrl?.trim(),
  );
}

/** Names that a sentence has room for. */
const MAX_NAMED = 5;

export function foundSentence({ baseUrl, version, models }: FoundOllama): string {
  const named = models.slice(0, MAX_NAMED).join(', ');
  const more = models.length > MAX_NAMED ? ` and ${models.length - MAX_NAMED} more` : '';
  const has =
    models.length === 0 ? 'which has no model yet (`capybara models pull NAME`)' : `with ${named}${more}`;
  return `No provider is configured; the Ollama ${version} at ${baseUrl} is used, ${has}.`;
}
