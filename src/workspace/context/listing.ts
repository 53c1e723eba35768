import { runRipgrep, type SearchEnd } from '../ripgrep.ts';
import type { Workspace } from '../workspace.ts';

/** Files that are looked at at most: of a huge repository it is a sample. */
export const MAX_LISTED_FILES = 50_000;
export const LISTING_TIMEOUT_MS = 5_000;

/** The files of a workspace, ignored ones and the insides of version control left out. */
export interface Listing {
  /** From the workspace's root, sorted. */
  readonly paths: readonly string[];
  readonly end: SearchEnd;
}

export interface ListingLimits {
  readonly maxFiles?: number;
  readonly timeoutMs?: number;
}

export async function listFiles(workspace: Workspace, limits: ListingLimits = {}): Promise<Listing> {
  const { maxFiles = MAX_LISTED_FILES, timeoutMs = LISTING_TIMEOUT_MS } = limits;
  const paths: string[] = [];
  const end = await runRipgrep({
    workspace,
    within: workspace.root,
    args: ['--files', '--null'],
    separator: '\0',
    onRecord: (path) => {
      if (paths.length >= maxFiles) return false;
      paths.push(path);
      return true;
    },
    timeoutMs,
    signal: new AbortController().signal,
  });
  return { paths: paths.sort(), end };
}
