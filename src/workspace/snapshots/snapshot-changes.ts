/** What a snapshot holds, from what another holds and where git says that the two differ: directories that do not are shared. */
import { isMetadata } from '../../core/metadata-name.ts';
import type { BytePath } from './byte-path.ts';
import type { Directory, FileMode, FileNode } from './file-node.ts';
import { MARK, nameTree, newDirectory } from './snapshot-tree.ts';

interface Change {
  readonly isGone: boolean;
  readonly mode: string;
  readonly hash: string;
  readonly part: 'files' | 'metadata';
  /** Empty of what is no file of one. */
  readonly root: string;
  readonly names: readonly BytePath[];
}

const DIRECTORY = '040000';

/** `diff`: from `git diff-tree -r -t --raw --no-abbrev --no-renames -z`. Also the names of all objects that are new. */
export function changedRoots(
  roots: ReadonlyMap<string, Directory>,
  diff: Buffer,
): { readonly roots: Map<string, Directory>; readonly hashes: string[] } {
  const changes = changesIn(diff.toString('latin1'));
  const changed = new Changed(roots);
  const inRoots = changes.filter((each) => each.root !== '');
  for (const each of inRoots) if (each.isGone) changed.remove(each);
  for (const each of inRoots) if (!each.isGone) changed.put(each);
  return { roots: changed.roots, hashes: changes.filter(({ isGone }) => !isGone).map(({ hash }) => hash) };
}

function changesIn(raw: string): Change[] {
  const parts = raw.split('\0');
  const changes: Change[] = [];
  for (let at = 0; parts[at]?.startsWith(':'); at += 2) {
    const [, mode = '', , hash = '', status] = (parts[at] ?? '').split(' ');
    const [part, top = '', ...names] = (parts[at + 1] ?? '').split('/');
    const root = part === 'files' || part === 'metadata' ? top : '';
    const isFiles = part === 'files';
    changes.push({
      ...{ isGone: status === 'D', mode, hash, root, part: isFiles ? part : 'metadata' },
      names: isFiles ? names : names.map((name) => name.slice(MARK.length)),
    });
  }
  return changes;
}

class Changed {
  readonly roots: Map<string, Directory>;
  /** Those that no other snapshot shares. */
  readonly #own = new Set<Directory>();

  constructor(roots: ReadonlyMap<string, Directory>) {
    this.roots = new Map(roots);
  }

  /** With a directory goes all that is in it, version control's own too, of which it is said again. */
  remove({ part, root, names }: Change): void {
    if (!this.#has(root, names)) return;
    const name = names.at(-1);
    if (part === 'metadata' && !names.some(isMetadata)) this.#forgetMetadata(this.#directory(root, names));
    else if (name === undefined) this.roots.delete(root);
    else this.#directory(root, names.slice(0, -1)).children.delete(name);
  }

  put({ part, root, names, mode, hash }: Change): void {
    const name = names.at(-1);
    if (mode === DIRECTORY) {
      nameTree(this.#directory(root, names), hash, { part, isInside: names.some(isMetadata) });
    } else if (name !== undefined) {
      const file = { type: 'file', mode: mode as FileMode, hash } as const;
      this.#directory(root, names.slice(0, -1)).children.set(name, file);
    }
  }

  #forgetMetadata(directory: Directory): void {
    if (directory.trees !== undefined) directory.trees = { ...directory.trees, metadata: undefined };
  }

  #has(root: string, names: readonly BytePath[]): boolean {
    let node: FileNode | undefined = this.roots.get(root);
    for (const name of names) node = node?.type === 'directory' ? node.children.get(name) : undefined;
    return node !== undefined;
  }

  #directory(root: string, names: readonly BytePath[]): Directory {
    let at = this.#owned(this.roots.get(root), (directory) => this.roots.set(root, directory));
    for (const name of names) {
      const { children } = at;
      at = this.#owned(children.get(name), (directory) => children.set(name, directory));
    }
    return at;
  }

  #owned(node: FileNode | undefined, keep: (directory: Directory) => void): Directory {
    if (node?.type === 'directory' && this.#own.has(node)) return node;
    const copy: Directory = newDirectory();
    if (node?.type === 'directory') {
      for (const [name, child] of node.children) copy.children.set(name, child);
      if (node.trees !== undefined) copy.trees = node.trees;
    }
    this.#own.add(copy);
    keep(copy);
    return copy;
  }
}
