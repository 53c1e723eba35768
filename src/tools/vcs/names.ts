/** What calls name, so that no version control takes it for something else. */
import { basename, dirname, join, relative } from 'node:path';
import { z } from 'zod';
import type { Workspace } from '../../workspace/workspace.ts';
import { VcsError } from './vcs.ts';

export const MAX_NAME_CHARS = 200;
export const MAX_MESSAGE_CHARS = 20_000;
export const MAX_PATHS = 200;

/** Control characters and spaces have no place in the name of a branch or a revision anywhere. */
const NAME = /^[^-\s\p{Cc}][^\s\p{Cc}]*$/u;

const name = z
  .string()
  .max(MAX_NAME_CHARS)
  .regex(NAME, "expected a name that does not begin with '-' and has no spaces or control characters");

export const branchName = name.describe('Name of a branch (in Jujutsu, of a bookmark).');
export const revisionName = name.describe(
  'A revision as the version control names it, such as HEAD~1, a commit id, or a number of Subversion.',
);
export const remoteName = z
  .string()
  .max(MAX_NAME_CHARS)
  .regex(/^[A-Za-z0-9_][\w./-]*$/, 'expected the name of a configured remote, not a URL')
  .describe('Name of a configured remote; left out: the default one.');
export const commitMessage = z
  .string()
  .min(1)
  .max(MAX_MESSAGE_CHARS)
  .regex(/\S/, 'expected a message with words in it')
  .describe('First line: what changes, in one sentence. The trailer that names you is added.');
export const rootName = z
  .string()
  .optional()
  .describe('Which root, where the workspace has several; paths then begin there.');
export const pathList = z
  .array(z.string().min(1))
  .min(1)
  .max(MAX_PATHS)
  .describe('Files or directories, relative to the workspace root; left out: all of it.');

/**
 * The path from the workspace's root. A link at its end is meant itself, not what it leads to. Throws `WorkspacePathError` where
 * it is outside.
 */
export async function pathIn(workspace: Workspace, path: string): Promise<string> {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what no line of a result could show
  if (/[\u0000\n\r]/.test(path))
    throw new VcsError('A path with NUL or a line break cannot be named to a version control.');
  const inside = await workspace.resolve(path);
  const last = basename(path);
  if (inside === workspace.root || last === '..' || last === '.' || path.endsWith('/'))
    return relative(workspace.root, inside) || '.';
  const parent = await workspace.resolve(dirname(path));
  return relative(workspace.root, join(parent, last)) || '.';
}
