import { z } from 'zod';
import { filePath } from './file-path.ts';
import { defineTool } from './tool.ts';
import { pathIn, rootName } from './vcs/names.ts';
import { openVcs } from './vcs/open.ts';
import { describeRevisions } from './vcs/report.ts';

export const DEFAULT_REVISIONS = 20;
export const MAX_REVISIONS = 500;

export const vcsLogTool = defineTool({
  name: 'vcs_log',
  description:
    'Lists commits, the newest first, from where the project is: a line for each with its id, date, author and the first line of its ' +
    'message.',
  parameters: z.strictObject({
    limit: z.int().min(1).max(MAX_REVISIONS).default(DEFAULT_REVISIONS).describe('Commits at most.'),
    path: filePath.default('.').describe('Only commits that changed this file or directory.'),
    root: rootName,
  }),
  effect: 'read',
  async execute({ limit, path, root }, context) {
    const { vcs, copy, workspace } = await openVcs(context, { root });
    const wanted = { limit, path: await pathIn(workspace, path) };
    return { text: describeRevisions(await vcs.log(copy, wanted)) };
  },
});
