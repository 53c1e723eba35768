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
  if (isRelativePath(remote)) return relativePath(remote);
  const failure = await listing(remote);
  if (failure === undefined) return { name: NAME, state: 'ok', found: `${withoutPassword(remote)} answers` };
  return {
    ...{ name: NAME, state: 'wrong', found: `${withoutPassword(remote)} does not answer (${failure})` },
    cure: 'set CAPYBARA_SNAPSHOTS to a git remote that this host may read and write',
  };
}

/** Neither `scheme://…` nor `host:path`: git would take it for a path, from a directory that is not the one here. */
function isRelativePath(remote: string): boolean {
  return !/^([a-z][a-z+.-]*:\/\/|[^/]+:)/i.test(remote);
}

function relativePath(remote: string): Check {
  return {
    ...{ name: NAME, state: 'wrong', found: `${remote} is a relative path, and one has to be absolute` },
    cure: 'set CAPYBARA_SNAPSHOTS to an absolute path, or to the address of a git remote',
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
