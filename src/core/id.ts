/**
 * Ids are UUIDv7 in the database and carry a prefix at the edge, so that a person sees what they hold.
 */
export const ID_PREFIXES = {
  session: 'ses',
  task: 'task',
  turn: 'turn',
  call: 'call',
  team: 'team',
  user: 'usr',
  key: 'key',
  audit: 'aud',
  workspace: 'ws',
  worker: 'wrk',
  output: 'out',
  approval: 'apr',
  rule: 'rule',
  webhook: 'whk',
  delivery: 'dlv',
  schedule: 'sch',
} as const;

export type IdKind = keyof typeof ID_PREFIXES;

/** `0197…-…` → `ses_0197…` (the 32 hexadecimal digits, no dashes). */
export function toPublicId(kind: IdKind, uuid: string): string {
  return `${ID_PREFIXES[kind]}_${uuid.replaceAll('-', '')}`;
}

/** `ses_0197…` → the UUID, or `undefined` where the text is not a whole id of that kind. */
export function fromPublicId(kind: IdKind, text: string): string | undefined {
  const prefix = `${ID_PREFIXES[kind]}_`;
  const digits = text.slice(prefix.length).toLowerCase();
  if (!text.startsWith(prefix) || !/^[0-9a-f]{32}$/.test(digits)) return undefined;
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
