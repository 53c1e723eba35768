import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import type { ContextMessage } from '../../src/core/context.ts';
import type { Database } from '../../src/store/database.ts';
import { putImage, putOutput, readImages } from '../../src/store/outputs.ts';
import { ImageCache } from '../../src/worker/image-cache.ts';
import { pngOf } from '../support/images.ts';
import { useStore } from '../support/store.ts';

const store = useStore();
const SESSION = newId();

const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const rows = () => store.db.sql`SELECT encode(hash, 'hex') AS hash, size FROM output ORDER BY created_at`;

function naming(...hashes: string[]): ContextMessage[] {
  const file = { type: 'file', mediaType: 'image/png', name: 'a', bytes: 1, width: 1, height: 1 } as const;
  return hashes.map((hash) => ({
    ...{ role: 'tool', callId: 'a', text: '', isError: false },
    images: [{ ...file, hash }],
  }));
}

/** The store's database, with how many statements it was asked. */
function counted(): { readonly db: Database; readonly asked: () => number } {
  let asked = 0;
  const sql: Database['sql'] = (...query) => {
    asked += 1;
    return store.db.sql(...query);
  };
  return { db: { ...store.db, sql }, asked: () => asked };
}

test('an image is stored once, and read back as it was', async () => {
  const [one, two] = [pngOf({ shade: 1, bytes: 100_000 }), pngOf({ shade: 2 })];
  const hashes = [await putImage(store.db, SESSION, one), await putImage(store.db, SESSION, two)];
  expect(await putImage(store.db, SESSION, one)).toBe(hashes[0]);
  expect(hashes).toEqual([hashOf(one), hashOf(two)]);
  expect(await rows()).toEqual([
    { hash: hashOf(one), size: 100_000 },
    { hash: hashOf(two), size: two.length },
  ]);
  const nothing = '0'.repeat(64);
  const read = await readImages(store.db, [...hashes, nothing]);
  expect([...read.keys()].toSorted()).toEqual(hashes.toSorted());
  expect(read.get(hashOf(one))?.equals(one)).toBe(true);
  expect((await readImages(store.db, [])).size).toBe(0);
});

test('an image whose bytes are also a text is read back whichever came first', async () => {
  const text = 'GIF89a, a text';
  const hash = await putOutput(store.db, SESSION, text);
  expect(await putImage(store.db, SESSION, Buffer.from(text))).toBe(hash);
  expect((await readImages(store.db, [hash])).get(hash)?.toString()).toBe(text);
});

test('a worker remembers the newest images, as many bytes as it may, and reads the others at once', async () => {
  const images = [11, 12, 13].map((shade) => pngOf({ shade, bytes: 300 }));
  const [a = '', b = '', c = ''] = images.map(hashOf);
  for (const image of images) await putImage(store.db, SESSION, image);
  const { db, asked } = counted();
  const cache = new ImageCache(800);
  const read = async (...hashes: string[]) => {
    const before = asked();
    const found = await cache.read(db, naming(...hashes));
    expect([...found.keys()].toSorted()).toEqual([...new Set(hashes)].toSorted());
    for (const [hash, image] of found) expect(hashOf(Buffer.from(image.toString(), 'base64'))).toBe(hash);
    return asked() - before;
  };
  expect(await read()).toBe(0);
  expect(await read(a, b, a)).toBe(1);
  expect(cache.bytes).toBe(800);
  expect(await read(a, b)).toBe(0);
  expect(await read(a)).toBe(0);
  expect(await read(c)).toBe(1);
  expect(cache.bytes).toBe(800);
  // What was asked for longest ago went.
  expect(await read(a, c)).toBe(0);
  expect(await read(a, b, c)).toBe(1);
  expect(await new ImageCache(399).read(db, naming(a))).toHaveProperty('size', 1);
});

test('a worker remembers an image that it stored, and not one that is more than it may', async () => {
  const image = pngOf({ shade: 21, bytes: 300 });
  const { db, asked } = counted();
  for (const [limit, reads] of [
    [400, 0],
    [399, 1],
  ] as const) {
    const cache = new ImageCache(limit);
    const hash = await cache.put(db, SESSION, image);
    const before = asked();
    await cache.read(db, naming(hash));
    expect(asked() - before).toBe(reads);
    expect(cache.bytes).toBe(reads === 0 ? 400 : 0);
  }
});

test('an image that is not there is told by its hash', async () => {
  const hash = '1'.repeat(64);
  await expect(new ImageCache().read(store.db, naming(hash))).rejects.toThrow(
    `the image ${hash} is not in the database`,
  );
});
