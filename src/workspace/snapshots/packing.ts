import { closeSync, fstatSync, openSync } from 'node:fs';
import type { ShadowGit } from './shadow-git.ts';
import type { PackOptions } from './snapshots.ts';

/** Whole objects only, in whatever form they are kept: who takes them in looks at each by itself. */
const HOW = ['--revs', '--stdout', '--quiet', '--window=0', '--no-reuse-delta', '--threads=1'];

/** Writes a new file with the objects of a snapshot that another one does not have. Returns its bytes. */
export function writePackOf(git: ShadowGit, snapshot: string, { without, path }: PackOptions): number {
  const file = openSync(path, 'wx', 0o600);
  try {
    const wanted = [snapshot, ...(without === undefined ? [] : [`^${without}`])];
    git.run(['pack-objects', ...HOW], { input: Buffer.from(`${wanted.join('\n')}\n`), stdout: file });
    return fstatSync(file).size;
  } finally {
    closeSync(file);
  }
}
