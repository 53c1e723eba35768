/**
 * What was fetched of a repository, kept on this host for the next session of the same team: a bare git directory per team and URL,
 * in places that one process has at a time (`place.ts`). Nothing of it is ever seen by an agent.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { countPlaces, freshPlace, type Place, type PlaceHost, takeFreePlace } from '../place.ts';

export interface CacheHost extends Omit<PlaceHost, 'directory' | 'owner'> {
  /** Capybara's own directory on this machine, absolute. */
  readonly dataDir: string;
  /** How long another session is waited for that works with the same repository; then it is fetched beside. */
  readonly waitMs: number;
  onError(error: unknown): void;
}

/** In hand until `release`. */
export interface Cache {
  /** The git directory; it may not be one yet. */
  readonly directory: string;
  /** Beside it: empty, for the clone. */
  readonly staging: string;
  /** Forgets everything: something in it is not as it should be. */
  clear(): Promise<void>;
  release(): Promise<void>;
}

const POLL_MS = 100;
/** How long what was fetched is kept after a session last began with it. */
export const KEPT_MS = 30 * 24 * 60 * 60_000;
const FORGOTTEN = '.old';

export async function takeCache(
  host: CacheHost,
  { teamId, url, signal }: { readonly teamId: string; readonly url: string; readonly signal: AbortSignal },
): Promise<Cache> {
  const name = createHash('sha256').update(url).digest('hex').slice(0, 40);
  const team = join(host.dataDir, 'repositories', teamId);
  mkdirSync(team, { recursive: true, mode: 0o700 });
  // The worker's own: nobody whom files of sessions are given to has it.
  const place = await placeIn({ ...host, directory: join(team, name), owner: undefined }, signal);
  forgetUnused(host).catch(host.onError);
  const [directory, staging] = [place.files, join(place.path, 'clone')];
  const cache = {
    ...{ directory, staging },
    clear: async () => {
      for (const entry of await readdir(directory)) await remove(join(directory, entry));
    },
    release: async () => {
      await remove(staging).catch(host.onError);
      place.release();
    },
  };
  try {
    await remove(staging);
    mkdirSync(staging);
    return cache;
  } catch (error) {
    await cache.release();
    throw error;
  }
}

async function placeIn(host: CacheHost & PlaceHost, signal: AbortSignal): Promise<Place> {
  const until = performance.now() + host.waitMs;
  for (;;) {
    const { place, spare } = takeFreePlace(host, '');
    for (const path of spare) remove(path).catch(host.onError);
    if (place !== undefined) return place;
    if (countPlaces(host.directory) === 0 || performance.now() >= until) return freshPlace(host);
    await delay(POLL_MS, undefined, { signal });
  }
}

/** Those that nobody has begun with for long, and nobody has: who does once more fetches it again. */
async function forgetUnused(host: CacheHost): Promise<void> {
  const root = join(host.dataDir, 'repositories');
  for (const team of await readdir(root)) {
    for (const name of await readdir(join(root, team))) {
      const directory = join(root, team, name);
      if (name.endsWith(FORGOTTEN)) await remove(directory);
      else if (isUnused(directory)) await forget({ ...host, directory });
    }
  }
}

/** Each session that takes a place points to it. */
function isUnused(directory: string): boolean {
  const stats = statSync(directory, { throwIfNoEntry: false });
  return stats !== undefined && stats.mtimeMs < Date.now() - KEPT_MS;
}

async function forget(host: CacheHost & PlaceHost): Promise<void> {
  const { place } = takeFreePlace(host, '');
  if (place === undefined) return;
  if (countPlaces(host.directory) > 1) return place.release();
  const forgotten = `${host.directory}.${randomBytes(6).toString('hex')}${FORGOTTEN}`;
  renameSync(host.directory, forgotten);
  await remove(forgotten);
}

function remove(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 3 });
}
