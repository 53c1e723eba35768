/** What Tab, `/` and `@` offer. */
import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { type AutocompleteItem, type AutocompleteProvider, fuzzyFilter } from '@earendil-works/pi-tui';
import { cut } from '../text-width.ts';
import { neutralised } from '../untrusted-text.ts';
import type { SlashCommand } from './commands/slash-command.ts';

/** Files that are looked through, and that are offered. */
export const MAX_FILES = 20_000;
export const MAX_OFFERED = 50;
/** How long a list of files is good for, in milliseconds. */
export const FRESH_MS = 5_000;

/** `/mo`, at the beginning of a message. */
const COMMAND = /^\/([a-z-]*)$/i;
const ARGUMENT = /^\/([a-z-]+)\s+(.*)$/i;
/** `@src/a`, `@"with spa`, behind no part of a word. */
const MENTION = /(?<![\p{L}\p{N}_.+/@-])@(?:"([^"]*)|([^\s"'`<>|@]*))$/u;
/** A path that a shell takes as it is. */
const PLAIN = /^[^\s"'`<>|@]+$/;

export interface CompletionOptions<Context> {
  readonly commands: readonly SlashCommand<Context>[];
  readonly context: Context;
  readonly files: () => Promise<readonly string[]>;
}

/** For an editor of one message. */
export function createCompletion<Context>(options: CompletionOptions<Context>): AutocompleteProvider {
  return {
    triggerCharacters: ['@'],
    getSuggestions: async (lines, row, column, { signal }) => {
      const before = (lines[row] ?? '').slice(0, column);
      const offered = await offeredFor(before, row === 0, options);
      return signal.aborted || offered === undefined || offered.items.length === 0 ? null : offered;
    },
    applyCompletion: (lines, row, column, item, prefix) => {
      const line = lines[row] ?? '';
      const before = line.slice(0, column - prefix.length);
      // A command that takes no argument ends here; so does a file, but not a directory.
      const text = item.value.endsWith('/') || prefix === '' ? item.value : `${item.value} `;
      const after = line.slice(column).replace(/^ (?=.*$)/, text.endsWith(' ') ? '' : ' ');
      return {
        lines: lines.with(row, `${before}${text}${after}`),
        cursorLine: row,
        cursorCol: before.length + text.length,
      };
    },
    shouldTriggerFileCompletion: () => true,
  };
}

async function offeredFor<Context>(
  before: string,
  isFirst: boolean,
  { commands, context, files }: CompletionOptions<Context>,
): Promise<{ items: AutocompleteItem[]; prefix: string } | undefined> {
  const [, typed] = (isFirst && COMMAND.exec(before)) || [];
  if (typed !== undefined) return { items: commandItems(commands, typed), prefix: before };
  const [, name = '', argument = ''] = (isFirst && ARGUMENT.exec(before)) || [];
  const command = commands.find((each) => each.name === name.toLowerCase());
  if (command?.complete) {
    const values = await command.complete(context, argument);
    return { items: fuzzyFilter([...values], argument, ({ value }) => value), prefix: argument };
  }
  const [mention, quoted, plain = ''] = MENTION.exec(before) ?? [];
  if (mention === undefined) return undefined;
  return { items: fileItems(await files(), quoted ?? plain), prefix: mention };
}

function commandItems<Context>(
  commands: readonly SlashCommand<Context>[],
  typed: string,
): AutocompleteItem[] {
  return fuzzyFilter([...commands], typed, ({ name }) => name).map(({ name, usage, summary }) => ({
    value: `/${name}`,
    label: `/${name}${usage === '' ? '' : ` ${usage}`}`,
    description: summary,
  }));
}

/** Names come from a file system, which takes any. */
export function fileItems(files: readonly string[], typed: string): AutocompleteItem[] {
  const found = typed === '' ? files : fuzzyFilter([...files], typed, (file) => file);
  return found.slice(0, MAX_OFFERED).map((file) => ({
    value: PLAIN.test(file) ? `@${file}` : `@"${file}"`,
    label: cut(neutralised(file), 60),
  }));
}

/** The files of a directory that version control does not ignore, read anew where the list is old. */
export function filesOf(directory: string, now: () => number = () => performance.now()) {
  let readAt = Number.NEGATIVE_INFINITY;
  let files: Promise<readonly string[]> = Promise.resolve([]);
  return (): Promise<readonly string[]> => {
    if (now() - readAt >= FRESH_MS) {
      readAt = now();
      files = listed(directory);
    }
    return files;
  };
}

async function listed(directory: string): Promise<readonly string[]> {
  const found = await withRipgrep(directory).catch(() => plainly(directory));
  // What cannot be typed is not put into the input either.
  return found.filter((file) => !/\p{Cc}/u.test(file)).toSorted();
}

async function withRipgrep(directory: string): Promise<string[]> {
  const { rgPath } = await import('@vscode/ripgrep');
  const child = spawn(rgPath, ['--files', '--hidden', '--null', '--glob', '!.git', '--no-config'], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const files: string[] = [];
  let rest = '';
  const gone = Promise.withResolvers<never>();
  child.once('error', gone.reject);
  const read = async () => {
    for await (const text of child.stdout.setEncoding('utf8')) {
      const parts = `${rest}${text}`.split('\0');
      rest = parts.pop() ?? '';
      files.push(...parts);
      if (files.length >= MAX_FILES) break;
    }
    child.kill();
    return files.slice(0, MAX_FILES);
  };
  return Promise.race([read(), gone.promise]);
}

async function plainly(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .slice(0, MAX_FILES);
}
