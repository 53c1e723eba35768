import { lstat } from 'node:fs/promises';
import { visible } from '../workspace/file-tree.ts';
import type { SearchEnd } from '../workspace/ripgrep.ts';
import { FileError } from '../workspace/text-file.ts';
import type { Workspace } from '../workspace/workspace.ts';

export const SEARCH_TIMEOUT_MS = 20_000;

class SearchError extends Error {
  override readonly name = 'SearchError';
}

/** The real path to search in. Throws where it is missing, or a pipe that a search would wait for. */
export async function searchRoot(workspace: Workspace, path: string): Promise<string> {
  const within = await workspace.resolve(path);
  const found = await lstat(within).catch((error: NodeJS.ErrnoException) => {
    throw new FileError(
      `'${visible(path)}' cannot be searched: ${error.code === 'ENOENT' ? 'it does not exist' : error.message}.`,
    );
  });
  if (found.isDirectory() || found.isFile()) return within;
  throw new FileError(`'${visible(path)}' is neither a directory nor a regular file.`);
}

/** Throws where a search brought nothing and says why; else what to add to its results, if anything. */
export function searchNote(end: SearchEnd, hasResults: boolean): string | undefined {
  switch (end.type) {
    case 'done':
    case 'stopped':
      return undefined;
    case 'aborted':
      throw new SearchError('the search was stopped before it ended.');
    case 'timeout':
      if (hasResults) return `(stopped after ${SEARCH_TIMEOUT_MS / 1000} s: there may be more)`;
      throw new SearchError(`nothing was found in ${SEARCH_TIMEOUT_MS / 1000} s; search a smaller part.`);
    case 'failed':
      if (hasResults) return `(not all could be searched: ${end.message})`;
      throw new SearchError(end.message);
  }
}
