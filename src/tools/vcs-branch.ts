import { z } from 'zod';
import { defineTool } from './tool.ts';
import { branchName, rootName } from './vcs/names.ts';
import { openVcs } from './vcs/open.ts';
import { describeBranches } from './vcs/report.ts';
import { VcsError } from './vcs/vcs.ts';

export const vcsBranchTool = defineTool({
  name: 'vcs_branch',
  description:
    'Lists the branches of the project (* marks the one it is on), begins one here and goes on in it, or switches to one.',
  parameters: z.strictObject({
    action: z.enum(['list', 'create', 'switch']).default('list'),
    name: branchName.optional(),
    root: rootName,
  }),
  effect: 'external',
  effectConfined: 'workspace',
  async execute({ action, name, root }, context) {
    const { vcs, copy } = await openVcs(context, { root, acts: action !== 'list' });
    if (action === 'list') return { text: describeBranches(await vcs.branches(copy)) };
    if (name === undefined) throw new VcsError(`To ${action} a branch takes its name; give name.`);
    await (action === 'create' ? vcs.createBranch(copy, name) : vcs.switchTo(copy, name));
    return { text: `${action === 'create' ? 'began' : 'switched to'} branch ${name}` };
  },
});
