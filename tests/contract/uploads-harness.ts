/** Packs as nobody's client writes them. */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';

export type PackObject =
  | { readonly type: 'tree' | 'blob'; readonly content: Buffer }
  /** As it stands in the pack, header and all. */
  | { readonly raw: Buffer };

/** `count`: what the header says; the truth where left out. */
export function packOf(
  objects: readonly PackObject[],
  { count = objects.length, trail = Buffer.alloc(0) } = {},
) {
  const header = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1');
  header.writeUInt32BE(count, 8);
  const body = Buffer.concat([header, ...objects.map(packed), trail]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

function packed(object: PackObject): Buffer {
  if ('raw' in object) return object.raw;
  const { type, content } = object;
  return Buffer.concat([objectHeader(type === 'tree' ? 2 : 3, content.length), deflateSync(content)]);
}

export function objectHeader(type: number, size: number): Buffer {
  const bytes = [(type << 4) | (size % 16)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 0x80;
    bytes.push(rest % 128);
  }
  return Buffer.from(bytes);
}

export function nameOf({ type, content }: { type: 'tree' | 'blob'; content: Buffer }): string {
  return createHash('sha1').update(`${type} ${content.length}\0`).update(content).digest('hex');
}

export type Entry = readonly [
  mode: string,
  name: string,
  object: { type: 'tree' | 'blob'; content: Buffer } | string,
];

/** A tree with these entries, as they are. */
export function treeOf(...entries: readonly Entry[]): { type: 'tree'; content: Buffer } {
  const parts = entries.flatMap(([mode, name, object]) => [
    Buffer.from(`${mode} ${name}\0`, 'latin1'),
    Buffer.from(typeof object === 'string' ? object : nameOf(object), 'hex'),
  ]);
  return { type: 'tree', content: Buffer.concat(parts) };
}

export function blobOf(content: string | Buffer): { type: 'blob'; content: Buffer } {
  return { type: 'blob', content: Buffer.from(content) };
}

export const MANIFEST = { format: 1, kept: {}, leftOut: {} };

interface Parts {
  readonly main: ReturnType<typeof treeOf>;
  /** What stands below `main`, and is sent too. */
  readonly below?: readonly PackObject[];
  readonly metadata?: ReturnType<typeof treeOf>;
  readonly manifest?: unknown;
  readonly top?: readonly Entry[];
}

/** A snapshot around a root's tree, and the pack with all of it. */
export function snapshotOf({
  main,
  below = [],
  metadata,
  manifest = { ...MANIFEST, kept: { main: [] } },
  top = [],
}: Parts) {
  const files = treeOf(['40000', 'main', main]);
  const meta = metadata === undefined ? treeOf() : treeOf(['40000', 'main', metadata]);
  const said = blobOf(typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  const root = treeOf(
    ['40000', 'files', files],
    ['100644', 'manifest', said],
    ['40000', 'metadata', meta],
    ...top,
  );
  const objects = [root, files, main, meta, said, ...(metadata ? [metadata] : []), ...below];
  return { snapshot: nameOf(root), pack: packOf(unique(objects)), objects: unique(objects) };
}

/** One of each. */
export function unique(objects: readonly PackObject[]): PackObject[] {
  const seen = new Map(
    objects.map((each) => ['raw' in each ? each.raw.toString('hex') : nameOf(each), each]),
  );
  return [...seen.values()];
}
