/** The demo's project as a real git repository. Also what the tests that kill Capybara work on. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PROJECT = fileURLToPath(new URL('./project', import.meta.url));

/** What the demo asks for. */
export const PROMPT = 'The tests fail. Find out why, mend the code, and make sure that they pass.';

/** A new repository in `directory`, with one commit whose tests fail. */
export function makeRepository(directory: string): string {
  mkdirSync(directory, { recursive: true });
  cpSync(PROJECT, directory, { recursive: true });
  git(directory, 'init', '--quiet', '--initial-branch=main');
  git(directory, 'add', '--all');
  git(directory, 'commit', '--quiet', '--message', 'Format durations');
  return directory;
}

/** Git with an identity of the demo's own and nothing of the user's configuration. Returns what it prints. */
export function git(cwd: string, ...args: string[]): string {
  const identity = ['-c', 'user.name=Demo', '-c', 'user.email=demo@localhost', '-c', 'commit.gpgsign=false'];
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
  return execFileSync('git', [...identity, ...args], { cwd, env, encoding: 'utf8' });
}
