/** What was changed: look at it, take it over. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { commandEnvironment } from '../../../config.ts';
import { messageOf, UserError } from '../../../core/errors.ts';
import { readChanges } from '../../apply/changes.ts';
import { patchText } from '../../patch.ts';
import { appliedText, applyHere } from '../../take-over.ts';
import { neutralised } from '../../untrusted-text.ts';
import { type ChatCommand, say, sessionOf } from './context.ts';

/** Lines of a patch, and files, that are shown. */
const MAX_PATCH_LINES = 2_000;
const MAX_FILES = 500;
const GIT = { timeout: 10_000, maxBuffer: 1024 * 1024 } as const;

export const FILE_COMMANDS: readonly ChatCommand[] = [
  {
    name: 'diff',
    summary: 'show what the session has changed',
    usage: '',
    run: async (context) => {
      const patch = await context.client.diff(sessionOf(context).id);
      const lines = patchText(patch, context.look().style).trimEnd().split('\n');
      const more = lines.length - MAX_PATCH_LINES;
      const rest = more > 0 ? [`… ${more} more lines: capybara diff ${sessionOf(context).id}`] : [];
      context.tell({ do: 'tell', lines: [...lines.slice(0, MAX_PATCH_LINES), ...rest] });
    },
  },
  {
    name: 'files',
    summary: 'list the files that the session has changed',
    usage: '',
    run: async (context) => {
      const changes = readChanges(await context.client.changes(sessionOf(context).id));
      const { theme } = context.look();
      const lines = changes.slice(0, MAX_FILES).map(({ path, before, after }) => {
        const name = neutralised(Buffer.from(path, 'latin1').toString('utf8'));
        if (before == null) return theme.added(`+ ${name}`);
        return after == null ? theme.removed(`- ${name}`) : `~ ${name}`;
      });
      const more = changes.length > MAX_FILES ? [`… and ${changes.length - MAX_FILES} more`] : [];
      context.tell({ do: 'tell', lines: lines.length === 0 ? ['No changes.'] : [...lines, ...more] });
    },
  },
  {
    name: 'apply',
    summary: 'take what was changed over into this directory',
    usage: '',
    run: async (context) => {
      const { config, cwd } = context;
      const here = { directory: undefined, roots: [], dataDir: config.dataDir, cwd };
      say(context, neutralised(appliedText(await applyHere(context.client, sessionOf(context), here))));
    },
  },
  {
    name: 'git',
    summary: 'run git here: its status, or what you say',
    usage: '[ARGUMENTS]',
    run: async (context, args) => {
      const given = args === '' ? ['status', '--short', '--branch'] : args.split(/\s+/);
      const said = await git(given, context.cwd);
      say(context, said.trim() === '' ? 'git says nothing.' : neutralised(said));
    },
  },
];

/** It is given no terminal, and asks nothing. */
async function git(args: readonly string[], cwd: string): Promise<string> {
  const env = { ...commandEnvironment(), GIT_TERMINAL_PROMPT: '0', GIT_PAGER: 'cat', GIT_EDITOR: 'true' };
  try {
    const { stdout, stderr } = await promisify(execFile)('git', [...args], { ...GIT, cwd, env });
    return stdout + stderr;
  } catch (error) {
    const { stderr } = error as { stderr?: unknown };
    const why = typeof stderr === 'string' && stderr.trim() !== '' ? stderr : messageOf(error);
    throw new UserError('git_failed', `git ${args[0]}: ${neutralised(why).trim()}`);
  }
}
