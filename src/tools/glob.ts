import { relative } from 'node:path';
import { z } from 'zod';
import { visible } from '../workspace/file-tree.ts';
import { filePath } from './file-path.ts';
import { pathMatcher } from './path-pattern.ts';
import { SEARCH_TIMEOUT_MS, searchNote, searchRoot } from './search.ts';
import { searchFiles } from './search-files.ts';
import { defineTool } from './tool.ts';

export const MAX_FOUND = 1_000;

export const globTool = defineTool({
  name: 'glob',
  description:
    'Finds files by a pattern such as "src/**/*.ts" or "*.{js,ts}" (a pattern without "/" is for names in any directory). Ignored files are ' +
    'left out, hidden ones are not. Gives paths relative to the workspace root.',
  parameters: z.strictObject({
    pattern: z.string().min(1).describe('With *, ?, [a-z], {a,b} and ** for any number of directories.'),
    path: filePath.default('.').describe('Directory to search, which the pattern is relative to.'),
  }),
  effect: 'read',
  async execute({ pattern, path }, context) {
    const { workspace } = context;
    const within = await searchRoot(workspace, path);
    const prefix = relative(workspace.root, within);
    const start = prefix === '' ? 0 : prefix.length + 1;
    const matches = pathMatcher(pattern.startsWith(`${within}/`) ? pattern.slice(within.length) : pattern);
    const found: string[] = [];
    const end = await searchFiles(context, {
      within,
      args: ['--files', '--null'],
      separator: '\0',
      onRecord: (file) => {
        if (matches(file.slice(start))) found.push(file);
        return true;
      },
      timeoutMs: SEARCH_TIMEOUT_MS,
    });
    const note = searchNote(end, found.length > 0);
    const shown = found.sort().slice(0, MAX_FOUND).map(visible);
    const rest = found.length - shown.length;
    if (shown.length === 0) shown.push(`(no file fits ${pattern})`);
    if (rest > 0) shown.push(`(${rest} more files: use a narrower pattern)`);
    return { text: [...shown, ...(note === undefined ? [] : [note])].join('\n') };
  },
});
