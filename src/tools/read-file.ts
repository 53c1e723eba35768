import { z } from 'zod';
import { MODEL_MAX_CHARS, MODEL_MAX_LINES } from '../core/truncate.ts';
import { versionOf } from '../workspace/seen-files.ts';
import { readTextFile } from '../workspace/text-file.ts';
import {
  BYTE_ORDER_MARK,
  type FileLines,
  fileLines,
  type LineRange,
  numberedLines,
  startOfLongLine,
} from './file-lines.ts';
import { filePath, findFile } from './file-path.ts';
import { readMedia } from './read-media.ts';
import { defineTool } from './tool.ts';

/** What is made of a file at most, and kept where the model sees it cut in the middle: the whole is on the disk. */
const MOST = { chars: 4 * MODEL_MAX_CHARS, lines: 4 * MODEL_MAX_LINES };
/** Of more, the model gets as much as it sees uncut, with a line that says how to go on. */
const SEEN = { chars: MODEL_MAX_CHARS - 500, lines: MODEL_MAX_LINES - 1 };

export const readFileTool = defineTool({
  name: 'read_file',
  description:
    'Reads a text file, the text of a PDF, or an image (PNG, JPEG, GIF, WebP), which is shown. Every line comes with its number and a tab ' +
    'in front, which are not part of the file. A long result is cut, in the middle or at its end: read the rest with offset and limit. In a PDF these count pages.',
  parameters: z.strictObject({
    path: filePath,
    offset: z.int().min(1).optional().describe('First line to read, counted from 1.'),
    limit: z.int().min(1).optional().describe('How many lines to read; all where left out.'),
  }),
  effect: 'read',
  async execute({ path, offset = 1, limit }, { workspace, seen, signal }) {
    const file = await findFile(workspace, path);
    const media = await readMedia(file, { offset, limit }, signal);
    if (media !== undefined) return media;
    const text = await readTextFile(file);
    seen.note(file.path, versionOf(text));
    if (text === '' || text === BYTE_ORDER_MARK) return { text: `(${file.shown} is an empty file)` };
    const whole = fileLines(text);
    if (offset > whole.total) {
      return {
        text: `Error: OutOfRange: '${file.shown}' has ${whole.total} lines, no line ${offset}.`,
        isError: true,
      };
    }
    const last = Math.min(whole.total, limit === undefined ? whole.total : offset - 1 + limit);
    const { lines, notes } = shown(whole, { first: offset, last });
    return { text: [...lines, ...(notes === '' ? [] : [`(${notes})`])].join('\n') };
  },
});

interface Shown {
  readonly lines: readonly string[];
  readonly notes: string;
}

function shown(file: FileLines, { first, last }: LineRange): Shown {
  const all = numberedLines(file, { first, last }, MOST);
  if (all.length === last - first + 1) return { lines: all, notes: remarks(file, { first, last }) };
  const lines = numberedLines(file, { first, last }, SEEN);
  if (lines.length === 0) return startShown(file, first);
  const end = first + lines.length - 1;
  return { lines, notes: remarks(file, { first, last: end }, `go on with offset ${end + 1}`) };
}

function startShown(file: FileLines, number: number): Shown {
  const { text, shown: chars, length } = startOfLongLine(file, number, SEEN.chars);
  const next = number < file.total ? `; line ${number + 1} begins at offset ${number + 1}` : '';
  const note = `the first ${chars} of ${length} characters of line ${number}: look into it with grep or bash${next}`;
  return { lines: [text], notes: remarks(file, { first: number, last: number }, note) };
}

/** What the numbered lines do not show, but an edit must know. */
function remarks(file: FileLines, { first, last }: LineRange, more = ''): string {
  const notes = [
    first > 1 || last < file.total ? `lines ${first} to ${last} of ${file.total}` : '',
    more,
    file.ends === 'CRLF' ? 'CRLF line endings' : '',
    file.ends === 'mixed' ? 'mixed line endings, CRLF and LF' : '',
    file.hasByteOrderMark ? 'starts with a byte order mark' : '',
    last === file.total && !file.endsWithNewline ? 'no newline at the end of the file' : '',
  ];
  return notes.filter((note) => note !== '').join('; ');
}
