/**
 * What was fetched of a repository, kept on this host for the next session of the same team: a bare git directory per team and URL,
 * in places that one process has at a time (`place.ts`). Nothing of it is ever seen by an agent.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { countPlaces, freshPlace, type Place, type PlaceHost, takeFreePlace } from '../place.ts';

export interface CacheHost extends Omit<PlaceHost, 'directory' | 'owner'> {
  /** Capybara's own directory on this machine, absolute. */
  readonly dataDir: string;
  /** How long another session is waited for that works with the same repository; then it is fetched beside. */
  readonly waitMs: number;
  /** What all of them may take; those that were used last stay. */
  readonly cacheBytes: number;
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
/** What `stat` counts in. */
const BLOCK_BYTES = 512;

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

/**
 * Forgets those that nobody has begun with for long, and of the others those that were used longest ago while all are more than may be.
 * None that somebody has: who begins with one of them once more fetches it again.
 */
export async function forgetUnused(host: Omit<CacheHost, 'waitMs'>): Promise<void> {
  const kept: Kept[] = [];
  for (const cache of await cachesIn(join(host.dataDir, 'repositories'))) {
    if (cache.directory.endsWith(FORGOTTEN)) await remove(cache.directory);
    else if (cache.usedMs >= Date.now() - KEPT_MS || !(await forget({ ...host, ...cache }))) kept.push(cache);
  }
  const bytes = new Map<Kept, number>();
  for (const cache of kept) bytes.set(cache, await bytesIn(cache.directory));
  let all = [...bytes.values()].reduce((sum, each) => sum + each, 0);
  for (const cache of kept.sort((a, b) => a.usedMs - b.usedMs)) {
    if (all <= host.cacheBytes) return;
    if (await forget({ ...host, ...cache })) all -= bytes.get(cache) ?? 0;
  }
}

interface Kept {
  readonly directory: string;
  /** Each session that takes a place points to it. */
  readonly usedMs: number;
}

async function cachesIn(root: string): Promise<Kept[]> {
  const teams = (await entriesOf(root)).map((team) => join(root, team));
  const directories = await Promise.all(
    teams.map(async (team) => (await entriesOf(team)).map((name) => join(team, name))),
  );
  const usedMs = (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return directories.flat().flatMap((directory) => {
    const used = usedMs(directory);
    return used === undefined ? [] : [{ directory, usedMs: used }];
  });
}

/** On the disk. */
export async function bytesIn(directory: string): Promise<number> {
  let sum = 0;
  for (const entry of await entriesOf(directory, { recursive: true })) {
    const stats = await lstat(join(directory, entry)).catch(orNone);
    sum += (stats?.blocks ?? 0) * BLOCK_BYTES;
  }
  return sum;
}

/** None where it is gone by now. */
async function entriesOf(directory: string, options: { readonly recursive?: true } = {}): Promise<string[]> {
  return (await readdir(directory, { ...options, encoding: 'utf8' }).catch(orNone)) ?? [];
}

function orNone(error: NodeJS.ErrnoException): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(error.code ?? '')) throw error;
}

/** False: somebody has it. */
async function forget(host: Omit<CacheHost, 'waitMs'> & PlaceHost): Promise<boolean> {
  const { place } = takeFreePlace(host, '');
  if (place === undefined) return false;
  if (countPlaces(host.directory) > 1) {
    place.release();
    return false;
  }
  const forgotten = `${host.directory}.${randomBytes(6).toString('hex')}${FORGOTTEN}`;
  renameSync(host.directory, forgotten);
  await remove(forgotten);
  return true;
}

function remove(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 3 });
}
