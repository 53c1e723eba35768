/**
 * `capybara __complete SHELL WORD…`, which the scripts of `capybara completion` ask at each Tab: a line for each candidate, what it is
 * about behind a tab, or `:files` where a path is wanted. It reads the manifest and loads neither oclif nor, for most, anything else.
 */
import { readFileSync } from 'node:fs';
import { type Line, readLine, SHELLS, type Shell } from './line.ts';
import { type Candidate, type Manifest, type Wanted, wantedAt } from './wanted.ts';

/** `root`: the directory with `package.json` and the manifest. Never throws: at a Tab nobody reads errors. */
export async function complete(root: URL, argv: readonly string[]): Promise<string> {
  try {
    const [shell, ...words] = argv;
    if (!SHELLS.includes(shell as Shell)) return '';
    const line = readLine(shell as Shell, words);
    return await answerTo(line, wantedAt(line, manifestIn(root)));
  } catch {
    return '';
  }
}

async function answerTo(line: Line, wanted: Wanted): Promise<string> {
  if (wanted.kind === 'files') return ':files\n';
  if (wanted.kind === 'known') return linesOf(line, wanted.candidates);
  const { valuesOf } = await import('./values.ts');
  const values = await valuesOf(wanted.source, profileIn(line.before));
  return linesOf(
    line,
    values.map((each) => ({ ...each, value: `${wanted.before}${each.value}` })),
  );
}

/** What no shell reads anything into: scripts put a candidate on the line as it is, and others may have named what it is. */
const PLAIN = /^[A-Za-z0-9._:/@+=,-]*$/;

function linesOf({ current, kept }: Line, candidates: readonly Candidate[]): string {
  return candidates
    .filter(({ value }) => value.startsWith(current) && PLAIN.test(value))
    .map(({ value, about = '' }) => `${value.slice(kept)}${about === '' ? '' : `\t${about}`}\n`)
    .join('');
}

function profileIn(words: readonly string[]): string | undefined {
  const at = words.indexOf('--profile');
  const joined = words.find((word) => word.startsWith('--profile='));
  return joined?.slice('--profile='.length) ?? (at < 0 ? undefined : words[at + 1]);
}

function manifestIn(root: URL): Manifest {
  const read = (name: string) => JSON.parse(readFileSync(new URL(name, root), 'utf8'));
  return { commands: read('oclif.manifest.json').commands, topics: read('package.json').oclif.topics };
}
