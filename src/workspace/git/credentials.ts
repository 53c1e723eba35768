import type { RepositoryUrl } from '../../core/repository.ts';

/** A key for the repositories of a host, or of a path of it. */
export interface RepositoryKey {
  /** `host`, `host:port`, `host/path`. */
  readonly place: string;
  readonly user: string;
  readonly secret: string;
}

/** What hosts take for a token's user, if they look at it at all. */
const TOKEN_USER = 'x-access-token';

/** Reads `host=TOKEN, host/path=USER:PASSWORD`, as the setting was checked to be. */
export function readKeys(text: string | undefined): readonly RepositoryKey[] {
  if (text === undefined) return [];
  return text.split(',').map((each) => {
    const [, place = '', value = ''] = /^([^=]*)=(.*)$/s.exec(each.trim()) ?? [];
    const [, user = TOKEN_USER, secret = value] = /^([^:]*):(.*)$/s.exec(value) ?? [];
    return { place: place.replace(/^[^/]+/, (host) => host.toLowerCase()).replace(/\/$/, ''), user, secret };
  });
}

/** The key for the longest path that the repository is in. None over ssh, which has its own. */
export function keyFor(keys: readonly RepositoryKey[], found: RepositoryUrl): RepositoryKey | undefined {
  const { protocol, host, port, path } = found;
  if (protocol !== 'https' && protocol !== 'http') return undefined;
  const isUsual = port === (protocol === 'https' ? 443 : 80);
  const hosts = [`${host}:${port}`, ...(isUsual ? [host] : [])];
  const matches = keys.filter(({ place }) => hosts.some((each) => `${each}${path}/`.startsWith(`${place}/`)));
  return matches.toSorted((one, other) => other.place.length - one.place.length)[0];
}
