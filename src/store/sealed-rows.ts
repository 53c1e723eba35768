/** All that Postgres keeps sealed: whether it can be opened here, and sealed anew with another key. */
import { UserError } from '../core/errors.ts';
import { connect } from './connect.ts';
import type { Database } from './database.ts';
import { KEY_ID, type SealedPlace, Sealing, wrongEncryptionKey } from './sealing.ts';

interface SealedColumn {
  readonly table: SealedPlace['table'];
  readonly column: string;
  /** What one of them is, and several are, for a person. */
  readonly one: string;
  readonly several: string;
  /** What to do where the key is gone for good. */
  readonly cure: string;
}

const SEALED_COLUMNS: readonly SealedColumn[] = [
  {
    ...{ table: 'webhook', column: 'secret' },
    ...{ one: 'the secret of one webhook', several: 'the secrets of # webhooks' },
    cure: 'remove each with `capybara webhooks remove` and then make it anew',
  },
  {
    ...{ table: 'mcp_server', column: 'settings' },
    ...{ one: 'one MCP server of a team', several: '# MCP servers of teams' },
    cure: 'remove each with `capybara mcp remove` and then add it anew',
  },
  {
    ...{ table: 'mcp_sign_in', column: 'secret' },
    ...{ one: 'the sign-in at one MCP server', several: 'the sign-ins at # MCP servers' },
    cure: 'sign in anew with `capybara mcp login`',
  },
];

/** `what`: what it is that does not open, for a person. */
export interface Unopened {
  readonly keyId: string;
  readonly count: number;
  readonly what: string;
  readonly cure: string;
}

/** What is sealed with one key that is not here, in one table; undefined where everything opens. */
export async function unopened(db: Database, sealing: Sealing): Promise<Unopened | undefined> {
  for (const { table, column, cure, ...words } of SEALED_COLUMNS) {
    const rows = await db.read<{ keyId: string; count: number }>(`
      SELECT encode(${keyIdIn(column)}, 'hex') AS "keyId", count(*)::int AS count
        FROM ${table} WHERE ${column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC`);
    const unknown = rows.find(({ keyId }) => !sealing.hasKey(keyId));
    if (unknown === undefined) continue;
    const what = unknown.count === 1 ? words.one : words.several.replace('#', `${unknown.count}`);
    return { ...unknown, what, cure };
  }
  return undefined;
}

/** In SQL. */
function keyIdIn(column: string): string {
  return `substring(${column} FROM ${KEY_ID.from + 1} FOR ${KEY_ID.bytes})`;
}

/**
 * A server that could open nothing would find out when it needs it: it does not start. Where nothing is sealed no key is needed.
 *
 * @throws UserError `no_encryption_key`, `wrong_encryption_key`, exit code 3.
 */
export async function checkSealed(db: Database, sealing: Sealing): Promise<void> {
  const unknown = await unopened(db, sealing);
  if (unknown === undefined) return;
  const { keyId, count, what } = unknown;
  const said = `${what.charAt(0).toUpperCase()}${what.slice(1)} ${count === 1 ? 'is' : 'are'}`;
  if (sealing.canSeal) throw wrongEncryptionKey(said, keyId);
  throw new UserError(
    'no_encryption_key',
    `${said} sealed, and CAPYBARA_ENCRYPTION_KEY is not set: set it to what it was when they were made.`,
    3,
  );
}

/**
 * Seals with the first key what another has sealed, so that this one can be taken out of the settings. May run beside everything else, and again.
 * Returns how many. The database at `url` is migrated.
 *
 * @throws UserError `wrong_encryption_key` or `seal_broken`, exit code 3; those of `connect`.
 */
export async function sealAnew(url: string, keys: readonly string[]): Promise<number> {
  const sealing = new Sealing(keys);
  const client = await connect(url);
  let count = 0;
  try {
    for (const { table, column } of SEALED_COLUMNS) {
      const { rows } = await client.query<{ id: string; sealed: Buffer }>(
        `SELECT id, ${column} AS sealed FROM ${table} WHERE ${keyIdIn(column)} <> decode($1, 'hex') ORDER BY id`,
        [sealing.keyId],
      );
      for (const { id, sealed } of rows) {
        const anew = sealing.seal(sealing.open(sealed, { table, id }), { table, id });
        // Whoever has written something else meanwhile has sealed it with the new key.
        await client.query(`UPDATE ${table} SET ${column} = $1 WHERE id = $2 AND ${column} = $3`, [
          ...[anew, id, sealed],
        ]);
      }
      count += rows.length;
    }
    return count;
  } finally {
    await client.end();
  }
}
