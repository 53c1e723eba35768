import { z } from 'zod';
import { defineTool } from './tool.ts';
import { rootName } from './vcs/names.ts';
import { openVcs } from './vcs/open.ts';
import { describeStatus } from './vcs/report.ts';

export const vcsStatusTool = defineTool({
  name: 'vcs_status',
  description:
    'Shows what is not committed in the project, whichever version control it is under (Git, Mercurial, Subversion, Fossil, Jujutsu): ' +
    'the system, the branch and revision, then a line for each file: M modified, A added, D deleted, R old -> new, U in conflict, ' +
    '? not under version control.',
  parameters: z.strictObject({ root: rootName }),
  effect: 'read',
  async execute({ root }, context) {
    const { vcs, copy } = await openVcs(context, { root });
    return { text: describeStatus(vcs, await vcs.status(copy)) };
  },
});
