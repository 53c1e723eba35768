/** Values of settings as people are shown them. */
import { type EgressHost, sayEgressHost } from '../core/egress.ts';
import { type ConfiguredRule, sayRule } from '../core/permission.ts';

const HIDDEN = '********';

export function shownValue(value: unknown, secret: boolean): string {
  if (Array.isArray(value) && secret) return HIDDEN;
  if (Array.isArray(value)) return value.map(shownItem).join(', ');
  if (isIds(value)) return `${value.uid}:${value.gid}`;
  if (typeof value === 'object' && value !== null) return Object.keys(value).join(', ') || 'none';
  if (!secret) return withoutSecrets(String(value));
  return URL.canParse(String(value)) ? withoutSecrets(String(value)) : HIDDEN;
}

function isIds(value: unknown): value is { uid: number; gid: number } {
  return typeof value === 'object' && value !== null && 'uid' in value && 'gid' in value;
}

function shownItem(item: string | number | ConfiguredRule | EgressHost): string {
  if (typeof item !== 'object') return String(item);
  if ('host' in item) return sayEgressHost(item);
  return `${item.decision} ${item.agent === undefined ? '' : `${item.agent}/`}${sayRule(item)}`;
}

/** Hides user and password of a URL, and its query, where keys are put too. */
export function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^/]*@/, '//***@').replace(/(:\/\/[^?]*)\?.*$/s, '$1?***');
}

const SHOWN_LENGTH = 80;

/** What was found in the place of a value, where it is no secret. */
export function quoted(raw: unknown): string {
  const isPlain = typeof raw !== 'object' || raw === null;
  const text = typeof raw === 'string' ? withoutSecrets(raw) : isPlain ? String(raw) : JSON.stringify(raw);
  return JSON.stringify(text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text);
}
