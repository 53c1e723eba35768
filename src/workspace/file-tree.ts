import { LISTING_TIMEOUT_MS, type Listing, listFiles, MAX_LISTED_FILES } from './context/listing.ts';
import type { SearchEnd } from './ripgrep.ts';
import type { Workspace } from './workspace.ts';

export interface TreeLimits {
  /** Lines of the tree. */
  readonly maxEntries?: number;
  /** Levels below the root that are spelled out. */
  readonly maxDepth?: number;
  /** Files that are looked at at most: the tree of a huge repository is a sample. */
  readonly maxFiles?: number;
  readonly timeoutMs?: number;
}

export const TREE_DEFAULTS = {
  ...{ maxEntries: 200, maxDepth: 4 },
  ...{ maxFiles: MAX_LISTED_FILES, timeoutMs: LISTING_TIMEOUT_MS },
} as const;

interface Directory {
  files: number;
  readonly children: Map<string, Directory | undefined>;
}

/**
 * The files of a workspace as an indented list, ignored ones left out: as many whole levels as fit, with the number of files
 * under each directory that is not spelled out.
 */
export async function fileTree(workspace: Workspace, limits: TreeLimits = {}): Promise<string> {
  return treeOf(await listFiles(workspace, { ...TREE_DEFAULTS, ...limits }), limits);
}

export function treeOf({ paths, end }: Listing, limits: TreeLimits = {}): string {
  const { maxEntries, maxDepth } = { ...TREE_DEFAULTS, ...limits };
  const root: Directory = { files: 0, children: new Map() };
  for (const path of paths) add(root, path.split('/'));
  if (root.files === 0)
    return end.type === 'failed' ? `(cannot be read: ${visible(end.message)})` : '(no files)';
  const lines = render(root, deepest(root, maxEntries, maxDepth));
  const shown = lines.slice(0, maxEntries);
  const rest = lines.length - shown.length;
  return [...shown, ...(rest > 0 ? [`... and ${rest} more here`] : []), ...remark(end, root.files)].join(
    '\n',
  );
}

function remark(end: SearchEnd, files: number): string[] {
  switch (end.type) {
    case 'done':
      return [];
    case 'failed':
      return [`(not all could be listed: ${visible(end.message)})`];
    default:
      return [`(only the first ${files} files were looked at)`];
  }
}

function add(root: Directory, parts: readonly string[]): void {
  let at = root;
  at.files += 1;
  for (const name of parts.slice(0, -1)) {
    const child = at.children.get(name) ?? { files: 0, children: new Map() };
    at.children.set(name, child);
    child.files += 1;
    at = child;
  }
  at.children.set(parts.at(-1) ?? '', undefined);
}

/** The greatest depth whose list fits, and 1 where none does. */
function deepest(root: Directory, maxEntries: number, maxDepth: number): number {
  let depth = 1;
  while (depth < maxDepth && count(root, depth + 1) <= maxEntries) depth += 1;
  return depth;
}

function count(directory: Directory, depth: number): number {
  if (depth === 0) return 0;
  let total = directory.children.size;
  for (const child of directory.children.values()) if (child !== undefined) total += count(child, depth - 1);
  return total;
}

function render(directory: Directory, depth: number, indent = ''): string[] {
  const entries = [...directory.children].sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.flatMap(([name, child]) => {
    if (child === undefined) return [`${indent}${visible(name)}`];
    if (depth === 1)
      return [`${indent}${visible(name)}/ (${child.files} ${child.files === 1 ? 'file' : 'files'})`];
    return [`${indent}${visible(name)}/`, ...render(child, depth - 1, `${indent}  `)];
  });
}

/** A name on one line: control characters as escapes. */
export function visible(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a prompt or a terminal raw
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (char) =>
    JSON.stringify(char).slice(1, -1),
  );
}
