/** What may stand at a place of a command line, by oclif's manifest. */
import type { Line } from './line.ts';

/** What is read of the manifest and of `package.json`. */
export interface Manifest {
  readonly commands: Readonly<Record<string, ManifestCommand>>;
  /** By name. */
  readonly topics: Readonly<Record<string, { readonly description: string }>>;
}

export interface ManifestCommand {
  readonly summary?: string;
  readonly hidden?: boolean;
  readonly args: Readonly<Record<string, Described>>;
  readonly flags: Readonly<Record<string, ManifestFlag>>;
}

interface Described {
  readonly description?: string;
  readonly options?: readonly string[];
}

export interface ManifestFlag extends Described {
  readonly type: 'boolean' | 'option';
  readonly char?: string;
  readonly hidden?: boolean;
  readonly helpValue?: string;
  readonly multiple?: boolean;
  readonly allowNo?: boolean;
}

export interface Candidate {
  readonly value: string;
  readonly about?: string;
}

/** Values that are looked up: ids with these prefixes, `last` among them, or names of a kind. */
export type Source =
  | { readonly kind: 'ids'; readonly prefixes: readonly string[]; readonly last: boolean }
  | { readonly kind: 'settings' | 'providers' | 'mcpServers' | 'profiles' | 'agents' | 'models' };

export type Wanted =
  | { readonly kind: 'known'; readonly candidates: readonly Candidate[] }
  | { readonly kind: 'files' }
  /** `before` stands before the value in the same word, as `--model=` does. */
  | { readonly kind: 'values'; readonly source: Source; readonly before: string };

const NOTHING: Wanted = { kind: 'known', candidates: [] };

export function wantedAt({ before, current }: Line, manifest: Manifest): Wanted {
  const { id, rest } = commandOf(before, manifest);
  const command = manifest.commands[id];
  if (command === undefined) return rest.length > 0 ? NOTHING : known(namesBelow(id, manifest));
  const { positional, flag, isOver } = readRest(rest, command);
  if (flag !== undefined) return wantedFor(flag, '');
  if (!isOver && current.startsWith('-')) return flagAt(current, command, rest);
  const argument = Object.values(command.args)[positional];
  return argument === undefined ? NOTHING : wantedFor({ ...argument, type: 'option', name: '' }, '');
}

/** The longest beginning of the words that names commands: `tasks list` is `tasks:list`. */
function commandOf(
  words: readonly string[],
  { commands }: Manifest,
): { id: string; rest: readonly string[] } {
  let id = '';
  for (const [index, word] of words.entries()) {
    const next = id === '' ? word : `${id}:${word}`;
    const isOne = Object.keys(commands).some((known) => known === next || known.startsWith(`${next}:`));
    if (!isOne) return { id, rest: words.slice(index) };
    id = next;
  }
  return { id, rest: [] };
}

/** The words that may follow those of `topic`; at the top `''`. */
function namesBelow(topic: string, { commands, topics }: Manifest): Candidate[] {
  const start = topic === '' ? '' : `${topic}:`;
  const names = new Map<string, string>();
  for (const [id, { summary = '', hidden }] of Object.entries(commands)) {
    if (hidden === true || !id.startsWith(start)) continue;
    const [name = '', below] = id.slice(start.length).split(':');
    const about = below === undefined ? summary : (topics[`${start}${name}`]?.description ?? '');
    if (!names.has(name) || below === undefined) names.set(name, about);
  }
  return [...names]
    .map(([value, about]) => ({ value, about }))
    .toSorted((a, b) => (a.value < b.value ? -1 : 1));
}

type Named = ManifestFlag & { readonly name: string };

/** What was said already: how many arguments, whether a flag waits for its value, and whether `--` ended the flags. */
function readRest(
  words: readonly string[],
  { flags }: ManifestCommand,
): { positional: number; flag: Named | undefined; isOver: boolean } {
  let positional = 0;
  let flag: Named | undefined;
  let isOver = false;
  for (const word of words) {
    if (flag !== undefined) flag = undefined;
    else if (word === '--' && !isOver) isOver = true;
    else if (isOver || !/^-./.test(word)) positional += 1;
    else if (!word.includes('=')) flag = takesValue(flagOf(word, flags));
  }
  return { positional, flag, isOver };
}

function takesValue(flag: Named | undefined): Named | undefined {
  return flag?.type === 'option' ? flag : undefined;
}

function flagOf(word: string, flags: ManifestCommand['flags']): Named | undefined {
  const found = Object.entries(flags).find(
    ([name, { char }]) => word === `--${name}` || (char !== undefined && word === `-${char}`),
  );
  return found && { ...found[1], name: found[0] };
}

function flagAt(current: string, { flags }: ManifestCommand, said: readonly string[]): Wanted {
  const equals = current.indexOf('=');
  if (equals >= 0) {
    const flag = takesValue(flagOf(current.slice(0, equals), flags));
    return flag === undefined ? NOTHING : wantedFor(flag, current.slice(0, equals + 1));
  }
  const offered = Object.entries(flags).flatMap(([name, flag]) => {
    const isSaid = said.some((word) => word === `--${name}` || word.startsWith(`--${name}=`));
    if (flag.hidden === true || (isSaid && flag.multiple !== true)) return [];
    const about = flag.description ?? '';
    const no = flag.allowNo === true ? [{ value: `--no-${name}`, about }] : [];
    return [{ value: `--${name}`, about }, ...no];
  });
  return known([...offered, { value: '--help', about: 'Show what this command does.' }]);
}

function known(candidates: readonly Candidate[]): Wanted {
  return { kind: 'known', candidates };
}

/** By what its help says of it: the values that it takes, that it is a path, or what names it. */
function wantedFor(flag: Named, before: string): Wanted {
  const { options, description = '', helpValue = '' } = flag;
  if (options !== undefined) return known(options.map((value) => ({ value: `${before}${value}` })));
  if (/\b(PATH|FILE|DIR|DIRECTORY)\b/.test(helpValue)) return { kind: 'files' };
  const source = sourceOf(flag.name, { description, helpValue });
  return source === undefined ? NOTHING : { kind: 'values', source, before };
}

const BY_FLAG: Readonly<Record<string, Source>> = {
  profile: { kind: 'profiles' },
  agent: { kind: 'agents' },
  model: { kind: 'models' },
  provider: { kind: 'providers' },
  session: { kind: 'ids', prefixes: ['ses', 'task'], last: true },
};

function sourceOf(
  name: string,
  { description, helpValue }: { description: string; helpValue: string },
): Source | undefined {
  const ofFlag = helpValue === '' && name === '' ? undefined : BY_FLAG[name];
  if (ofFlag !== undefined) return ofFlag;
  const prefixes = [...description.matchAll(/\b([a-z]+)_…/g)].map(([, prefix = '']) => prefix);
  if (prefixes.length > 0) return { kind: 'ids', prefixes, last: description.includes('"last"') };
  if (description.includes('`config show`')) return { kind: 'settings' };
  if (/`providers list`|^A provider\b/.test(description)) return { kind: 'providers' };
  if (description.includes('`mcp list`')) return { kind: 'mcpServers' };
  if (description.includes('The other session')) return { kind: 'ids', prefixes: ['ses'], last: false };
  return undefined;
}
