/** Whose models an address offers. */
import type { ProviderKind } from '../core/provider.ts';
import { detectKind, kindOf } from './kinds.ts';

/** What is known of a provider by its kind and address. */
export interface Offers {
  /** Who makes the models and is paid for them there; nobody in particular behind a gateway. */
  readonly maker: string | undefined;
  /** On this machine: no key is needed, and who started it decides how much it takes. */
  readonly isLocal: boolean;
}

interface Known {
  /** Where its Chat Completions are. */
  readonly baseUrl: string;
  /** Who makes what is there. */
  readonly maker?: string;
  readonly kind?: ProviderKind;
}

/** Providers that can be named without their address. */
export const WELL_KNOWN: Readonly<Record<string, Known>> = {
  google: { baseUrl: 'https://generativelanguage.googleapis.com/v1beta/openai', maker: 'google' },
  xai: { baseUrl: 'https://api.x.ai/v1', maker: 'xai' },
  mistral: { baseUrl: 'https://api.mistral.ai/v1', maker: 'mistral' },
  deepseek: { baseUrl: 'https://api.deepseek.com/v1', maker: 'deepseek' },
  alibaba: { baseUrl: 'https://dashscope-intl.aliyuncs.com/compatible-mode/v1', maker: 'alibaba' },
  groq: { baseUrl: 'https://api.groq.com/openai/v1', maker: 'groq' },
  cohere: { baseUrl: 'https://api.cohere.ai/compatibility/v1', maker: 'cohere' },
  moonshot: { baseUrl: 'https://api.moonshot.ai/v1', maker: 'moonshot' },
  zai: { baseUrl: 'https://api.z.ai/api/paas/v4', maker: 'zai' },
  openrouter: { baseUrl: 'https://openrouter.ai/api/v1' },
  ollama: { baseUrl: 'http://127.0.0.1:11434', kind: 'ollama' },
  lmstudio: { baseUrl: 'http://127.0.0.1:1234/v1' },
};

const MAKER_OF_HOST = new Map(
  Object.values(WELL_KNOWN).flatMap(({ baseUrl, maker }) =>
    maker === undefined ? [] : [[new URL(baseUrl).hostname, maker] as const],
  ),
);

export function offersOf(
  name: string,
  given: { readonly kind?: ProviderKind | undefined; readonly baseUrl?: string | undefined },
): Offers {
  const kind = kindOf(name, given);
  const address = given.baseUrl?.trim();
  if (!address)
    return {
      maker: kind === 'anthropic' || kind === 'openai' ? kind : undefined,
      isLocal: kind === 'ollama',
    };
  const detected = detectKind(address);
  const isOwn = detected.kind === 'anthropic' || detected.kind === 'openai';
  const maker = isOwn ? detected.kind : MAKER_OF_HOST.get(URL.parse(address)?.hostname ?? '');
  return { maker, isLocal: detected.isLocal || kind === 'ollama' };
}
