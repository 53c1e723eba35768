import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';

export interface KeptFiles {
  /**
   * Makes them what they were, or not there: first what was not there goes, then `between` is called, then the others come back.
   * Returns the paths of those that it could not.
   */
  putBack(between: () => Promise<void>): Promise<string[]>;
}

type Kept = { readonly content: Buffer; readonly mode: number } | { readonly target: Buffer } | undefined;

/** Remembers files, by the bytes of their paths from a directory, before something changes them that may fail half way. */
export async function keepFiles(directory: string, paths: readonly Buffer[]): Promise<KeptFiles> {
  const places = paths.map((path) => Buffer.concat([Buffer.from(`${directory}/`), path]));
  const kept = await Promise.all(places.map(keep));
  return {
    async putBack(between) {
      const lost: string[] = [];
      const putAll = async (were: boolean) => {
        for (const [index, place] of places.entries()) {
          const old = kept[index];
          if ((old !== undefined) === were)
            await putBack(place, old).catch(() => lost.push(`${paths[index]}`));
        }
      };
      await putAll(false);
      await between();
      await putAll(true);
      return lost;
    },
  };
}

async function keep(place: Buffer): Promise<Kept> {
  const stats = await lstat(place).catch(() => undefined);
  if (stats?.isSymbolicLink()) return { target: await readlink(place, { encoding: 'buffer' }) };
  return stats?.isFile() ? { content: await readFile(place), mode: stats.mode & 0o7777 } : undefined;
}

async function putBack(place: Buffer, kept: Kept): Promise<void> {
  const now = await keep(place);
  if (isSame(now, kept)) return;
  if (kept === undefined) return rm(place);
  await mkdir(place.subarray(0, place.lastIndexOf('/')), { recursive: true });
  if (now === undefined) return write(place, kept);
  // In full beside its place first: where that fails, or is killed, something whole stands there.
  const beside = Buffer.concat([place, Buffer.from(`.${randomBytes(6).toString('hex')}.capybara-kept`)]);
  try {
    await write(beside, kept);
    await rename(beside, place);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

async function write(place: Buffer, kept: Exclude<Kept, undefined>): Promise<void> {
  if ('target' in kept) return symlink(kept.target, place);
  await writeFile(place, kept.content, { flag: 'wx' });
  await chmod(place, kept.mode);
}

function isSame(a: Kept, b: Kept): boolean {
  if (a === undefined || b === undefined) return a === b;
  if ('target' in a) return 'target' in b && a.target.equals(b.target);
  return 'content' in b && a.mode === b.mode && a.content.equals(b.content);
}
