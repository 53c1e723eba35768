/** Whole tool outputs, and images that tools returned, stored once by content. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip, gunzip, gzip } from 'node:zlib';
import type { Database } from './database.ts';
import { readLogParts } from './session-log.ts';

const compress = promisify(gzip);

const decompress = promisify(gunzip);

/** Stores an output of a session before the commit that names it. Returns its SHA-256, hexadecimal. */
export async function putOutput(db: Database, sessionId: string, text: string): Promise<string> {
  const bytes = Buffer.from(text, 'utf8');
  return put(db, sessionId, { bytes, body: await compress(bytes) });
}

/** As `putOutput`, of an image: the formats compress by themselves. */
export async function putImage(db: Database, sessionId: string, bytes: Uint8Array): Promise<string> {
  return put(db, sessionId, { bytes, body: await compress(bytes, { level: 0 }) });
}

/**
 * The output and that the session uses it, in one commit, so that whoever deletes another session with the same output finds it used
 * before anything names it. Where that one is at it now, the row is locked: this waits, and stores the output anew if it went.
 */
async function put(
  db: Database,
  sessionId: string,
  { bytes, body }: { readonly bytes: Uint8Array; readonly body: Uint8Array },
): Promise<string> {
  const hash = createHash('sha256').update(bytes).digest();
  await db.sql`
    WITH stored AS (
      INSERT INTO output (hash, size, body) VALUES (${hash}, ${bytes.length}, ${body})
      ON CONFLICT (hash) DO UPDATE SET size = excluded.size WHERE false)
    INSERT INTO output_use (output_hash, session_id) VALUES (${hash}, ${sessionId}) ON CONFLICT DO NOTHING`;
  return hash.toString('hex');
}

/**
 * Forgets outputs that were stored for a session which is not there: its task was refused, or it was deleted before its last worker
 * noticed. Not at once, since a session's first files are stored before it is. Returns how many.
 */
export function forgetOutputs(
  db: Database,
  { olderMs, limit }: { readonly olderMs: number; readonly limit: number },
): Promise<number> {
  return db.transition('forget_outputs', olderMs, limit);
}

/** The bytes of stored images, by hash; only of those that are there. */
export async function readImages(db: Database, hashes: readonly string[]): Promise<Map<string, Buffer>> {
  const rows = await db.sql<{ hash: string; body: Uint8Array }>`
    SELECT encode(hash, 'hex') AS hash, body FROM output
     WHERE hash IN (SELECT decode(each, 'hex') FROM unnest(${`{${hashes.join(',')}}`}::text[]) AS each)`;
  const images = await Promise.all(
    rows.map(async ({ hash, body }) => [hash, await decompress(body)] as const),
  );
  return new Map(images);
}

/**
 * A part of a stored output, in UTF-16 code units, and whether there is more. Undefined where the call has none, or is neither of this tree
 * nor of what its log was forked from: nobody reads what another session was told by naming it.
 */
export async function readOutputPage(
  db: Database,
  call: { readonly rootId: string; readonly callId: string },
  range: { readonly offset: number; readonly limit: number },
): Promise<{ readonly text: string; readonly more: boolean } | undefined> {
  const [row] = await db.sql<{ body: Uint8Array; rootId: string; sessionId: string; position: number }>`
    SELECT o.body, s.root_id AS "rootId", s.id AS "sessionId", c.result_position AS position
      FROM tool_call c JOIN session s ON s.id = c.session_id JOIN output o ON o.hash = c.output_hash
     WHERE c.id = ${call.callId}`;
  if (row === undefined) return undefined;
  if (row.rootId !== call.rootId && !(await isInherited(db, call.rootId, row))) return undefined;
  return pageOf(row.body, range);
}

async function isInherited(
  db: Database,
  rootId: string,
  { sessionId, position }: { readonly sessionId: string; readonly position: number },
): Promise<boolean> {
  const parts = await readLogParts(db, rootId);
  return parts.some(
    (part) => part.sessionId === sessionId && position > part.after && position <= (part.last ?? position),
  );
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
