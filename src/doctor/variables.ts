import { metaOf, SETTING_KEYS } from '../config/settings.ts';
import { likely } from '../core/nearest.ts';
import type { Check } from './check.ts';

const PREFIX = 'CAPYBARA_';

/** Variables of ours that nobody reads, because they are misspelt: nothing else says so, since others may have such names too. */
export function misspeltVariables(environment: Readonly<Record<string, string | undefined>>): Check[] {
  const known = SETTING_KEYS.map((key) => metaOf(key).env);
  const ours = known.filter((name) => name.startsWith(PREFIX));
  const unknown = Object.keys(environment).filter((name) => name.startsWith(PREFIX) && !known.includes(name));
  return unknown.flatMap((name) => {
    const near = likely(withoutPrefix(name), ours.map(withoutPrefix));
    if (near === undefined) return [];
    const found = `${name} is no setting; the nearest one is ${PREFIX}${near}`;
    return [{ name: 'environment', state: 'warning', found, cure: 'rename it, or take it out' }];
  });
}

function withoutPrefix(name: string): string {
  return name.slice(PREFIX.length);
}
