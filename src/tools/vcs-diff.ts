import { z } from 'zod';
import { filePath } from './file-path.ts';
import { defineTool } from './tool.ts';
import { pathIn, revisionName, rootName } from './vcs/names.ts';
import { openVcs } from './vcs/open.ts';

export const vcsDiffTool = defineTool({
  name: 'vcs_diff',
  description:
    'Shows as a unified diff what is not committed, or how the files differ from a revision. Files that are not under version control ' +
    'are only in vcs_status.',
  parameters: z.strictObject({
    path: filePath.default('.').describe('File or directory, relative to the workspace root.'),
    revision: revisionName.optional(),
    root: rootName,
  }),
  effect: 'read',
  async execute({ path, revision, root }, context) {
    const { vcs, copy, workspace } = await openVcs(context, { root });
    const diff = await vcs.diff(copy, { revision, path: await pathIn(workspace, path) });
    return { text: diff.trim() === '' ? '(no difference)' : diff };
  },
});
