/** Which directory of this machine each upload came from, so that the roots of a session come back to where they were sent from. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { SentPlace } from './sent-record.ts';

/** Uploads that are remembered. */
export const MAX_ORIGINS = 1_000;

/** Directories by the id of what was sent; the newest last. */
const Origins = z.record(z.string(), z.string());

export function rememberOrigin(
  { dataDir, directory }: Pick<SentPlace, 'dataDir' | 'directory'>,
  id: string,
): void {
  const others = Object.entries(readOrigins(dataDir)).filter(([other]) => other !== id);
  const origins = Object.fromEntries([...others.slice(1 - MAX_ORIGINS), [id, directory]]);
  const temporary = `${fileIn(dataDir)}.${randomBytes(6).toString('hex')}`;
  mkdirSync(join(dataDir, 'sent'), { recursive: true, mode: 0o700 });
  writeFileSync(temporary, `${JSON.stringify(origins)}\n`, { mode: 0o600 });
  renameSync(temporary, fileIn(dataDir));
}

/** Undefined where it was sent from another machine, or too long ago. */
export function originOf(dataDir: string, id: string): string | undefined {
  const origins = readOrigins(dataDir);
  return Object.hasOwn(origins, id) ? origins[id] : undefined;
}

/** What cannot be read is as if it had never been. */
function readOrigins(dataDir: string): z.infer<typeof Origins> {
  try {
    return Origins.parse(JSON.parse(readFileSync(fileIn(dataDir), 'utf8')));
  } catch {
    return {};
  }
}

function fileIn(dataDir: string): string {
  return join(dataDir, 'sent', 'origins.json');
}
