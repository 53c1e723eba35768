/** A workspace of several named roots: a directory with a directory for each, and nothing beside them. */
import { join, relative, sep } from 'node:path';
import type { Access } from '../core/workspace.ts';
import { isWithin, resolveInside } from './paths.ts';
import type { Root, Workspace } from './workspace.ts';

export function rootsIn(directory: string, roots: readonly Pick<Root, 'name' | 'access'>[]): readonly Root[] {
  return roots.map(({ name, access }) => ({ name, access, path: join(directory, name) }));
}

/** The root that a path lies in or is; undefined beside them. `path`: absolute and real. */
export function rootAt(
  { root, roots = [] }: Pick<Workspace, 'root' | 'roots'>,
  path: string,
): Root | undefined {
  const [first] = relative(root, path).split(sep);
  return roots.find(({ name }) => name === first);
}

/** The directory that an absolute and real path of the workspace lies in: its root, or one beside that. */
export function holderOf({ root, beside = [] }: Pick<Workspace, 'root' | 'beside'>, path: string): string {
  return beside.find((each) => isWithin(each.path, path))?.path ?? root;
}

/** Why nothing may be written at an absolute and real path; undefined where it may. */
export function refusalAt(workspace: RootsOf, path: string): string | undefined {
  const { root, roots, beside = [] } = workspace.whole ?? workspace;
  const other = beside.find((each) => isWithin(each.path, path));
  if (other !== undefined) return `the directory ${other.name} (${other.path}) may only be read`;
  if (roots === undefined) return undefined;
  const at = rootAt({ root, roots }, path);
  if (at === undefined)
    return `it lies beside the roots of the workspace, where nothing may be: ${sayRoots(roots)}`;
  return at.access === 'read' ? `the root ${at.name} is read-only: ${sayRoots(roots)}` : undefined;
}

type RootsOf = Pick<Workspace, 'root' | 'roots' | 'beside' | 'whole'>;

/** `writable are app and lib, read-only is docs`. */
export function sayRoots(roots: readonly Pick<Root, 'name' | 'access'>[]): string {
  const names = (access: Access) => roots.filter((each) => each.access === access).map(({ name }) => name);
  const [writable, readOnly] = [names('write'), names('read')];
  const first = writable.length === 0 ? 'none is writable' : `writable ${are(writable)}`;
  return readOnly.length === 0 ? first : `${first}, read-only ${are(readOnly)}`;
}

function are(names: readonly string[]): string {
  const last = names.at(-1) ?? '';
  return names.length === 1 ? `is ${last}` : `are ${names.slice(0, -1).join(', ')} and ${last}`;
}

/** One root of several, or a directory beside the root, as a workspace: what paths begin at, while commands are confined as in the whole. */
export function oneRoot(whole: Workspace, { name, path }: Pick<Root, 'name' | 'path'>): Workspace {
  const shown = whole.roots === undefined ? path : join(whole.shown, name);
  const { id, kind, scratch } = whole;
  const resolve = (asked: string) => resolveInside(path, asked, { shown });
  return { id, kind, scratch, whole, shown, root: path, resolve };
}
