/** What git says when something failed, as a failure with a code: pure, over the words of git and curl in the locale C. */
import { visible } from '../file-tree.ts';
import type { GitDone } from './git-command.ts';
import { RepositoryError } from './repository-error.ts';

export interface FailedClone {
  /** The repository's URL, as it may be shown. */
  readonly url: string;
  /** Largest file, in bytes. */
  readonly fileBytes: number;
  /** Whether a key was sent. */
  readonly hasKey: boolean;
  /** What must not be shown, whatever git repeats. */
  readonly secrets: readonly string[];
}

/** The longest piece of what git said that is repeated. */
const SAID_LENGTH = 300;

interface Meaning {
  readonly words: RegExp;
  readonly code: string;
  readonly isRetryable?: true;
  say(failed: FailedClone): string;
}

const MIB = 1024 ** 2;

/** The first that matches counts: a pack that was refused breaks the connection too, and is reported as that as well. */
const MEANINGS: readonly Meaning[] = [
  {
    words: /\bobject [0-9a-f]{40,64}: \w+: |fsck error in pack|did not send all necessary objects/,
    code: 'repository_broken',
    say: ({ url }) =>
      `${url} holds objects that git takes for damaged or dangerous: mend its history, or give another repository.`,
  },
  {
    words: /exec: .*git: not found/,
    code: 'git_missing',
    say: () =>
      'A repository is cloned with git, and there is none where the worker looks for it: install git (2.38 or newer).',
  },
  {
    words: /cannot lock ref|unable to create '[^']*\.lock'|bad object refs|missing (blob|tree|commit)/i,
    code: 'repository_cache',
    isRetryable: true,
    say: ({ url }) => `What this host had kept of ${url} could not be used, and is fetched anew.`,
  },
  {
    words: /File too large|Out of memory|annot allocate|memory exhausted/i,
    code: 'repository_too_large',
    say: ({ url, fileBytes }) =>
      `${url} has more than ${Math.floor(fileBytes / MIB)} MiB of history, or needs too much memory: CAPYBARA_GIT_MIB says what one may have.`,
  },
  {
    words: /couldn't find remote ref|not our ref|unadvertised object/,
    code: 'ref_not_found',
    say: ({ url }) => `What was asked for is not in ${url} any more.`,
  },
  {
    words:
      /Authentication failed|could not read (Username|Password)|returned error: 40[13]|Permission denied|Host key verification failed|Access denied|dubious ownership/,
    code: 'repository_denied',
    say: ({ url, hasKey }) =>
      hasKey
        ? `${url} refuses the key that is set for it, or is not there: an administrator has to look at CAPYBARA_GIT_CREDENTIALS.`
        : `${url} is not there, or wants a key and there is none: check the URL; an administrator sets keys with CAPYBARA_GIT_CREDENTIALS (ssh: CAPYBARA_GIT_SSH_KEY and known_hosts).`,
  },
  {
    words:
      /returned error: 404|repository .*not found|does not appear to be a git repository|not valid: is this a git repository|unable to update url base/i,
    code: 'repository_denied',
    say: ({ url }) =>
      `There is no git repository at ${url}, or none that this Capybara may see: check the URL.`,
  },
  {
    words: /returned error: 30[12378]/,
    code: 'repository_moved',
    say: ({ url }) =>
      `${url} has moved, and no key is sent along a redirect: give the address that it has now.`,
  },
  {
    words: /SSL certificate|certificate verif|server certificate/i,
    code: 'repository_untrusted',
    say: ({ url }) =>
      `The certificate of ${url} is not trusted here: its host, or the certificates of the worker's system, have to be mended.`,
  },
  {
    words:
      /unable to access|early EOF|unexpected disconnect|RPC failed|hung up|Connection (reset|refused|timed out|closed)|Could not resolve|returned error: (429|5\d\d)|timed out|No route to host/,
    code: 'repository_unreachable',
    isRetryable: true,
    say: ({ url }) => `${url} cannot be reached, or broke off.`,
  },
  {
    words:
      /index-pack|inflate|corrupt|unresolved deltas|protocol error|bad line length|expected flush|bad pack|pack has/,
    code: 'repository_broken',
    say: ({ url }) => `What ${url} sends is no repository that git can read.`,
  },
];

const DISK_FULL = /No space left on device|Disk quota exceeded/;

/** Rather an error of the machine's, with Node's own code, where its disk is full. */
export function failureOf({ stderr }: Pick<GitDone, 'stderr'>, failed: FailedClone): Error {
  if (DISK_FULL.test(stderr)) return Object.assign(new Error('the disk is full'), { code: 'ENOSPC' });
  const meaning = MEANINGS.find(({ words }) => words.test(stderr));
  const said = ` Git says: ${saidBy(stderr, failed)}`;
  if (meaning === undefined) {
    return new RepositoryError(
      'retryable',
      'repository_unreachable',
      `${failed.url} cannot be cloned.${said}`,
    );
  }
  const { code, isRetryable, say } = meaning;
  return new RepositoryError(isRetryable ? 'retryable' : 'terminal', code, `${say(failed)}${said}`);
}

/** What git adds to each failure over ssh: advice that tells nothing, in the place of what ssh said. */
const ADVICE = /^Please make sure you have the correct access rights$|^and the repository exists\.$/;

/** Its last lines, without what a server let it print, and without secrets. */
function saidBy(stderr: string, { secrets }: FailedClone): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .filter((line) => line.trim() !== '' && !line.startsWith('remote:') && !ADVICE.test(line));
  const text = secrets.reduce((all, secret) => all.replaceAll(secret, '***'), lines.slice(-3).join('; '));
  return visible(text.replace(/\/\/[^/\s]*@/g, '//')).slice(-SAID_LENGTH) || 'nothing.';
}
