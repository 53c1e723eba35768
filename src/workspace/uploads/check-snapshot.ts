import { z } from 'zod';
import { type BytePath, PathSet } from '../snapshots/byte-path.ts';
import type { Directory } from '../snapshots/file-node.ts';
import { namesOnly } from '../snapshots/pack-writer.ts';
import type { ShadowGit } from '../snapshots/shadow-git.ts';
import { type Manifest, readListing, writeSnapshot } from '../snapshots/snapshot-tree.ts';
import { checkRules } from './check-rules.ts';
import type { UploadLimits } from './limits.ts';
import type { SentObject } from './pack-reader.ts';
import { measure, readTrees, type Trees } from './sent-trees.ts';
import { malformed, tooLarge, UploadError } from './upload-error.ts';

/** The one root that a workspace has. */
const ROOT_NAME = 'main';
/** What Linux takes. */
const NAME_BYTES = 255;
const LINK_BYTES = 4095;
export const MANIFEST_BYTES = 16 * 1024 * 1024;

export interface CheckOptions {
  readonly snapshot: string;
  readonly limits: UploadLimits;
  /** The objects that came with it. All of them have to be part of it. */
  readonly sent: ReadonlyMap<string, SentObject>;
}

/**
 * Whether what was sent is a snapshot, whole and as the engine itself would have written it, which a restore writes below its root and
 * nowhere else. `git` holds it and what it may share. Throws `UploadError`.
 *
 * The form is checked by writing it again: names, order, modes, the place of version control's own files and the manifest all have
 * their part in the id, so another form has another.
 */
export function checkSnapshot(git: ShadowGit, { snapshot, limits, sent }: CheckOptions): void {
  const trees = readTrees(git, snapshot, limits);
  const sizes = sizesOf(git, trees, sent);
  const { entries, bytes, paths } = measure(trees, { snapshot, sizes, limits });
  if (entries > limits.entries) throw tooLarge(`has ${said(entries)} files and directories`, limits.entries);
  if (bytes > limits.filesBytes) throw tooLarge(`unpacks to ${said(bytes)} bytes`, limits.filesBytes);
  if (paths > limits.pathBytes) throw tooLarge(`has paths of ${said(paths)} bytes`, limits.pathBytes);
  for (const hash of sent.keys()) {
    if (!trees.entries.has(hash) && !sizes.has(hash)) throw malformed(`the object ${hash} is no part of it`);
  }
  checkLinks(git, trees, sizes);
  checkForm(git, { snapshot, sizes });
}

/** Beyond what can be counted it is only many. */
function said(count: number): string {
  return Number.isSafeInteger(count) ? String(count) : 'more than 9,000,000,000,000,000';
}

/** Of all blobs. */
function sizesOf(git: ShadowGit, trees: Trees, sent: CheckOptions['sent']): Map<string, number> {
  const sizes = new Map<string, number>();
  const before: string[] = [];
  for (const hash of trees.blobs) {
    const object = sent.get(hash);
    if (object === undefined) before.push(hash);
    else if (object.type === 'blob') sizes.set(hash, object.size);
    else throw malformed(`the directory ${hash} stands where a file has to`);
  }
  for (const { hash, kind } of git.kinds(before)) {
    if (kind?.type !== 'blob') throw incomplete(hash);
    sizes.set(hash, kind.size);
  }
  return sizes;
}

function incomplete(hash: string): UploadError {
  return new UploadError(
    'incomplete',
    `The upload names the object ${hash}, which was not sent and is not in the upload before it: send all of the directory.`,
  );
}

function checkLinks(git: ShadowGit, { links }: Trees, sizes: ReadonlyMap<string, number>): void {
  for (const hash of links) {
    const size = sizes.get(hash) ?? 0;
    if (size === 0 || size > LINK_BYTES) throw malformed(`a symbolic link of ${size} bytes`);
  }
  git.blobs([...links], (hash, target) => {
    if (target?.includes(0)) throw malformed(`the symbolic link ${hash} holds a NUL`);
  });
}

function checkForm(
  git: ShadowGit,
  { snapshot, sizes }: { snapshot: string; sizes: ReadonlyMap<string, number> },
): void {
  const { roots, manifest: name } = listed(git, snapshot);
  const root = roots.get(ROOT_NAME);
  if (root === undefined || roots.size > 1) throw malformed(`it does not have the one root '${ROOT_NAME}'`);
  checkNames(root);
  if (name === undefined) throw malformed('it has no manifest');
  const size = sizes.get(name) ?? 0;
  if (size > MANIFEST_BYTES) throw tooLarge(`has a manifest of ${size} bytes`, MANIFEST_BYTES);
  const manifest = readManifest(git.blob(name));
  const written = writeSnapshot({ roots, manifest }, namesOnly);
  if (written !== snapshot) throw malformed('its directories are not in the form of one');
  checkRules(root, { git, sizes, kept: new PathSet(manifest.kept[ROOT_NAME] ?? []) });
}

function listed(git: ShadowGit, snapshot: string): ReturnType<typeof readListing> {
  const listing = git.listing(snapshot);
  if (listing === undefined) throw malformed('its directories cannot be listed');
  try {
    return readListing(listing);
  } catch (error) {
    throw malformed((error as Error).message);
  }
}

function checkNames(directory: Directory): void {
  for (const [name, node] of directory.children) {
    if (name.length > NAME_BYTES) throw malformed(`a name has ${name.length} bytes`);
    if (node.type === 'directory') checkNames(node);
  }
}

/** Paths from the root, each byte a character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: a path holds any byte but NUL
const path = z.string().regex(/^(?!\/)(?!(.*\/)?\.{0,2}(\/|$))[\u0001-\u00ff]+$/s);
const paths = z.strictObject({ [ROOT_NAME]: z.array(path).optional() });
const ManifestForm = z.strictObject({ format: z.literal(1), kept: paths, leftOut: paths });

function readManifest(content: Buffer): Manifest {
  try {
    const manifest = ManifestForm.parse(JSON.parse(content.toString()));
    return manifest as { format: 1; kept: Record<string, BytePath[]>; leftOut: Record<string, BytePath[]> };
  } catch {
    throw malformed('its manifest cannot be read');
  }
}
