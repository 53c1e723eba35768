/** A session's changes on a person's screen, and in their directory. */
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import type { Session } from '../api/wire.ts';
import { commandEnvironment } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { keepFiles } from './kept-files.ts';
import type { Style } from './terminal.ts';
import { neutralised } from './untrusted-text.ts';

/** For a terminal; a pipe gets the bytes as they are. */
export function patchText(patch: Buffer, style: Style): string {
  if (patch.length === 0) return 'No changes.\n';
  const lines = neutralised(patch.toString('utf8')).trimEnd().split('\n');
  return `${lines.map((line) => painted(line, style)).join('\n')}\n`;
}

function painted(line: string, style: Style): string {
  if (/^(diff --git|index|new file|deleted file|similarity|rename|old mode|new mode|--- |\+\+\+ )/.test(line))
    return style.bold(line);
  if (line.startsWith('@@')) return style.dim(line);
  if (line.startsWith('+')) return style.green(line);
  if (line.startsWith('-')) return style.red(line);
  return line;
}

/** Lines of what git said that a refusal repeats. */
const SHOWN_LINES = 10;

/**
 * Applies a patch to a directory: all of it, or, where a file there is not what the patch begins with or cannot be written, nothing.
 * Throws `UserError` (`apply_refused`, `apply_failed`, exit code 1).
 */
export async function applyPatch(patch: Buffer, directory: string): Promise<void> {
  const refused = await gitApply(patch, directory, ['--check']);
  if (refused.code !== 0) {
    throw notApplied(
      'apply_refused',
      'Nothing was applied: files here are not what the changes begin with. Compare with `capybara diff`.',
      refused.said,
    );
  }
  const { listed } = await gitApply(patch, directory, ['--numstat', '-z']);
  const kept = await keepFiles(directory, pathsIn(listed));
  const { code, said } = await gitApply(patch, directory, []);
  if (code === 0) return;
  // Git has removed what it was to change before it found that it may not write.
  const lost = await kept.putBack();
  const fate =
    lost.length === 0
      ? 'Nothing was applied: a file could not be written, and those before it were put back.'
      : `A file could not be written, and these could not be put back: ${neutralised(lost.join(', '))}.`;
  throw notApplied('apply_failed', fate, said);
}

/** Of `git apply --numstat -z`: counts and a path, ended by NUL. */
function pathsIn(listed: Buffer): Buffer[] {
  const records = listed.toString('latin1').split('\0').slice(0, -1);
  return records.map((record) => Buffer.from(record.split('\t').slice(2).join('\t'), 'latin1'));
}

function notApplied(code: string, sentence: string, said: string): UserError {
  const lines = neutralised(said)
    .trim()
    .split('\n')
    .map((line) => `  ${line.replace(/^error: /, '')}`);
  const more = lines.length > SHOWN_LINES ? [`  … and ${lines.length - SHOWN_LINES} more`] : [];
  return new UserError(code, [sentence, ...lines.slice(0, SHOWN_LINES), ...more].join('\n'), 1);
}

/**
 * It looks at all files before it writes the first. No repository counts: paths are meant from here, and attributes would change line
 * ends and run filters.
 */
async function gitApply(
  patch: Buffer,
  directory: string,
  how: readonly string[],
): Promise<{ readonly code: number | null; readonly said: string; readonly listed: Buffer }> {
  const apply = ['apply', '--whitespace=nowarn', '--no-ignore-whitespace', ...how, '-'];
  const args = ['-c', 'core.autocrlf=false', ...apply];
  const env = { ...commandEnvironment(), GIT_DIR: '/dev/null', LC_ALL: 'C' };
  const child = spawn('git', args, { cwd: directory, env, stdio: 'pipe' });
  const listed: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => listed.push(part));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  // It may have refused before it read all.
  child.stdin.on('error', () => {}).end(patch);
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on('error', reject).on('close', resolve);
  const code = await promise.catch(() => {
    throw new UserError(
      'git_missing',
      'git is needed to apply changes, and is not on the PATH: install it.',
      2,
    );
  });
  return { code, said, listed: Buffer.concat(listed) };
}

/**
 * How many files a patch changes. Throws `UserError`: `directory_missing`; `already_here` where the session worked in this very
 * directory, so that its changes are in it.
 */
export function changesIn(
  patch: Buffer,
  { workspace, directory }: { workspace: Session['workspace']; directory: string },
): number {
  if (!existsSync(directory)) {
    throw new UserError(
      'directory_missing',
      `There is no directory ${directory}: make it, or name another.`,
      2,
    );
  }
  if (workspace.kind === 'local' && workspace.path === realpathSync(directory)) {
    throw new UserError(
      'already_here',
      `The session worked in ${directory} itself: its changes are there already.`,
      2,
    );
  }
  return patch.toString('latin1').match(/^diff --git /gm)?.length ?? 0;
}
