/** Whole tool outputs, stored once by content. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip, gzip } from 'node:zlib';
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

/**
 * A part of a stored output, in UTF-16 code units, and whether there is more. Undefined where the call has none, or is not of this tree: nobody
 * reads what another session was told by naming it.
 */
export async function readOutputPage(
  db: Database,
  call: { readonly rootId: string; readonly callId: string },
  range: { readonly offset: number; readonly limit: number },
): Promise<{ readonly text: string; readonly more: boolean } | undefined> {
  const [row] = await db.sql<{ body: Uint8Array }>`
    SELECT o.body FROM tool_call c JOIN session s ON s.id = c.session_id JOIN output o ON o.hash = c.output_hash
     WHERE c.id = ${call.callId} AND s.root_id = ${call.rootId}`;
  return row === undefined ? undefined : pageOf(row.body, range);
}

/** Decompresses as far as the page goes. */
async function pageOf(gzipped: Uint8Array, { offset, limit }: { offset: number; limit: number }) {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const stream = Readable.from([gzipped]).pipe(createGunzip());
  let passed = 0;
  let text = '';
  for await (const chunk of stream) {
    const piece = decoder.decode(chunk as Buffer, { stream: true });
    text += piece.slice(Math.max(0, offset - passed));
    passed += piece.length;
    if (text.length > limit) return { text: text.slice(0, limit), more: true };
  }
  return { text, more: false };
}
