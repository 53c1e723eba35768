import type { ProviderKind } from '../core/provider.ts';
import { hostOf } from './connection.ts';

/** What an address says of who answers there. `isLocal`: on this machine, so that no key is needed. */
export interface Detected {
  readonly kind: ProviderKind;
  readonly isLocal: boolean;
}

const OLLAMA_PORT = '11434';
/** As a URL writes them: an IPv4 address is decimal there, within IPv6 hexadecimal. */
const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[::1\]|\[::ffff:7f[\da-f]{2}:[\da-f]{1,4}\])$/;

/** By the parsed host and port, never by a part of the text. What is no URL is nobody's in particular. */
export function detectKind(baseUrl: string): Detected {
  const url = URL.parse(baseUrl);
  if (url === null) return { kind: 'chat', isLocal: false };
  const { port } = url;
  // A name may end with the root's dot.
  const hostname = url.hostname.replace(/\.$/, '');
  const isLocal = LOOPBACK.test(hostname);
  if (isOf(hostname, 'openai.com')) return { kind: 'openai', isLocal };
  if (isOf(hostname, 'anthropic.com')) return { kind: 'anthropic', isLocal };
  if (hostname === 'ollama' || (isLocal && port === OLLAMA_PORT)) return { kind: 'ollama', isLocal: true };
  // LM Studio (port 1234) and whatever else runs there speak Chat Completions.
  return { kind: 'chat', isLocal };
}

function isOf(hostname: string, domain: string): boolean {
  return hostname === domain || hostname.endsWith(`.${domain}`);
}

interface Given {
  readonly kind?: ProviderKind | undefined;
  readonly baseUrl?: string | undefined;
}

/** The kind that a provider is configured as, else what its name or its address says. */
export function kindOf(name: string, { kind, baseUrl }: Given): ProviderKind {
  if (kind !== undefined) return kind;
  if (name === 'anthropic') return 'anthropic';
  // At an address of its own: whoever answers there speaks what most do.
  if (name === 'openai') return hostOf(baseUrl ?? '') === '' ? 'openai' : detectKind(baseUrl ?? '').kind;
  return baseUrl === undefined ? 'chat' : detectKind(baseUrl).kind;
}
