import { messageOf } from '../core/errors.ts';
import { visible } from './file-tree.ts';
import { GIT_OUTPUT_LIMIT, type GitCall, type GitOptions, git, gitCall, gitDefaults } from './git-command.ts';
import { findWorkingCopy } from './working-copy.ts';
import type { Workspace } from './workspace.ts';

const ERROR_TEXT_LIMIT = 300;

/** Which version control the workspace is under, in a line: for git with branch and counts of changes. Never throws. */
export async function versionControl(workspace: Place, options: GitOptions = {}): Promise<string> {
  const found = await findWorkingCopy(workspace);
  if (found === undefined) return 'none';
  const place = found.directory === workspace.root ? '' : ` (its root is ${visible(found.directory)})`;
  if (found.name !== 'git') return `${found.name}${place}`;
  return `git${place}, ${await gitState(workspace, options)}`;
}

type Place = Pick<Workspace, 'root' | 'kind'>;

async function gitState({ root }: Place, options: GitOptions): Promise<string> {
  const call = gitCall(root, options);
  try {
    const env = { ...call.env, ...(await filterOverrides(call)) };
    const args = [
      'status',
      '--porcelain=v2',
      '--branch',
      '-z',
      '--untracked-files=normal',
      '--ignore-submodules=all',
    ];
    return describe(await git(args, { ...call, env }));
  } catch (error) {
    return `its state could not be read: ${visible(reason(error, gitDefaults(options)))}`;
  }
}

/** Every configured filter, set to nothing. Its name may hold any character, which `-c` does not take but this does. */
async function filterOverrides(call: GitCall): Promise<Record<string, string>> {
  const names = (await git(['config', '--list', '--name-only', '-z'], call)).split('\0');
  const commands = [...new Set(names.filter((name) => /^filter\..*\.(clean|process|smudge)$/s.test(name)))];
  const required = commands.map((name) => name.replace(/\.[a-z]+$/, '.required'));
  const settings = [...commands.map((name) => [name, '']), ...required.map((name) => [name, 'false'])];
  const variables = settings.flatMap(([name, value], index) => [
    [`GIT_CONFIG_KEY_${index}`, name],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]);
  return { ...Object.fromEntries(variables), GIT_CONFIG_COUNT: `${settings.length}` };
}

/** From `git status --porcelain=v2 --branch -z` (git-status(1)). */
function describe(status: string): string {
  const records = status.split('\0');
  const counts = { changed: 0, untracked: 0, unmerged: 0 };
  let branch = 'unknown';
  for (let index = 0; index < records.length; index++) {
    const record = records[index] ?? '';
    if (record.startsWith('# branch.head ')) branch = record.slice('# branch.head '.length);
    if (record.startsWith('1 ') || record.startsWith('2 ')) counts.changed += 1;
    if (record.startsWith('2 ')) index += 1; // a rename is followed by the path it had
    if (record.startsWith('u ')) counts.unmerged += 1;
    if (record.startsWith('? ')) counts.untracked += 1;
  }
  const parts = Object.entries(counts).filter(([, number]) => number > 0);
  const changes = parts.map(([word, number]) => `${number} ${word}`).join(', ');
  return `branch ${visible(branch)}, ${changes === '' ? 'clean' : changes}`;
}

function reason(error: unknown, { searchPath, timeoutMs }: ReturnType<typeof gitDefaults>): string {
  const { code, killed, stderr } = error as { code?: unknown; killed?: boolean; stderr?: string };
  if (code === 'ENOENT') return `there is no git command in ${searchPath}`;
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `more than ${GIT_OUTPUT_LIMIT} bytes of changes`;
  if (killed === true) return `git took longer than ${timeoutMs} ms`;
  return (stderr?.trim() || messageOf(error)).slice(0, ERROR_TEXT_LIMIT);
}
