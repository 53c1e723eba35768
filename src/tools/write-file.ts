import { z } from 'zod';
import { replaceFile } from '../workspace/text-file.ts';
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
  async execute({ path, content }, { workspace }) {
    const done = await replaceFile(await findFile(workspace, path), content);
    const word = done === 'created' ? 'Created' : 'Overwrote';
    return { text: `${word} ${path} (${Buffer.byteLength(content)} bytes).` };
  },
});
