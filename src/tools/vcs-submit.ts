import { z } from 'zod';
import { withCoAuthor } from '../core/co-author.ts';
import { type EgressHost, sayEgressHost } from '../core/egress.ts';
import { defineTool, type Tool } from './tool.ts';
import { branchName, commitMessage, pathIn, pathList, remoteName, rootName } from './vcs/names.ts';
import { openVcs } from './vcs/open.ts';

const NETWORK =
  /could not resolve|unable to connect|network is unreachable|connection refused|name resolution|proxy connect|received http code 403 from proxy/i;

/** `hosts`: what a confined program may reach. */
export function vcsSubmitTool(hosts: readonly EgressHost[] = []): Tool {
  return defineTool({
    name: 'vcs_submit',
    description:
      'Publishes commits: git push, hg push, fossil push, jj git push, without force; in Subversion, where to commit is to publish, it ' +
      'commits with message. Only when the task asks for it.',
    parameters: z.strictObject({
      remote: remoteName.optional(),
      branch: branchName.optional(),
      message: commitMessage.optional().describe('Subversion only: of the commit.'),
      paths: pathList.optional().describe('Subversion only: what to commit.'),
      root: rootName,
    }),
    effect: 'external',
    async execute({ remote, branch, message, paths = [], root }, context) {
      const { vcs, copy, workspace } = await openVcs(context, { root, acts: true, egress: hosts });
      const named = await Promise.all(paths.map((path) => pathIn(workspace, path)));
      const words = message === undefined ? undefined : withCoAuthor(message);
      try {
        const said = await vcs.submit(copy, { remote, branch, message: words, paths: named });
        return { text: said.trim() === '' ? 'submitted' : said };
      } catch (error) {
        if (!copy.confined || !(error instanceof Error) || !NETWORK.test(error.message)) throw error;
        error.message += `\nCommands are confined here and reach ${reached(hosts)}: nothing was published. A person can do it.`;
        throw error;
      }
    },
  });
}

function reached(hosts: readonly EgressHost[]): string {
  return hosts.length === 0 ? 'no network' : `only ${hosts.map(sayEgressHost).join(', ')}`;
}
