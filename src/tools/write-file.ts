import { z } from 'zod';
import { FileChanges } from '../workspace/file-changes.ts';
import { filePath, findFile } from './file-path.ts';
import { defineTool } from './tool.ts';

export const writeFileTool = defineTool({
  name: 'write_file',
  description:
    'Writes a whole text file: creates it, with missing directories, or replaces all it held. For a change in an existing file use edit_file.',
  parameters: z.strictObject({
    path: filePath,
    content: z.string().describe('The whole text of the file, as it will be, with its last newline.'),
  }),
  effect: 'workspace',
  async execute({ path, content }, { workspace, seen }) {
    const changes = new FileChanges(seen);
    const file = await findFile(workspace, path);
    const done = await changes.replace(file, content);
    await changes.commit();
    const word = done === 'created' ? 'Created' : 'Overwrote';
    return { text: `${word} ${file.shown} (${Buffer.byteLength(content)} bytes).` };
  },
});
