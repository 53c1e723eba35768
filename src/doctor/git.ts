import { execFile } from 'node:child_process';
import { commandEnvironment } from '../config.ts';
import type { Check } from './check.ts';

const ANSWER_TIMEOUT_MS = 5_000;

interface Need {
  readonly version: readonly [major: number, minor: number];
  readonly what: string;
  readonly state: 'warning' | 'wrong';
}

/** The oldest first: of those that are not met, the first is told. */
const NEEDS: readonly Need[] = [
  // GIT_CONFIG_COUNT: an older one ignores what keeps a repository's own settings from running anything.
  { version: [2, 31], what: 'snapshots and clones', state: 'wrong' },
  { version: [2, 36], what: 'directories that belong to somebody else', state: 'warning' },
];

const INSTALL = 'install a newer one (apt install git)';

export async function git(): Promise<Check> {
  const said = await versionLine('git');
  return said instanceof Error
    ? {
        name: 'git',
        state: 'wrong',
        found: `git does not run (${said.message.trim()})`,
        cure: 'install it (apt install git)',
      }
    : judgeGit(said);
}

/** `said`: what `git --version` says. */
export function judgeGit(said: string): Check {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(said) ?? [];
  const has = [Number(major), Number(minor)] as const;
  const wrong = NEEDS.find(({ version }) => isBelow(has, version));
  if (wrong === undefined) return { name: 'git', state: 'ok', found: said };
  const found = `${said}, and ${wrong.version.join('.')} or newer is needed for ${wrong.what}`;
  return { name: 'git', state: wrong.state, found, cure: INSTALL };
}

function isBelow([major, minor]: readonly [number, number], [least, lesser]: Need['version']): boolean {
  return Number.isNaN(major) || major < least || (major === least && minor < lesser);
}

/** The first line of what a program says to `--version`. */
export function versionLine(program: string): Promise<string | Error> {
  const options = { timeout: ANSWER_TIMEOUT_MS, env: { PATH: commandEnvironment().PATH } };
  return new Promise((resolve) => {
    execFile(program, ['--version'], options, (error, stdout) =>
      resolve(error ?? stdout.split('\n')[0] ?? ''),
    );
  });
}
