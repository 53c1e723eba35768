/** What kind of project a workspace is: told from the files that its tools read. */
import { posix } from 'node:path';
import { messageOf } from '../../core/errors.ts';
import { visible } from '../file-tree.ts';
import { cargoToml, cmake, dotnet, goMod, gradle, meson, pomXml, swiftPackage } from './compiled.ts';
import { denoJson, packageJson } from './javascript.ts';
import { type Command, type Found, type Manifest, type Reader, run } from './manifest.ts';
import { pipfile, pyproject, requirements, setupPy, toxIni } from './python.ts';
import { composerJson, gemfile, justfile, makefile, mixExs, pubspec } from './scripted.ts';

export const PROJECT_LIMITS = {
  /** Files that say what a project is: of more, those nearest to the root. */
  manifests: 12,
  /** Directories below the root that they are looked for in. */
  depth: 3,
  /** Of one of them. */
  bytes: 256 * 1024,
  dependencies: 30,
  commands: 20,
  /** Of one name or command. */
  chars: 120,
} as const;

/** By name, the more telling first. */
const READERS: readonly (readonly [name: RegExp, read: Reader])[] = [
  [/^package\.json$/, packageJson],
  [/^deno\.jsonc?$/, denoJson],
  [/^pyproject\.toml$/, pyproject],
  [/^Pipfile$/, pipfile],
  [/^requirements(-dev)?\.txt$/, requirements],
  [/^setup\.py$/, setupPy],
  [/^tox\.ini$/, toxIni],
  [/^noxfile\.py$/, () => ({ kind: 'nox', commands: run('nox') })],
  [/^Cargo\.toml$/, cargoToml],
  [/^go\.mod$/, goMod],
  [/^pom\.xml$/, pomXml],
  [/^build\.gradle(\.kts)?$/, gradle],
  [/^build\.sbt$/, () => ({ kind: 'Scala, sbt', commands: run('sbt compile', 'sbt test') })],
  [/^composer\.json$/, composerJson],
  [/^Gemfile$/, gemfile],
  [/^CMakeLists\.txt$/, cmake],
  [/^meson\.build$/, meson],
  [/\.(sln|slnx|csproj|fsproj)$/, dotnet],
  [/^Package\.swift$/, swiftPackage],
  [/^mix\.exs$/, mixExs],
  [/^pubspec\.yaml$/, pubspec],
  [/^(GNUm|M|m)akefile$/, makefile],
  [/^[Jj]ustfile$/, justfile],
  [/^Dockerfile$/, () => ({ kind: 'Docker image' })],
];

/** The text of a file of the workspace, by its path. Throws, or is undefined, where it cannot be read or is too large. */
export type ReadText = (path: string, maxBytes: number) => Promise<string | undefined>;

/** Lines on each part of the project; empty where nothing tells what it is. Never throws. */
export async function projectLines(paths: readonly string[], read: ReadText): Promise<readonly string[]> {
  const names = namesByDirectory(paths);
  const found = await Promise.all(
    manifestsIn(paths).map(async (path) => linesOf(path, await foundIn(path, names, read))),
  );
  return found.flat();
}

function readerOf(path: string): Reader | undefined {
  const name = posix.basename(path);
  return READERS.find(([pattern]) => pattern.test(name))?.[1];
}

/** Those nearest to the root; in one directory in the order of the table. */
function manifestsIn(paths: readonly string[]): string[] {
  const place = (path: string) => READERS.findIndex(([pattern]) => pattern.test(posix.basename(path)));
  const depth = (path: string) => path.split('/').length - 1;
  return paths
    .filter((path) => depth(path) <= PROJECT_LIMITS.depth && place(path) !== -1)
    .map((path) => ({ path, depth: depth(path), directory: posix.dirname(path), place: place(path) }))
    .sort((a, b) => a.depth - b.depth || compare(a.directory, b.directory) || a.place - b.place)
    .slice(0, PROJECT_LIMITS.manifests)
    .map(({ path }) => path);
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

type Names = ReadonlyMap<string, ReadonlySet<string>>;

function namesByDirectory(paths: readonly string[]): Names {
  const names = new Map<string, Set<string>>();
  for (const path of paths) {
    const directory = posix.dirname(path);
    const there = names.get(directory) ?? new Set();
    there.add(posix.basename(path));
    names.set(directory, there);
  }
  return names;
}

function around(directory: string, names: Names): ReadonlySet<string> {
  const found = new Set<string>(names.get(directory));
  for (let at = directory; at !== '.'; at = posix.dirname(at)) {
    for (const name of names.get(posix.dirname(at)) ?? []) found.add(name);
  }
  return found;
}

async function foundIn(path: string, names: Names, read: ReadText): Promise<Found | string | undefined> {
  const directory = posix.dirname(path);
  try {
    const text = await read(path, PROJECT_LIMITS.bytes);
    if (text === undefined) return `has more than ${PROJECT_LIMITS.bytes} bytes, or is no text`;
    const manifest: Manifest = {
      ...{ name: posix.basename(path), text },
      ...{ beside: names.get(directory) ?? new Set(), around: around(directory, names) },
    };
    return readerOf(path)?.(manifest);
  } catch (error) {
    return `cannot be read: ${messageOf(error).split('\n')[0]}`;
  }
}

function linesOf(path: string, found: Found | string | undefined): readonly string[] {
  if (found === undefined) return [];
  if (typeof found === 'string') return [`${short(path)}: ${short(found)}`];
  const { kind, name, dependencies = [], development = [], commands = [] } = found;
  const called = name === undefined || name === posix.basename(path) ? '' : ` (${short(name)})`;
  return [
    `${short(path)}: ${kind}${called}`,
    ...listLine('dependencies', dependencies, PROJECT_LIMITS.dependencies),
    ...listLine('for development', development, PROJECT_LIMITS.dependencies),
    ...listLine('commands', commands.map(sayCommand), PROJECT_LIMITS.commands, '; '),
  ];
}

function listLine(title: string, items: readonly string[], most: number, between = ', '): readonly string[] {
  if (items.length === 0) return [];
  const rest = items.length > most ? `${between}and ${items.length - most} more` : '';
  return [`  ${title}: ${items.slice(0, most).map(short).join(between)}${rest}`];
}

function sayCommand({ run: command, does }: Command): string {
  return does === undefined ? command : `${command} (${does})`;
}

function short(text: string): string {
  const shown = visible(text);
  return shown.length > PROJECT_LIMITS.chars ? `${shown.slice(0, PROJECT_LIMITS.chars - 1)}…` : shown;
}
