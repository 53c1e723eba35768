/** What flags name as the files to work on. */
import { realpathSync, statSync } from 'node:fs';
import type { RootInput } from '../api/wire.ts';
import { UserError } from '../core/errors.ts';
import { readRef, readRepositoryUrl } from '../core/repository.ts';

/** `https://host/path`, `git@host:path`, with `#ref` behind it; undefined where it is something else. */
export function repositoryIn(
  text: string | undefined,
): Omit<Extract<RootInput, { kind: 'git' }>, 'access'> | undefined {
  if (text === undefined || !/^([a-z][a-z+.-]*:\/\/|[\w.-]+@[\w.-]+:)/i.test(text)) return undefined;
  const [, address = '', ref] = /^([^#]*)(?:#(.*))?$/s.exec(text) ?? [];
  const { url } = readRepositoryUrl(address);
  const named = readRef(ref);
  return { kind: 'git', url, ...(named !== null && { ref: named }) };
}

/** Absolute and real. `flag`: what named it. */
export function realDirectory(path: string, flag: string): string {
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isDirectory) return realpathSync(path);
  throw new UserError(
    'workspace_invalid',
    `${flag} ${path} is not a directory: expected "empty", a directory or the URL of a repository.`,
  );
}
