/** Addresses of git repositories as people write them, and which of them may be cloned from. Nothing here is looked up. */
import { UserError } from './errors.ts';

/** Longest URL and longest ref that are accepted, in characters. */
export const MAX_REPOSITORY_URL = 2_048;
export const MAX_REF_LENGTH = 255;

export interface RepositoryUrl {
  /** As git is given it: normalised, without user name or password (but for the user of ssh), query and fragment. */
  readonly url: string;
  readonly protocol: 'https' | 'http' | 'ssh' | 'file';
  /** '' of a file. */
  readonly host: string;
  /** The protocol's own where the URL names none; 0 of a file. */
  readonly port: number;
  readonly path: string;
}

/** From where repositories may come. */
export interface RepositoryPolicy {
  /** Who asks is who owns the machine: from its directories, and from anywhere. */
  readonly own: boolean;
  /** Whether hosts that nobody listed are asked at all: public ones, by https. */
  readonly online: boolean;
  /** Beginnings of URLs that may be cloned from whatever their protocol and wherever their host is. */
  readonly allowed: readonly RepositoryUrl[];
}

const PORTS = { https: 443, http: 80, ssh: 22, file: 0 } as const;
const HOW = 'expected https://host/path (or ssh://user@host/path where that is allowed)';

/** Reads what a person wrote. Throws `UserError` (`bad_repository`), which never repeats a password. */
export function readRepositoryUrl(text: string): RepositoryUrl {
  if (text.length > MAX_REPOSITORY_URL) {
    throw bad(`has ${text.length} characters, expected at most ${MAX_REPOSITORY_URL}`);
  }
  // Git would take the first for an option; and what is read here must be what git reads.
  if (/^-|[\s\p{Cc}\\]/u.test(text)) {
    throw bad(`${quoted(text)} begins with '-' or holds spaces, backslashes or control characters, ${HOW}`);
  }
  const url = URL.parse(spelledOut(text));
  const protocol = protocolOf(url);
  if (url === null || protocol === undefined) throw bad(`is ${quoted(text)}, ${HOW}`);
  refuseSecrets(url, protocol);
  const path = url.pathname.replace(/\/+$/, '');
  if ((protocol === 'file') !== (url.hostname === '')) throw bad(`is ${quoted(text)}, ${HOW}`);
  // Written so, a slash would be none here and one for whoever serves it.
  if (/%(2f|5c|00)/i.test(path) || url.hostname.includes('%')) {
    throw bad(`${quoted(text)} holds an encoded slash, backslash, NUL or host, ${HOW}`);
  }
  if (path === '' || /^\/*-/.test(path) || url.hostname.startsWith('-')) {
    throw bad(`${quoted(text)} names no repository of its host, ${HOW}`);
  }
  const user = url.username === '' ? '' : `${url.username}@`;
  return {
    url: `${protocol}://${user}${url.host}${path}`,
    ...{ protocol, host: url.hostname, path },
    port: url.port === '' ? PORTS[protocol] : Number(url.port),
  };
}

/** `git+https://…` as `https://…`, `user@host:path` (as scp has it) as `ssh://user@host/path`. */
function spelledOut(text: string): string {
  const [, user, path] = /^([\w.-]+@[\w.-]+):(?!\/\/)(.+)$/.exec(text) ?? [];
  if (user !== undefined) return `ssh://${user}/${path?.replace(/^\/+/, '')}`;
  return text.replace(/^git\+(?=[a-z]+:)/, '');
}

function protocolOf(url: URL | null): RepositoryUrl['protocol'] | undefined {
  const name = url?.protocol.slice(0, -1);
  return name === 'https' || name === 'http' || name === 'ssh' || name === 'file' ? name : undefined;
}

/** It is stored with the session and shown to whoever may see that. */
function refuseSecrets(url: URL, protocol: RepositoryUrl['protocol']): void {
  const isUser = protocol === 'ssh' && url.password === '' && /^[\w][\w.-]*$/.test(url.username);
  if ((url.username !== '' || url.password !== '') && !isUser) {
    throw bad(
      `${url.host} has a user name or a password in it, which would be stored with the session and shown: leave them out; ` +
        'an administrator sets keys with CAPYBARA_GIT_CREDENTIALS',
    );
  }
  if (url.search !== '' || url.hash !== '') {
    throw bad(
      `${url.host}${url.pathname} has a query or a fragment, expected none: a ref is given by itself`,
    );
  }
}

/** What may be shown of a text that should have been a URL. */
function quoted(text: string): string {
  const plain = text.replace(/\/\/[^/]*@/, '//***@').replace(/[?#].*$/s, '');
  return JSON.stringify(plain.length > 100 ? `${plain.slice(0, 100)}…` : plain);
}

function bad(found: string): UserError {
  return new UserError('bad_repository', `The repository ${found}.`);
}

/** As `readRepositoryUrl`, of one that may be cloned from. Throws `UserError` (`repository_not_allowed`) too. */
export function checkRepository(text: string, policy: RepositoryPolicy): RepositoryUrl {
  const found = readRepositoryUrl(text);
  if (policy.allowed.some((each) => isBelow(each, found))) return found;
  if (policy.own && (policy.online || found.protocol === 'file')) return found;
  if (policy.online && found.protocol === 'https') return found;
  const expected = policy.online ? 'an https:// URL of a public host' : 'one that is listed';
  throw new UserError(
    'repository_not_allowed',
    `The repository ${found.url} may not be cloned here, expected ${expected}: ` +
      'an administrator may list more with CAPYBARA_GIT_ALLOW.',
  );
}

/** Whether an address may be connected to although it is not public: somebody listed its host, or may go anywhere. */
export function isTrustedHost(
  policy: RepositoryPolicy,
  { host, port }: Pick<RepositoryUrl, 'host' | 'port'>,
): boolean {
  const isListed = policy.allowed.some((each) => each.host === host && each.port === port);
  return isListed || (policy.own && policy.online);
}

/** Whether `found` is `beginning`, or below it: `https://host/acme` is the beginning of `https://host/acme/app`. */
export function isBelow(beginning: RepositoryUrl, found: RepositoryUrl): boolean {
  const { protocol, host, port, path } = beginning;
  const isSameHost = found.protocol === protocol && found.host === host && found.port === port;
  return isSameHost && (found.path === path || found.path.startsWith(`${path}/`));
}

/** Reads one beginning of URLs: a host alone will do. Undefined where it is none. */
export function readBeginning(text: string): RepositoryUrl | undefined {
  const whole = /^[a-z+]+:\/\/[^/]+\/?$/.test(text);
  try {
    const { path, ...rest } = readRepositoryUrl(whole ? `${text.replace(/\/$/, '')}/x` : text);
    return { ...rest, path: whole ? '' : path };
  } catch {
    return undefined;
  }
}

/**
 * The branch, tag or commit that a person named; null where they named none, or `HEAD`. Throws `UserError` (`bad_ref`). As
 * git-check-ref-format(1) has it: nothing that git would take for an option, a pattern or a calculation.
 */
export function readRef(text: string | null | undefined): string | null {
  if (text === null || text === undefined || text === 'HEAD') return null;
  if (text.length <= MAX_REF_LENGTH && isRefName(text)) return text;
  throw new UserError(
    'bad_ref',
    `The ref is ${JSON.stringify(text.slice(0, 100))}, expected the name of a branch or a tag, or a commit's id, of at most ${MAX_REF_LENGTH} characters.`,
  );
}

const FORBIDDEN = /[\p{Cc} ~^:?*[\\]|\.\.|@\{|\/\/|^[-/@]$|^[-/]|[/.]$|(^|\/)\.|\.lock(\/|$)/u;

export function isRefName(text: string): boolean {
  return text !== '' && !FORBIDDEN.test(text) && text.isWellFormed();
}
