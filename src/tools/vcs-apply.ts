import { randomUUID } from 'node:crypto';
import { mkdir, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { refuseChange } from '../workspace/file-changes.ts';
import { visible } from '../workspace/file-tree.ts';
import type { Workspace } from '../workspace/workspace.ts';
import { findFile } from './file-path.ts';
import { MAX_EDIT_CHARS } from './search-replace.ts';
import { defineTool } from './tool.ts';
import { rootName } from './vcs/names.ts';
import { workspaceOf } from './vcs/open.ts';
import { filesOfPatch } from './vcs/patch-files.ts';
import { sandboxedPrograms } from './vcs/programs.ts';
import { VcsError } from './vcs/vcs.ts';

/** As if there were no repository: neither its attributes nor its filters have a say, and paths begin at the workspace's root. */
const NO_REPOSITORY = { GIT_DIR: '/dev/null' };

export const vcsApplyTool = defineTool({
  name: 'vcs_apply',
  description:
    'Applies a unified diff, such as vcs_diff shows, to the files of the project; all of it or nothing. Nothing is committed. To write ' +
    'changes of your own, use edit_file or apply_patch.',
  parameters: z.strictObject({
    patch: z
      .string()
      .min(1)
      .max(MAX_EDIT_CHARS)
      .describe('The diff. Paths are relative to the workspace root, or to root where that is given.'),
    reverse: z.boolean().default(false).describe('Take the changes back that the diff describes.'),
    root: rootName,
  }),
  effect: 'workspace',
  paths: ({ patch, root }) => namedIn(String(patch), typeof root === 'string' ? root : ''),
  async execute({ patch, reverse, root }, whole) {
    const workspace = root === undefined ? whole.workspace : await workspaceOf(whole.workspace, root);
    const context = { ...whole, workspace };
    const { paths, strip } = filesOfPatch(patch);
    for (const path of paths) refuseChange(await findFile(workspace, path));
    const file = await putPatch(workspace, patch.endsWith('\n') ? patch : `${patch}\n`);
    try {
      const purpose = 'it is what applies a diff';
      const options = { program: 'git', purpose, env: NO_REPOSITORY, readable: [file] };
      const { look, act } = sandboxedPrograms(context, options);
      const git = ['git', 'apply', '--whitespace=nowarn', `-p${strip}`, ...(reverse ? ['--reverse'] : [])];
      const [numbers = ''] = await look([...git, '--numstat', '-z', '--', file]);
      const changed = numbersOf(numbers);
      refuseOthers(changed, paths);
      await act([...git, '--', file]);
      return { text: describe(changed) };
    } finally {
      await rm(file, { force: true });
    }
  },
});

/** A call that cannot be read is about everything; it fails when it runs. */
function namedIn(patch: string, root: string): readonly string[] {
  try {
    return filesOfPatch(patch).paths.map((path) => join(root, path));
  } catch {
    return ['.'];
  }
}

/** Beside the files, where only this command is shown it. */
async function putPatch({ scratch }: Workspace, patch: string): Promise<string> {
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  const file = join(await realpath(scratch), `patch-${randomUUID()}`);
  await writeFile(file, patch, { mode: 0o644 });
  return file;
}

interface Changed {
  readonly path: string;
  readonly added: string;
  readonly removed: string;
}

/** `git apply --numstat -z`: `added TAB removed TAB path NUL`, with `-` for binary files. */
function numbersOf(output: string): readonly Changed[] {
  const records = output.split('\0').filter(Boolean);
  return records.flatMap((record): Changed[] => {
    const [, added = '', removed = '', path = ''] = /^(\S+)\t(\S+)\t(.*)$/s.exec(record) ?? [];
    return [{ path, added, removed }];
  });
}

/** Rules were asked about the files that the patch was read to name. */
function refuseOthers(changed: readonly Changed[], paths: readonly string[]): void {
  const other = changed.find(({ path }) => !paths.includes(path));
  if (other === undefined) return;
  throw new VcsError(
    `The patch also changes '${visible(other.path)}', which it does not name plainly; ` +
      'give every file lines such as --- a/PATH and +++ b/PATH.',
  );
}

function describe(changed: readonly Changed[]): string {
  const sorted = changed.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const lines = sorted.map(({ path, added, removed }) => `${visible(path)} +${added} -${removed}`);
  return [`applied to ${changed.length} ${changed.length === 1 ? 'file' : 'files'}:`, ...lines].join('\n');
}
