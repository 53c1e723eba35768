import { execFile } from 'node:child_process';
import { isAbsolute } from 'node:path';
import { commandEnvironment } from '../config.ts';
import { type Check, directory } from './check.ts';

const NAME = 'shared snapshots';
const ANSWER_TIMEOUT_MS = 10_000;
const REASON_LIMIT = 300;

/** Whether this host may use what `CAPYBARA_SNAPSHOTS` names. Whether it may write to a remote is seen only by writing. */
export async function sharedSnapshots(remote: string): Promise<Check> {
  if (isAbsolute(remote)) {
    return directory(NAME, {
      path: remote,
      cure: 'set CAPYBARA_SNAPSHOTS to a directory that all hosts reach',
    });
  }
  const failure = await listing(remote);
  if (failure === undefined) return { name: NAME, state: 'ok', found: `${withoutPassword(remote)} answers` };
  return {
    ...{ name: NAME, state: 'wrong', found: `${withoutPassword(remote)} does not answer (${failure})` },
    cure: 'set CAPYBARA_SNAPSHOTS to a git remote that this host may read and write',
  };
}

/** Undefined: it answers. */
function listing(remote: string): Promise<string | undefined> {
  const { PATH, HOME, SSH_AUTH_SOCK } = commandEnvironment();
  const env = { PATH, HOME, SSH_AUTH_SOCK, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };
  const options = { timeout: ANSWER_TIMEOUT_MS, env };
  return new Promise((resolve) => {
    execFile('git', ['ls-remote', '--refs', '--', remote, 'HEAD'], options, (error, _stdout, stderr) => {
      if (error === null) return resolve(undefined);
      const said = stderr.trim().replaceAll(remote, withoutPassword(remote)).replaceAll('\n', ' ');
      resolve(
        error.killed
          ? `within ${ANSWER_TIMEOUT_MS / 1_000} s`
          : said.slice(0, REASON_LIMIT) || 'git does not run',
      );
    });
  });
}

function withoutPassword(address: string): string {
  return address.replace(/\/\/[^/\s]*@/, '//');
}
