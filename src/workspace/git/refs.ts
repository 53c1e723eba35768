/** What a remote has, and what of it a session is to begin with. Pure: git is asked elsewhere. */
import { createHash } from 'node:crypto';
import { isRefName } from '../../core/repository.ts';
import { visible } from '../file-tree.ts';
import { RepositoryError } from './repository-error.ts';

/** What `git ls-remote --symref` says. */
export interface Remote {
  /** The branch that HEAD names, where it is there. */
  readonly defaultBranch: string | null;
  /** Object ids by their ref's whole name; `HEAD` and, of annotated tags, `refs/tags/x^{}` among them. */
  readonly refs: ReadonlyMap<string, string>;
  readonly objectFormat: 'sha1' | 'sha256';
}

/** A ref to be fetched: what it is in the remote, in the cache and (null: nothing) in the clone. */
export interface Fetched {
  readonly remote: string;
  readonly cached: string;
  readonly cloned: string | null;
}

/**
 * What is fetched, and what the clone stands on then.
 *
 * - `branch`: on a branch of its own that follows the remote's.
 * - `detached`: on a commit: where a ref of the cache leads (`at`), or the one with this id, or with this beginning of one.
 * - `everything`: `at` may be anywhere in the remote: all branches and tags have to be fetched to know.
 * - `empty`: a repository without commits.
 */
export type ClonePlan = FetchPlan | { readonly kind: 'empty' };

export type FetchPlan =
  | {
      readonly kind: 'branch';
      readonly branch: string;
      readonly at: string;
      readonly fetched: readonly Fetched[];
    }
  | { readonly kind: 'detached'; readonly at: string; readonly fetched: readonly Fetched[] }
  | { readonly kind: 'everything'; readonly at: string; readonly fetched: readonly Fetched[] };

export function readRemote(text: string): Remote {
  const refs = new Map<string, string>();
  let head: string | undefined;
  for (const line of text.split('\n')) {
    const [id = '', name = ''] = line.split('\t');
    if (name === 'HEAD' && id.startsWith('ref: refs/heads/')) head = id.slice('ref: refs/heads/'.length);
    else if (/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(id)) refs.set(name, id);
  }
  const isThere = head !== undefined && isRefName(head) && refs.has(`refs/heads/${head}`);
  const [first = ''] = refs.values();
  return {
    defaultBranch: isThere ? (head as string) : null,
    refs,
    objectFormat: first.length === 64 ? 'sha256' : 'sha1',
  };
}

/** Throws `RepositoryError` (`ref_not_found`) where what is named is certain not to be there. `url`: to be named in it. */
export function planClone(remote: Remote, { url, ref }: { url: string; ref: string | null }): ClonePlan {
  const { refs, defaultBranch } = remote;
  if (ref === null) return planDefault(remote, url);
  const others = defaultBranch === null ? [] : [fetchedBranch(defaultBranch)];
  const branch = ref.replace(/^refs\/heads\//, '');
  if (refs.has(`refs/heads/${branch}`)) return planBranch(branch, others);
  const whole = ref.startsWith('refs/') ? ref : `refs/tags/${ref}`;
  if (refs.has(whole)) {
    // A tag keeps its name: git fetches those that lead into a history by themselves.
    const isTag = whole.startsWith('refs/tags/');
    const fetched = {
      ...{ remote: whole, cached: isTag ? whole : cachedAs(whole) },
      cloned: isTag ? whole : null,
    };
    return { kind: 'detached', at: fetched.cached, fetched: [fetched, ...others] };
  }
  const id = ref.toLowerCase();
  const known = /^[0-9a-f]{7,64}$/.test(id) ? knownCommits(remote, id) : [];
  const [only] = known;
  if (only !== undefined && known.length === 1) return planCommit(only, others);
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(id)) return planCommit(id, others);
  if (/^[0-9a-f]{7,63}$/.test(id) && refs.size > 0)
    return { kind: 'everything', at: id, fetched: EVERYTHING };
  throw refNotFound(remote, { url, ref });
}

/** The same for a commit that the remote does not hand out by its id. */
export function planEverything(at: string): FetchPlan {
  return { kind: 'everything', at, fetched: EVERYTHING };
}

const EVERYTHING: readonly Fetched[] = [
  { remote: 'refs/heads/*', cached: 'refs/all/heads/*', cloned: null },
  { remote: 'refs/tags/*', cached: 'refs/all/tags/*', cloned: null },
];

function planDefault({ defaultBranch, refs }: Remote, url: string): ClonePlan {
  if (defaultBranch !== null) return planBranch(defaultBranch, []);
  const head = refs.get('HEAD');
  if (head !== undefined) return planCommit(head, []);
  if (![...refs.keys()].some((name) => name.startsWith('refs/heads/'))) return { kind: 'empty' };
  throw new RepositoryError(
    'terminal',
    'ref_not_found',
    `The default branch of ${url} is not there: name a ref.${branchesOf({ refs })}`,
  );
}

function planBranch(branch: string, others: readonly Fetched[]): ClonePlan {
  const fetched = fetchedBranch(branch);
  const more = others.filter(({ remote }) => remote !== fetched.remote);
  return { kind: 'branch', branch, at: fetched.cached, fetched: [fetched, ...more] };
}

function fetchedBranch(branch: string): Fetched {
  const remote = `refs/heads/${branch}`;
  return { remote, cached: cachedAs(remote), cloned: `refs/remotes/origin/${branch}` };
}

function planCommit(id: string, others: readonly Fetched[]): ClonePlan {
  const fetched = { remote: id, cached: cachedAs(id), cloned: null };
  return { kind: 'detached', at: id, fetched: [fetched, ...others] };
}

/** Whatever a ref is called, it does not stand in the way of another one: `a` and, later, `a/b`. */
function cachedAs(remote: string): string {
  return `refs/cached/${createHash('sha256').update(remote).digest('hex').slice(0, 40)}`;
}

/** Tips whose id is this, or begins so; of an annotated tag the commit. */
function knownCommits({ refs }: Remote, id: string): string[] {
  const tips = [...refs].filter(([name, each]) => each.startsWith(id) && !refs.has(`${name}^{}`));
  return [...new Set(tips.map(([, each]) => each))];
}

export function refNotFound(
  { refs }: Pick<Remote, 'refs'>,
  { url, ref }: { readonly url: string; readonly ref: string | null },
): RepositoryError {
  const what = ref === null ? 'default branch' : `branch, tag or commit '${ref}'`;
  const several = ref !== null && /^[0-9a-f]{7,63}$/i.test(ref) && ref.length !== 40;
  return new RepositoryError(
    'terminal',
    'ref_not_found',
    `There is no ${what} in ${url}${several ? ', or several commits begin so' : ''}.${branchesOf({ refs })}`,
  );
}

const BRANCHES_SHOWN = 10;
const LONGEST_SHOWN = 60;

function branchesOf({ refs }: Pick<Remote, 'refs'>): string {
  const names = [...refs.keys()]
    .filter((name) => name.startsWith('refs/heads/'))
    .map((name) => visible(name.slice('refs/heads/'.length)))
    .filter((name) => name.length <= LONGEST_SHOWN);
  if (names.length === 0) return refs.size === 0 ? ' It is empty.' : '';
  const more = names.length > BRANCHES_SHOWN ? `, and ${names.length - BRANCHES_SHOWN} more` : '';
  return ` Its branches: ${names.slice(0, BRANCHES_SHOWN).join(', ')}${more}.`;
}
