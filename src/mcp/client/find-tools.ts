import { z } from 'zod';
import { FIND_TOOLS, findTools, sayFound } from '../../core/found-tools.ts';
import { defineTool, type Tool } from '../../tools/tool.ts';

/** Looks among the tools of servers, where they are too many for a model to be told of all. */
export function findToolsTool(tools: readonly Tool[]): Tool {
  const servers = [...new Set(tools.map(({ name }) => name.split('__')[0]))].join(', ');
  return defineTool({
    name: FIND_TOOLS,
    description:
      `Finds tools of servers (${servers}): there are ${tools.length}, too many to be told of at once. Gives the names of those that fit; from then on they ` +
      'can be called. Ask for what is to be done, in a few words.',
    parameters: z.strictObject({ query: z.string().min(1).max(200).describe('Such as: create issue') }),
    effect: 'read',
    execute: async ({ query }) => ({ text: sayFound(findTools(tools, query), tools.length) }),
  });
}
