/**
 * What makes the commits of commands an agent's. Hooks of our own, by `core.hooksPath`, add the trailer and have the repository's
 * run; a configuration in the place of the system's names an author where neither the repository nor the user does. Both are
 * told to git in the environment, so that no file of a repository or of the user changes, and nothing holds outside commands.
 *
 * What does not come by a hook is not covered: `git commit-tree` and what is built on it, and a command that sets
 * `core.hooksPath` or clears the environment itself. Git before 2.32 knows no such environment.
 */
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CO_AUTHOR } from '../core/co-author.ts';

export interface GitSetup {
  /** Holds the other two; real and absolute. Whoever runs commands must be able to read it. */
  readonly directory: string;
  readonly hooks: string;
  readonly config: string;
}

/**
 * Every hook of githooks(5) that does no more than git would without it: not those that replace an act of git's
 * (`push-to-checkout`, `proc-receive`), and none of a repository that is pushed to, since git clears their environment.
 */
const HOOKS = [
  ...['applypatch-msg', 'pre-applypatch', 'post-applypatch', 'pre-commit', 'pre-merge-commit'],
  ...['prepare-commit-msg', 'commit-msg', 'post-commit', 'pre-rebase', 'post-checkout', 'post-merge'],
  ...['pre-push', 'post-rewrite', 'pre-auto-gc', 'sendemail-validate', 'post-index-change'],
  ...['reference-transaction', 'p4-changelist', 'p4-prepare-changelist', 'p4-post-changelist'],
  'p4-pre-submit',
];

/** Where builds of git keep the configuration of the system: it goes on counting. */
const SYSTEM_CONFIGS = ['/etc/gitconfig', '/usr/local/etc/gitconfig', '/opt/homebrew/etc/gitconfig'];

const SCRIPT = 'capybara-hook';

/** Writes both below `directory`, each file whole or not at all: other workers may be using them. */
export function installGitSetup(directory: string): GitSetup {
  mkdirSync(join(directory, 'hooks'), { recursive: true });
  const real = realpathSync(directory);
  const setup = { directory: real, hooks: join(real, 'hooks'), config: join(real, 'config') };
  for (const path of [real, setup.hooks]) chmodSync(path, 0o755);
  put(setup.config, configText(), 0o644);
  put(join(setup.hooks, SCRIPT), readFileSync(new URL('./git-hook.sh', import.meta.url), 'utf8'), 0o755);
  for (const name of HOOKS) point(join(setup.hooks, name));
  return setup;
}

/** What commands have in their environment: `setup` where there is one, and settings that rank above every file. */
export function gitVariables(
  setup: GitSetup | undefined,
  settings: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const all = Object.entries({ ...settings, ...(setup && { 'core.hooksPath': setup.hooks }) });
  if (all.length === 0) return {};
  const pairs = all.flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${index}`, key],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]);
  return {
    ...(setup && { GIT_CONFIG_SYSTEM: setup.config }),
    GIT_CONFIG_COUNT: `${all.length}`,
    ...Object.fromEntries(pairs),
  };
}

/** What comes later counts. */
function configText(): string {
  const { name, email } = CO_AUTHOR;
  const readable = SYSTEM_CONFIGS.filter((path) => isForAll(path));
  const includes = readable.map((path) => `[include]\n\tpath = ${path}\n`);
  return `[user]\n\tname = ${name}\n\temail = ${email}\n${includes.join('')}`;
}

/** Git gives up at an include that it may not read. */
function isForAll(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true && (found.mode & 0o004) !== 0;
}

function put(path: string, text: string, mode: number): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, text);
  chmodSync(temporary, mode);
  renameSync(temporary, path);
}

function point(path: string): void {
  try {
    symlinkSync(SCRIPT, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || readlinkSync(path) !== SCRIPT) throw error;
  }
}
