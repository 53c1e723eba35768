/** Takes the changes of a session with several roots over: each root's into the directory that it came from. */
import { resolve } from 'node:path';
import type { Session } from '../../api/wire.ts';
import { UserError } from '../../core/errors.ts';
import { checkApart, namedValue } from '../root-flags.ts';
import { originOf } from '../sent-origins.ts';
import { type Applied, applyChanges, refusal, requireDirectory } from './apply.ts';
import type { FileChange } from './changes.ts';
import { planApply } from './plan.ts';

export interface RootChanges {
  readonly name: string;
  readonly changes: readonly FileChange[];
}

export interface PlacedChanges extends RootChanges {
  readonly directory: string;
}

/** Those that changed, in the order of their names, with paths that begin in them. */
export function changesByRoot(changes: readonly FileChange[]): readonly RootChanges[] {
  const inRoots = Map.groupBy(changes.flatMap(apart), ({ path }) => rootOf(path));
  return [...inRoots]
    .map(([name, own]) => ({ name, changes: own.flatMap((change) => within(name, change)) }))
    .filter((root) => root.changes.length > 0)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What moved from one root to another is gone here, and new there. */
function apart(change: FileChange): readonly FileChange[] {
  const { from, ...moved } = change;
  if (from === undefined || rootOf(from) === rootOf(change.path)) return [change];
  return [
    { path: from, before: change.before, after: undefined },
    { ...moved, before: undefined },
  ];
}

function rootOf(path: string): string {
  return path.split('/', 1)[0] ?? '';
}

/** Nothing of the root itself, which is there on both sides. */
function within(name: string, change: FileChange): readonly FileChange[] {
  const { path, from, ...versions } = change;
  if (path === name) return [];
  const below = (whole: string) => whole.slice(name.length + 1);
  return [{ ...versions, path: below(path), ...(from !== undefined && { from: below(from) }) }];
}

export interface PlaceOptions {
  /** `NAME=DIRECTORY` each. */
  readonly given: readonly string[];
  readonly dataDir: string;
  readonly cwd: string;
}

/** Where each belongs. Throws `UserError` where nobody knows, before anything is written. */
export function placed(
  changed: readonly RootChanges[],
  { roots = [] }: Session['workspace'],
  { given, dataDir, cwd }: PlaceOptions,
): readonly PlacedChanges[] {
  const named = new Map(given.map(namedValue).map(({ name, value }) => [name, resolve(cwd, value)]));
  for (const name of named.keys()) {
    if (roots.some((root) => root.name === name)) continue;
    throw noPlace(
      `The session has no root ${name}: its roots are ${roots.map((root) => root.name).join(', ')}.`,
    );
  }
  const places = changed.map(({ name, changes }) => {
    const id = roots.find((root) => root.name === name)?.id;
    const directory = named.get(name) ?? (id === undefined ? undefined : originOf(dataDir, id));
    if (directory === undefined)
      throw noPlace(
        `The root ${name} was not sent from this machine: say where its changes go, with --root ${name}=DIRECTORY.`,
      );
    requireDirectory(directory);
    return { name, changes, directory };
  });
  checkApart(places);
  return places;
}

/** As `applyChanges`; nothing at all where it is refused for one of them. */
export async function applyToRoots(places: readonly PlacedChanges[]): Promise<Applied> {
  const plans = places.map(async ({ name, changes, directory }) => {
    const { refused } = await planApply(changes, directory);
    return refused.map(({ path, reason }) => ({ path: `${name}/${path}`, reason }));
  });
  const refused = (await Promise.all(plans)).flat();
  if (refused.length > 0) throw refusal(refused);
  const applied: (Applied & { readonly name: string })[] = [];
  for (const { name, changes, directory } of places) {
    const done = await applyChanges(changes, directory).catch((error: unknown) => {
      throw error instanceof UserError ? after(applied, { name, error }) : error;
    });
    applied.push({ ...done, name });
  }
  const sum = (count: (each: Applied) => number) => applied.reduce((total, each) => total + count(each), 0);
  return {
    changed: sum(({ changed }) => changed),
    already: sum(({ already }) => already),
    merged: applied.flatMap(({ name, merged }) => merged.map((path) => `${name}/${path}`)),
  };
}

/** Files changed while it went on. */
function after(
  applied: readonly { readonly name: string }[],
  { name, error }: { readonly name: string; readonly error: UserError },
): UserError {
  if (applied.length === 0) return error;
  const done = applied.map((each) => each.name).join(', ');
  const message = `In the root ${name}: ${error.message} The changes of ${done} had been applied before; apply again for the rest.`;
  return new UserError(error.code, message, error.exitCode);
}

function noPlace(message: string): UserError {
  return new UserError('root_unknown', message);
}
