/** `--root NAME=PLACE[:ro]`: a workspace of several named roots. */
import { resolve, sep } from 'node:path';
import type { RootInput } from '../api/wire.ts';
import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { MAX_ROOTS, ROOT_NAME_PATTERN, ROOT_NAME_RULE } from '../core/workspace.ts';
import { realDirectory, repositoryIn } from './named-place.ts';
import type { SentPlace } from './sent-record.ts';

export interface RootPlace {
  readonly config: Config;
  readonly cwd: string;
}

/** `source`: what the server is told; or what is sent to it first. */
export interface SentRoot {
  readonly name: string;
  readonly access: RootInput['access'];
  readonly source: RootInput | SentPlace;
}

const READ_ONLY = ':ro';
/** Roots are copies there too; its port is another each time. */
const EMBEDDED = 'embedded:';

/** Throws `UserError` where they cannot be roots of one workspace. */
export function readRoots(given: readonly string[], place: RootPlace): readonly SentRoot[] {
  if (given.length > MAX_ROOTS)
    throw invalid(`--root is given ${given.length} times: expected at most ${MAX_ROOTS} roots.`);
  const roots = given.map((text) => readRoot(text, place));
  const named = Map.groupBy(roots, ({ name }) => name);
  for (const [name, same] of named)
    if (same.length > 1)
      throw invalid(`--root names ${name} ${same.length} times: give each root a name of its own.`);
  checkApart(
    roots.flatMap(({ name, source }) =>
      'directory' in source ? [{ name, directory: source.directory }] : [],
    ),
  );
  return roots;
}

/** Those that may be read beside a directory that is worked on itself. */
export function readBeside(
  path: string,
  roots: readonly SentRoot[],
): Record<string, { readonly path: string; readonly access: 'read' }> {
  const beside = roots.map(({ name, access, source }) => {
    if (access === 'read' && 'directory' in source) return { name, directory: source.directory };
    throw invalid(
      `--root ${name} beside --workspace ${path}: expected a directory that is only read, ${name}=PATH:ro.`,
    );
  });
  checkApart([{ name: 'workspace', directory: path }, ...beside]);
  return Object.fromEntries(beside.map(({ name, directory }) => [name, { path: directory, access: 'read' }]));
}

function readRoot(text: string, { config, cwd }: RootPlace): SentRoot {
  const { name, value } = namedValue(text);
  const access = value.endsWith(READ_ONLY) ? 'read' : 'write';
  const where = access === 'read' ? value.slice(0, -READ_ONLY.length) : value;
  const repository = repositoryIn(where);
  if (repository !== undefined) return { name, access, source: { ...repository, access } };
  if (where === 'empty') return { name, access, source: { kind: 'empty', access } };
  const directory = realDirectory(resolve(cwd, where), `--root ${name}:`);
  const { url = EMBEDDED, dataDir } = config;
  return { name, access, source: { directory, url, dataDir } };
}

/** `NAME=VALUE` of `--root`. */
export function namedValue(text: string): { readonly name: string; readonly value: string } {
  const [, name = '', value = ''] = /^([^=]*)=(.+)$/s.exec(text) ?? [];
  if (value === '')
    throw invalid(
      `--root ${JSON.stringify(text)} names no root: expected NAME=PATH, such as app=. or docs=../docs:ro.`,
    );
  if (ROOT_NAME_PATTERN.test(name)) return { name, value };
  throw invalid(
    `The name of --root ${JSON.stringify(text)} is no name of a root: expected ${ROOT_NAME_RULE}.`,
  );
}

/** What is in two roots would come back from either. */
export function checkApart(roots: readonly { readonly name: string; readonly directory: string }[]): void {
  for (const [index, one] of roots.entries()) {
    for (const other of roots.slice(index + 1)) {
      if (!overlap(one.directory, other.directory)) continue;
      throw invalid(
        `The roots ${one.name} (${one.directory}) and ${other.name} (${other.directory}) overlap: name directories that lie apart.`,
      );
    }
  }
}

function overlap(one: string, other: string): boolean {
  const below = (outer: string, inner: string) =>
    inner.startsWith(outer.endsWith(sep) ? outer : `${outer}${sep}`);
  return one === other || below(one, other) || below(other, one);
}

function invalid(message: string): UserError {
  return new UserError('root_invalid', message);
}
