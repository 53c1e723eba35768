/** Teams, their people, their keys and what they did, as commands name and show them. */
import { type AuditRecord, CreateUser, type Key, type Team, type User } from '../api/wire-admin.ts';
import type { Client, Page } from '../client/client.ts';
import { UserError } from '../core/errors.ts';
import { fromPublicId } from '../core/id.ts';
import { beginningWith, MAX_SEARCHED } from './find.ts';
import { table } from './table.ts';
import { oneLine } from './untrusted-text.ts';

/** The id of whom `text` means: `usr_…`, its unambiguous beginning, or a name. Throws `UserError` (exit code 2) where there is nobody. */
export async function findUser(client: Client, text: string): Promise<string> {
  if (fromPublicId('user', text)) return text;
  if (isBeginning('usr', text)) return (await beginningWith(text, (query) => client.users(query))).id;
  const called = text.normalize('NFC');
  let cursor: string | undefined;
  for (let searched = 0; searched < MAX_SEARCHED; ) {
    const { data, nextCursor } = await client.users({ limit: 200, cursor });
    const found = data.find(({ name }) => name === called);
    if (found !== undefined) return found.id;
    searched += data.length;
    if (nextCursor === null) break;
    cursor = nextCursor;
  }
  const name = JSON.stringify(oneLine(text, 60));
  throw new UserError('not_found', `Nobody in your team is called ${name}: see \`capybara users list\`.`);
}

/** The id of the key that `text` means: `key_…` or its unambiguous beginning. */
export async function findKey(client: Client, text: string): Promise<string> {
  if (fromPublicId('key', text)) return text;
  if (isBeginning('key', text)) return (await beginningWith(text, (query) => client.keys(query))).id;
  const found = JSON.stringify(oneLine(text, 20));
  throw new UserError(
    'id_invalid',
    `${found} is not the id of a key: expected key_… or its beginning, as \`capybara keys list\` shows it.`,
  );
}

/** Throws `UserError` (exit code 2) where nobody may be called so. */
export function checkName(flag: string, name: string): void {
  const { success, error } = CreateUser.safeParse({ name });
  if (success) return;
  const found = JSON.stringify(oneLine(name, 60));
  throw new UserError('bad_usage', `${flag} is ${found}: ${error.issues[0]?.message}.`);
}

function isBeginning(prefix: string, text: string): boolean {
  return new RegExp(`^${prefix}_[0-9a-f]{1,32}$`, 'i').test(text);
}

export function keysTable({ data, nextCursor }: Page<Key>): string {
  const rows = data.map((key) => [
    ...[key.id, key.prefix, key.name, key.userName, key.scopes.join(' ')],
    ...[key.expiresAt ?? 'never', key.lastUsedAt ?? 'never'],
  ]);
  const heading = ['ID', 'KEY', 'NAME', 'WHOSE', 'FOR', 'EXPIRES', 'LAST USED'];
  return rows.length === 0 ? 'No keys.\n' : table(heading, rows) + moreLine(nextCursor);
}

export function usersTable({ data, nextCursor }: Page<User>): string {
  const rows = data.map(({ id, name, createdAt, leftAt }) => [id, name, createdAt, leftAt ?? '–']);
  return rows.length === 0 ? 'Nobody.\n' : table(['ID', 'NAME', 'CAME', 'LEFT'], rows) + moreLine(nextCursor);
}

export function teamsTable(data: readonly Team[]): string {
  const rows = data.map(({ id, name, operates, createdAt }) => [
    id,
    name,
    operates ? 'yes' : 'no',
    createdAt,
  ]);
  return table(['ID', 'NAME', 'RUNS CAPYBARA', 'CREATED'], rows);
}

export function auditTable({ data, nextCursor }: Page<AuditRecord>): string {
  const rows = data.map(({ at, userName, keyName, action, subject, status }) => [
    ...[at, userName, keyName, action, subject ?? '–'],
    status === null ? 'not answered' : String(status),
  ]);
  const heading = ['WHEN', 'WHO', 'KEY', 'ASKED FOR', 'ABOUT', 'ANSWER'];
  return rows.length === 0 ? 'Nothing was asked for.\n' : table(heading, rows) + moreLine(nextCursor);
}

function moreLine(nextCursor: string | null): string {
  return nextCursor === null ? '' : '\nOlder ones are not shown: see --limit.\n';
}

/** Of a new key, beside the key itself. */
export function keyText({
  id,
  userName,
  scopes,
  expiresAt,
}: Pick<Key, 'id' | 'userName' | 'scopes' | 'expiresAt'>): string {
  const until = expiresAt === null ? '' : `, until ${expiresAt}`;
  const whose = oneLine(userName, 60);
  return `Key ${id} of ${whose}, for ${scopes.join(', ')}${until}: keep it, it is not shown again.`;
}
