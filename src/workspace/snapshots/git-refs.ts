/** Where the references of a `.git` lead, as a snapshot has it: read here, and not by git, because an agent may have written it. */
import type { BytePath } from './byte-path.ts';
import type { Directory, FileNode, StoredFile } from './file-node.ts';
import { objectName } from './pack-writer.ts';

export interface BlobStore {
  read(hash: string): Buffer;
  write(content: Buffer): string;
}

export interface Reference {
  /** The name of the blob of its file, or of the file that it would be. */
  readonly content: string;
  /** The commit, where it has no file of its own. */
  readonly packed?: string;
}

/** By name; none of them is read, but those that are packed. */
export function referencesOf(
  git: Directory,
  blobs: Pick<BlobStore, 'read'>,
): ReadonlyMap<BytePath, Reference> {
  const references = new Map<BytePath, Reference>();
  for (const line of packedLines(git, blobs)) {
    const [, packed = '', name] = /^([0-9a-f]{40,64}) (refs\/.+)$/.exec(line) ?? [];
    if (name !== undefined) references.set(name, { content: contentName(packed), packed });
  }
  const add = (directory: Directory, path: BytePath) => {
    for (const [name, node] of directory.children) {
      if (node.type === 'directory') add(node, `${path}/${name}`);
      else if (node.type === 'file' && !name.endsWith('.lock'))
        references.set(`${path}/${name}`, { content: node.hash });
    }
  };
  const loose = git.children.get('refs');
  if (loose?.type === 'directory') add(loose, 'refs');
  return references;
}

/** Of the file of a reference that leads to the commit. */
export function contentName(commit: string): string {
  return objectName('blob', contentOf(commit));
}

export function contentOf(commit: string): Buffer {
  return Buffer.from(`${commit}\n`);
}

/** The commit that is checked out; undefined where there is none, or it is written in a way that is not known here. */
export function headOf(git: Directory, blobs: Pick<BlobStore, 'read'>): string | undefined {
  const head = textAt(git, ['HEAD'], blobs)?.trim() ?? '';
  const [, branch] = /^ref: (refs\/[^\n]+)$/.exec(head) ?? [];
  if (branch === undefined) return commitIn(head);
  const loose = commitIn(textAt(git, branch.split('/'), blobs)?.trim() ?? '');
  if (loose !== undefined) return loose;
  const packed = packedLines(git, blobs).find((line) => line.endsWith(` ${branch}`));
  return commitIn(packed?.split(' ')[0] ?? '');
}

function packedLines(git: Directory, blobs: Pick<BlobStore, 'read'>): readonly string[] {
  return textAt(git, ['packed-refs'], blobs)?.split('\n') ?? [];
}

function commitIn(text: string): string | undefined {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text) ? text : undefined;
}

function textAt(
  git: Directory,
  parts: readonly BytePath[],
  blobs: Pick<BlobStore, 'read'>,
): string | undefined {
  const node = fileAt(git, parts);
  return node === undefined || node.mode === '120000' ? undefined : blobs.read(node.hash).toString('latin1');
}

export function fileAt(directory: Directory, parts: readonly BytePath[]): StoredFile | undefined {
  let node: FileNode | undefined = directory;
  for (const part of parts) node = node?.type === 'directory' ? node.children.get(part) : undefined;
  return node?.type === 'file' ? node : undefined;
}
