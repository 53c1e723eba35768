import { relative } from 'node:path';
import { z } from 'zod';
import { listFiles } from '../workspace/context/listing.ts';
import { repoMap } from '../workspace/map/repo-map.ts';
import { filePath } from './file-path.ts';
import { defineTool } from './tool.ts';

export const MAP_TOKENS = { least: 200, most: 8_000, usual: 3_000 } as const;

export const repoMapTool = defineTool({
  name: 'repo_map',
  description:
    'Shows what the source files of the workspace define: functions, classes and types, each with its first line and what its comment says. ' +
    'The files that others use most come first. Reads TypeScript, JavaScript, Python, Go, Rust, Java, C, C++, C#, Ruby and PHP.',
  parameters: z.strictObject({
    path: filePath
      .default('.')
      .describe('Directory or file to show; its place among all others decides the order.'),
    query: z
      .string()
      .max(2_000)
      .optional()
      .describe('Words and names that the work is about: files that fit come first.'),
    tokens: z
      .int()
      .min(MAP_TOKENS.least)
      .max(MAP_TOKENS.most)
      .default(MAP_TOKENS.usual)
      .describe('How long the map may be.'),
  }),
  effect: 'read',
  async execute({ path, query = '', tokens }, { workspace, signal }) {
    const shown = relative(workspace.root, await workspace.resolve(path)) || '.';
    const { paths } = await listFiles(workspace);
    const map = await repoMap(workspace, paths, { tokens, focus: query, shown: [shown], signal });
    return { text: map ?? '(no source file that can be mapped; list_dir shows what there is)' };
  },
});
