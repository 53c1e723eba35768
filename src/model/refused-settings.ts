/** Settings that not every model takes, as providers refuse them. */
import type { Origin } from './connection.ts';
import type { Report } from './report.ts';

const REFUSED = /\b(un|not |n['’]t )(support|recogni|permit|allow)|unknown|only the default|extra inputs/i;
const NAMES = [
  ['temperature', /temperature/i],
  ['effort', /reasoning[ _.]?effort|reasoning\.|output_config/i],
] as const;

/** How to leave out what the model does not take; '' where it is something else that was refused. */
export function remedyOf({ text }: Pick<Report, 'text'>, { provider, model }: Origin): string {
  const [name] = NAMES.find(([, named]) => REFUSED.test(text) && named.test(text)) ?? [];
  if (name === undefined) return '';
  return ` Where it takes none, say so in config.yaml: models: {${provider}/${model}: {${name}: false}}.`;
}
