/** The key of this user's own command line: a file in the data directory that nobody else reads. */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureEmbeddedKey } from '../store/bootstrap.ts';
import type { Database } from '../store/database.ts';
import { mintKey } from '../store/keys.ts';

export interface OwnKey {
  readonly apiKey: string;
  /** Of its file. */
  readonly path: string;
  /** That it is another one than before, and why. */
  readonly notice?: string;
}

/**
 * Made where there is none. One that was revoked stays so: whoever owns the directory, and with it the database, is let in with another
 * one, and told.
 *
 * @throws UserError `invalid_key` where the file holds no key.
 */
export async function openOwnKey(db: Database, dataDir: string): Promise<OwnKey> {
  const path = join(dataDir, 'api-key');
  if (!existsSync(path)) writeKey(path);
  const kept = readFileSync(path, 'utf8').trim();
  if (await ensureEmbeddedKey(db, kept)) return { apiKey: kept, path };
  const apiKey = writeKey(path);
  await ensureEmbeddedKey(db, apiKey);
  return {
    apiKey,
    path,
    notice: `The key in ${path} was revoked, and stays so: another one is in that file now.`,
  };
}

/** In one step: a command line reads the old one or the new one, whole. */
function writeKey(path: string): string {
  const apiKey = mintKey();
  const unfinished = `${path}.${randomUUID()}`;
  writeFileSync(unfinished, `${apiKey}\n`, { mode: 0o600, flush: true });
  renameSync(unfinished, path);
  return apiKey;
}
