import { posix } from 'node:path';

/** Of a README; the rest can be read with a tool. */
export const README_LIMIT_BYTES = 4 * 1024;

const README = /^readme(\.(md|markdown|rst|adoc|txt|org))?$/i;

/** The README of each directory that is asked about (`''`: the root, `app/`: the root of that name). */
export function readmesIn(paths: readonly string[], directories: readonly string[]): string[] {
  return directories.flatMap((directory) => {
    const found = paths.filter((path) => {
      const own = posix.dirname(path) === (directory === '' ? '.' : directory.slice(0, -1));
      return own && README.test(posix.basename(path));
    });
    // README.md before README.txt: the order of the list.
    return found.slice(0, 1);
  });
}
