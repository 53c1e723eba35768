import { z } from 'zod';
import { visible } from '../workspace/file-tree.ts';
import { filePath } from './file-path.ts';
import { pathMatcher } from './path-pattern.ts';
import { SEARCH_TIMEOUT_MS, searchNote, searchRoot } from './search.ts';
import { searchFiles } from './search-files.ts';
import { defineTool } from './tool.ts';

/** Lines of the result: matches, their context, or files. */
export const MAX_RESULT_LINES = 1_000;
/** Characters of one line that are shown. */
const MAX_COLUMNS = 500;
/** As Linux allows. */
const MAX_PATH_CHARS = 4_096;
/** Of files that are found in a directory: a search reads them, and holds their longest line in memory. */
export const MAX_SEARCHED_MIB = 100;

export const grepTool = defineTool({
  name: 'grep',
  description:
    "Searches the contents of files with a regular expression (ripgrep's syntax, line by line). Ignored and binary files are left out, and those over " +
    `${MAX_SEARCHED_MIB} MiB unless path names one; hidden ones are not. Gives path:line:text, with context path-line-text.`,
  parameters: z.strictObject({
    pattern: z.string().min(1).describe('Regular expression; escape ( ) [ ] { } . * + ? for themselves.'),
    path: filePath.default('.').describe('File or directory to search.'),
    glob: z.string().min(1).optional().describe('Only files that fit, such as "*.ts" or "src/**/*.md".'),
    ignore_case: z.boolean().optional(),
    context: z.int().min(0).max(20).optional().describe('Lines to show before and after each match.'),
    files_only: z.boolean().optional().describe('Only the paths of files that match.'),
  }),
  effect: 'read',
  async execute(args, context) {
    const { workspace } = context;
    const within = await searchRoot(workspace, args.path);
    const fits = args.glob === undefined ? () => true : pathMatcher(args.glob);
    const lines: string[] = [];
    const whole = matchRecords();
    const end = await searchFiles(context, {
      within,
      args: searchArgs(args),
      separator: args.files_only === true ? '\0' : '\n',
      onRecord: (record) => {
        const line = args.files_only === true ? fileLine(record, fits) : matchLine(whole(record), fits);
        if (line === undefined || (line === '--' && (lines.at(-1) ?? '--') === '--')) return true;
        if (lines.length >= MAX_RESULT_LINES) return false;
        lines.push(line);
        return true;
      },
      timeoutMs: SEARCH_TIMEOUT_MS,
    });
    const note = searchNote(end, lines.length > 0);
    if (lines.at(-1) === '--') lines.pop();
    if (lines.length === 0) lines.push('(no match)');
    if (end.type === 'stopped')
      lines.push(`(cut at ${MAX_RESULT_LINES} lines: use a narrower pattern, path or glob)`);
    return { text: [...lines, ...(note === undefined ? [] : [note])].join('\n') };
  },
});

interface SearchArguments {
  readonly pattern: string;
  readonly ignore_case?: boolean | undefined;
  readonly context?: number | undefined;
  readonly files_only?: boolean | undefined;
}

/** The pattern is a part of its option, so one that begins with `-` is no option. */
function searchArgs({ pattern, ignore_case, context, files_only }: SearchArguments): string[] {
  return [
    '--null',
    '--sort=path',
    `--max-filesize=${MAX_SEARCHED_MIB}M`,
    `--regexp=${pattern}`,
    ...(ignore_case === true ? ['--ignore-case'] : []),
    ...(files_only === true
      ? ['--files-with-matches']
      : [
          '--no-heading',
          '--with-filename',
          '--line-number',
          `--max-columns=${MAX_COLUMNS}`,
          '--max-columns-preview',
          `--context=${context ?? 0}`,
        ]),
  ];
}

function fileLine(path: string, fits: (path: string) => boolean): string | undefined {
  return fits(path) ? visible(path) : undefined;
}

const BINARY_MATCH = /^(.*): binary file matches \(.*\)$/s;

/** Puts together what a newline in a path parts: text that is searched holds no NUL, so the first in a record ends its path. */
function matchRecords(): (line: string) => string {
  let begun = '';
  return (line) => {
    const record = begun + line;
    const isWhole = record.includes('\0') || record === '--' || BINARY_MATCH.test(record);
    begun = isWhole ? '' : `${record}\n`.slice(-MAX_PATH_CHARS);
    return isWhole ? record : '';
  };
}

/** With `--null` a line is `path\0number:text`, of context `path\0number-text`, and `--` between groups. */
function matchLine(record: string, fits: (path: string) => boolean): string | undefined {
  const border = record.indexOf('\0');
  if (border === -1) {
    const [, binary] = BINARY_MATCH.exec(record) ?? [];
    return binary === undefined ? record || undefined : `${visible(binary)}: a binary file that matches`;
  }
  const path = record.slice(0, border);
  if (!fits(path)) return undefined;
  const rest = record.slice(border + 1).replace(/\r$/, '');
  return `${visible(path)}${/^\d+-/.test(rest) ? '-' : ':'}${rest}`;
}
