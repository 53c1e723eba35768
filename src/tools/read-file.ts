import { z } from 'zod';
import { readTextFile } from '../workspace/text-file.ts';
import { filePath, findFile } from './file-path.ts';
import { defineTool } from './tool.ts';

const BYTE_ORDER_MARK = '\ufeff';

export const readFileTool = defineTool({
  name: 'read_file',
  description:
    'Reads a text file. Every line comes with its number and a tab in front, which are not part of the file. ' +
    'A long result is cut in the middle: read the rest with offset and limit.',
  parameters: z.strictObject({
    path: filePath,
    offset: z.int().min(1).optional().describe('First line to read, counted from 1.'),
    limit: z.int().min(1).optional().describe('How many lines to read; all where left out.'),
  }),
  effect: 'read',
  async execute({ path, offset = 1, limit }, { workspace }) {
    const text = await readTextFile(await findFile(workspace, path));
    if (text === '' || text === BYTE_ORDER_MARK) return { text: `(${path} is an empty file)` };
    const lines = splitLines(text);
    if (offset > lines.length) {
      return {
        text: `Error: OutOfRange: '${path}' has ${lines.length} lines, no line ${offset}.`,
        isError: true,
      };
    }
    const last = Math.min(lines.length, limit === undefined ? lines.length : offset - 1 + limit);
    const numbered = lines.slice(offset - 1, last).map((line, index) => `${offset + index}\t${line}`);
    const notes = remarks(text, { offset, last, total: lines.length });
    return { text: [...numbered, ...(notes === '' ? [] : [`(${notes})`])].join('\n') };
  },
});

function splitLines(text: string): string[] {
  const lines = text.replace(BYTE_ORDER_MARK, '').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
}

/** What the numbered lines do not show, but an edit must know. */
function remarks(text: string, range: { offset: number; last: number; total: number }): string {
  const { offset, last, total } = range;
  const ends = text.split('\n').length - 1;
  const windowsEnds = text.split('\r\n').length - 1;
  const notes = [
    offset > 1 || last < total ? `lines ${offset} to ${last} of ${total}` : '',
    windowsEnds > 0 && windowsEnds === ends ? 'CRLF line endings' : '',
    windowsEnds > 0 && windowsEnds < ends ? 'mixed line endings, CRLF and LF' : '',
    text.startsWith(BYTE_ORDER_MARK) ? 'starts with a byte order mark' : '',
    last === total && !text.endsWith('\n') ? 'no newline at the end of the file' : '',
  ];
  return notes.filter((note) => note !== '').join('; ');
}
