import { z } from 'zod';
import { visible } from '../workspace/file-tree.ts';
import type { NamedFile } from '../workspace/text-file.ts';
import type { Workspace } from '../workspace/workspace.ts';

/** The parameter by which every file tool is told a file. */
export const filePath = z
  .string()
  .min(1)
  .describe('Path, relative to the workspace root or absolute inside it.');

/** The file a model means. Throws `WorkspacePathError` where it is outside the workspace. */
export async function findFile(workspace: Workspace, path: string): Promise<NamedFile> {
  return { root: workspace.root, path: await workspace.resolve(path), shown: visible(path) };
}
