/** All that Postgres keeps sealed: whether it can be opened here, and sealed anew with another key. */
import { UserError } from '../core/errors.ts';
import { connect } from './connect.ts';
import type { Database } from './database.ts';
import { KEY_ID, Sealing, wrongEncryptionKey } from './sealing.ts';

const COUNTED = `
  SELECT encode(substring(secret FROM ${KEY_ID.from + 1} FOR ${KEY_ID.bytes}), 'hex') AS "keyId", count(*)::int AS count
    FROM webhook WHERE secret IS NOT NULL GROUP BY 1 ORDER BY 2 DESC`;

/** Of how many webhooks the secret is sealed with one key that is not here, and the id of that; undefined where all of them open. */
export async function unopened(
  db: Database,
  sealing: Sealing,
): Promise<{ readonly keyId: string; readonly count: number } | undefined> {
  const rows = await db.read<{ keyId: string; count: number }>(COUNTED);
  return rows.find(({ keyId }) => !sealing.hasKey(keyId));
}

/**
 * A server that could open nothing would find out with the next delivery: it does not start. Where nothing is sealed no key is needed.
 *
 * @throws UserError `no_encryption_key`, `wrong_encryption_key`, exit code 3.
 */
export async function checkSealed(db: Database, sealing: Sealing): Promise<void> {
  const unknown = await unopened(db, sealing);
  if (unknown === undefined) return;
  const { keyId, count } = unknown;
  const what = count === 1 ? 'The secret of one webhook is' : `The secrets of ${count} webhooks are`;
  if (sealing.canSeal) throw wrongEncryptionKey(what, keyId);
  throw new UserError(
    'no_encryption_key',
    `${what} sealed, and CAPYBARA_ENCRYPTION_KEY is not set: set it to what it was when they were made.`,
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
  try {
    const { rows } = await client.query<{ id: string; secret: Buffer }>(SEALED_OTHERWISE, [sealing.keyId]);
    for (const { id, secret } of rows) {
      const place = { table: 'webhook', id } as const;
      const anew = sealing.seal(sealing.open(secret, place), place);
      await client.query('UPDATE webhook SET secret = $1 WHERE id = $2 AND secret = $3', [anew, id, secret]);
    }
    return rows.length;
  } finally {
    await client.end();
  }
}

const SEALED_OTHERWISE = `
  SELECT id, secret FROM webhook
   WHERE substring(secret FROM ${KEY_ID.from + 1} FOR ${KEY_ID.bytes}) <> decode($1, 'hex') ORDER BY id`;
