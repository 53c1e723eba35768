import { likely } from '../core/nearest.ts';

/** One sentence where there is no command of these words; `ids` as oclif has them, `tasks:list`. */
export function noCommand(words: readonly string[], ids: readonly string[]): string {
  const [first = ''] = words;
  if (first.startsWith('-')) return `There is no flag ${first} before a command: see \`capybara --help\`.`;
  const names = ids.map((id) => id.split(':'));
  // What follows a command is its arguments: `sumbit "do it"`.
  for (const count of [2, 1]) {
    const typed = words.slice(0, count).join(' ');
    const near = likely(typed, [...new Set(names.map((name) => name.slice(0, count).join(' ')))]);
    if (near === undefined) continue;
    const help = `see \`capybara ${near} --help\`.`;
    if (near === typed) return `There is no command "${words.slice(0, 2).join(' ')}": ${help}`;
    return `There is no command "${typed}": the nearest one is "${near}", ${help}`;
  }
  return `There is no command "${words.slice(0, 2).join(' ')}": see \`capybara --help\`.`;
}
