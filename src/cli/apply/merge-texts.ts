import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandEnvironment } from '../../config.ts';
import { UserError } from '../../core/errors.ts';
import type { ThreeTexts } from './decide.ts';

export type MergedText =
  | { readonly outcome: 'merged'; readonly content: Buffer }
  | { readonly outcome: 'conflict' | 'no_text' };

/** What git-merge-file(1) exits with for so many conflicts, or more; above it for what it cannot merge. */
const MOST_CONFLICTS = 127;

/**
 * Merges line by line, as git does, in a directory of its own: no repository, attribute or setting of the person's has a part in it.
 * Throws `UserError` (`git_missing`).
 */
export async function mergeTexts(texts: ThreeTexts): Promise<MergedText> {
  if (Object.values(texts).some((text: Buffer) => text.includes(0))) return { outcome: 'no_text' };
  const directory = await mkdtemp(join(tmpdir(), 'capybara-merge-'));
  try {
    for (const [name, text] of Object.entries(texts)) await writeFile(join(directory, name), text);
    const { code, content } = await mergeFile(directory);
    if (code === 0) return { outcome: 'merged', content };
    return { outcome: code !== null && code <= MOST_CONFLICTS ? 'conflict' : 'no_text' };
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function mergeFile(directory: string): Promise<{ code: number | null; content: Buffer }> {
  const env = {
    ...commandEnvironment(),
    ...{ GIT_DIR: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', LC_ALL: 'C' },
  };
  const args = ['merge-file', '-p', '-q', 'ours', 'base', 'theirs'];
  const child = spawn('git', args, { cwd: directory, env, stdio: ['ignore', 'pipe', 'ignore'] });
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => parts.push(part));
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on('error', reject).on('close', resolve);
  const code = await promise.catch(() => {
    throw new UserError(
      'git_missing',
      'git is needed to merge with what was changed here, and is not on the PATH: install it.',
      2,
    );
  });
  return { code, content: Buffer.concat(parts) };
}
