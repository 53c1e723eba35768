/** The keys that a server was given, taken out of what it says of a failure: logs, models and people read that. */
import type { Access } from './access.ts';
import type { McpServer } from './server.ts';

/** Of what a server says of a failure, in characters. */
export const LONGEST_SAID = 4_096;
/** A shorter one is in every other word. */
const SHORTEST = 4;
const HIDDEN = '********';

export class HiddenKeys {
  readonly #keys: Set<string>;

  constructor(settings: McpServer) {
    this.#keys = new Set(keysIn(settings));
  }

  /** Each token that it gives is a key from then on. */
  noting(access: Access): Access {
    const noted = (token: string) => {
      this.#keys.add(token);
      return token;
    };
    return {
      token: async (signal) => {
        const token = await access.token(signal);
        return token === undefined ? undefined : noted(token);
      },
      renewed: async (...asked) => noted(await access.renewed(...asked)),
    };
  }

  /** `said` without any of them, as far as it is shown at all. */
  shown(said: string): string {
    return withoutKeys(said, this.#keys);
  }
}

/** `said` without any of these, also as an address or a form has them, and no longer than it is shown at all. */
export function withoutKeys(said: string, keys: Iterable<string>): string {
  const forms = [...keys].flatMap((key) => [
    key,
    encodeURIComponent(key),
    new URLSearchParams({ '': key }).toString().slice(1),
  ]);
  const longestFirst = [...new Set(forms)]
    .filter(({ length }) => length >= SHORTEST)
    .toSorted((one, other) => other.length - one.length);
  const text = longestFirst.reduce((rest, key) => rest.replaceAll(key, HIDDEN), said);
  return text.length > LONGEST_SAID ? `${text.slice(0, LONGEST_SAID)}…` : text;
}

/** A header says `Bearer KEY`; of an address the query is what keys are put into. */
function keysIn(settings: McpServer): string[] {
  if ('command' in settings) return Object.values(settings.env ?? {});
  const { headers = {}, oauth, url } = settings;
  const values = Object.values(headers);
  const { search, searchParams } = new URL(url);
  const asSent = search
    .slice(1)
    .split('&')
    .map((each) => each.slice(each.indexOf('=') + 1));
  return [
    ...values,
    ...values.map((value) => value.replace(/^\S+ +/, '')),
    ...searchParams.values(),
    ...asSent,
    oauth?.clientSecret ?? '',
  ];
}
