/** What this machine remembers of the directories that it sent: where to, what, and the session that was begun with it last. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** A directory of this machine, and the server that works on a copy of it. */
export interface SentPlace {
  /** Absolute and real. */
  readonly directory: string;
  readonly url: string;
  /** Capybara's own directory on this machine. */
  readonly dataDir: string;
}

const Sent = z.object({
  workspaceId: z.string(),
  snapshot: z.string(),
  sessionId: z.string().optional(),
});
export type Sent = z.infer<typeof Sent>;

const SentRecord = z.object({
  directory: z.string(),
  /** When old snapshots were let go. */
  prunedAt: z.number(),
  /** By the address of the server; the newest last. */
  servers: z.record(z.string(), Sent),
});
export type SentRecord = z.infer<typeof SentRecord>;

/** Servers that are remembered for a directory. */
export const MAX_SERVERS = 10;

/** The name of a directory's own store and record. */
export function nameOf({ directory }: Pick<SentPlace, 'directory'>): string {
  return createHash('sha256').update(directory).digest('hex').slice(0, 32);
}

/** What cannot be read is as if it had never been: then all is sent again. */
export function readRecord(place: SentPlace): SentRecord {
  try {
    return SentRecord.parse(JSON.parse(readFileSync(fileOf(place), 'utf8')));
  } catch {
    return { directory: place.directory, prunedAt: Date.now(), servers: {} };
  }
}

export function lastSent(place: SentPlace): Sent | undefined {
  return readRecord(place).servers[place.url];
}

/** The session that `--continue` goes on with. */
export function rememberSession(place: SentPlace, sessionId: string): void {
  const sent = lastSent(place);
  if (sent !== undefined) remember(place, { ...sent, sessionId });
}

/** As the newest. Read again before it is written: another command may have sent meanwhile. */
export function remember(place: SentPlace, sent: Sent, prunedAt?: number): void {
  const record = readRecord(place);
  const others = Object.entries(record.servers).filter(([url]) => url !== place.url);
  const servers = Object.fromEntries([...others.slice(1 - MAX_SERVERS), [place.url, sent]]);
  const file = fileOf(place);
  const temporary = `${file}.${randomBytes(6).toString('hex')}`;
  mkdirSync(join(place.dataDir, 'sent'), { recursive: true, mode: 0o700 });
  const text = JSON.stringify({ ...record, servers, prunedAt: prunedAt ?? record.prunedAt });
  writeFileSync(temporary, `${text}\n`, { mode: 0o600 });
  renameSync(temporary, file);
}

function fileOf(place: SentPlace): string {
  return join(place.dataDir, 'sent', `${nameOf(place)}.json`);
}
