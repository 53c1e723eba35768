import { z } from 'zod';
import { withCoAuthor } from '../core/co-author.ts';
import { defineTool } from './tool.ts';
import { commitMessage, pathIn, pathList, rootName } from './vcs/names.ts';
import { openVcs } from './vcs/open.ts';
import { describeRevisions } from './vcs/report.ts';

export const vcsCommitTool = defineTool({
  name: 'vcs_commit',
  description:
    'Commits all changes of the project, or those of some paths, new and deleted files included; ignored files are not. Nothing is ' +
    'published. The hooks of the repository run, and may refuse.',
  parameters: z.strictObject({ message: commitMessage, paths: pathList.optional(), root: rootName }),
  effect: 'external',
  effectConfined: 'workspace',
  async execute({ message, paths = [], root }, context) {
    const { vcs, copy, workspace } = await openVcs(context, { root, acts: true });
    const named = await Promise.all(paths.map((path) => pathIn(workspace, path)));
    const id = await vcs.commit(copy, { message: withCoAuthor(message), paths: named });
    const [newest] = await vcs.log(copy, { limit: 1, path: '.' });
    const shown = newest?.id === id ? describeRevisions([newest]) : id;
    return { text: `committed ${shown}` };
  },
});
