/** Whole tool outputs, stored once by content. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Database } from './database.ts';

const compress = promisify(gzip);

/** Stores an output before the commit that names it. Returns its SHA-256, hexadecimal. */
export async function putOutput(db: Database, text: string): Promise<string> {
  const bytes = Buffer.from(text, 'utf8');
  const hash = createHash('sha256').update(bytes).digest();
  await db.sql`
    INSERT INTO output (hash, size, body) VALUES (${hash}, ${bytes.length}, ${await compress(bytes)}) ON CONFLICT DO NOTHING`;
  return hash.toString('hex');
}
