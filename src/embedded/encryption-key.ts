/** What secrets in the embedded database are sealed with: a file in the data directory that nobody else reads. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '../store/database.ts';
import { unopened } from '../store/sealed-rows.ts';
import { Sealing } from '../store/sealing.ts';
import { dataDirError } from './data-dir.ts';

const KEY_BYTES = 32;

/**
 * In base64. Made where there is none; whatever the settings say of a server's, what is sealed stays so by this one. The caller has the
 * directory for itself.
 *
 * @throws UserError `data_dir` where the file holds no key.
 */
export function openEncryptionKey(dataDir: string): string {
  const path = join(dataDir, 'encryption-key');
  if (!existsSync(path)) writeKey(path);
  const key = readFileSync(path, 'utf8').trim();
  if (Buffer.from(key, 'base64').length === KEY_BYTES) return key;
  throw dataDirError(
    dataDir,
    `has a damaged encryption-key (expected ${KEY_BYTES} bytes in base64)`,
    'put back the one it had, or delete it: the next start makes another, and says what to do with webhooks that it does not open',
  );
}

/** What to do about secrets that `key` does not open, in a sentence: all else works without them. Undefined where it opens all. */
export async function unopenedNotice(db: Database, key: string): Promise<string | undefined> {
  const found = await unopened(db, new Sealing([key]));
  if (found === undefined) return undefined;
  return `Another encryption-key than that of this data directory has sealed ${found.what}: put it back, or ${found.cure}.`;
}

/** In one step: half a key would seal nothing that another could open. */
function writeKey(path: string): void {
  const unfinished = `${path}.unfinished`;
  writeFileSync(unfinished, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600, flush: true });
  renameSync(unfinished, path);
}
