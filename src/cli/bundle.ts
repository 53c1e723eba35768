/** A session's result as a commit: in a file, or as a branch of the repository that one stands in. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Session } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import { commandEnvironment } from '../config.ts';
import { messageOf, UserError } from '../core/errors.ts';
import { neutralised } from './untrusted-text.ts';

/** A session's commit becomes a file or a branch. Returns the sentence that says so. */
export async function takeCommit(
  client: Client,
  { id, workspace }: Pick<Session, 'id' | 'workspace'>,
  {
    bundle,
    branch,
    force,
  }: { readonly bundle?: string | undefined; readonly branch?: string | undefined; readonly force: boolean },
): Promise<string> {
  if (branch !== undefined && workspace.kind === 'roots') throw noOneRepository(id);
  if (bundle === undefined && (force || branch === undefined))
    throw new UserError('bad_usage', '--force writes over the file of --bundle: name that file.');
  const bytes = await client.bundle(id);
  if (bundle === undefined) {
    await makeBranch(bytes, { branch: String(branch), directory: process.cwd() });
    return `The branch ${branch} has what the session changed.\n`;
  }
  await writeBundle(bytes, { file: bundle, force });
  return `Wrote ${bundle}: git fetch ${bundle} brings the commit.\n`;
}

function noOneRepository(id: string): UserError {
  return new UserError(
    'no_one_repository',
    `The session ${id} has several roots, whose changes are no commit of one repository: take them over with capybara apply ${id}.`,
  );
}

/**
 * Makes a branch of the repository around `directory` from a bundle. Throws `UserError` (`branch_invalid`, `branch_exists`, `branch_failed`,
 * `git_missing`), with nothing changed.
 */
export async function makeBranch(
  bundle: Buffer,
  { branch, directory }: { readonly branch: string; readonly directory: string },
): Promise<void> {
  const name = JSON.stringify(branch);
  if ((await git(['check-ref-format', '--branch', branch], directory)).code !== 0)
    throw new UserError('branch_invalid', `${name} cannot be the name of a branch: give another.`);
  const reference = `refs/heads/${branch}`;
  if ((await git(['rev-parse', '--verify', '--quiet', reference], directory)).code === 0)
    throw new UserError('branch_exists', `There is a branch ${name} already: give another name.`);
  const place = await mkdtemp(join(tmpdir(), 'capybara-bundle-'));
  try {
    const file = join(place, 'session.bundle');
    await writeFile(file, bundle);
    const { code, said } = await git(['fetch', '--quiet', '--no-tags', file, `HEAD:${reference}`], directory);
    if (code === 0) return;
    throw new UserError(
      'branch_failed',
      `The branch ${name} could not be made: the repository here must be the one that the session began with. ${neutralised(said.trim())}`,
      1,
    );
  } finally {
    await rm(place, { recursive: true });
  }
}

/** Throws `UserError` (`bundle_exists`, `bundle_not_written`), with what was there left as it was where it may not be written over. */
export async function writeBundle(
  bundle: Buffer,
  { file, force }: { readonly file: string; readonly force: boolean },
): Promise<void> {
  const name = JSON.stringify(file);
  await writeFile(file, bundle, { flag: force ? 'w' : 'wx' }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new UserError(
        'bundle_exists',
        `There is a file ${name} already: name another, or add --force to write over it.`,
      );
    throw new UserError(
      'bundle_not_written',
      `${name} cannot be written (${messageOf(error)}): name another.`,
      1,
    );
  });
}

async function git(
  args: readonly string[],
  cwd: string,
): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn('git', args, {
    cwd,
    env: { ...commandEnvironment(), LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on('error', reject).on('close', resolve);
  const code = await promise.catch(() => {
    throw new UserError('git_missing', 'git is needed to make a branch, and is not on the PATH: install it.');
  });
  return { code, said };
}
