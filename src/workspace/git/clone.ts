/**
 * The files that a `git` workspace begins with: a clone with the history of one ref, and of the default branch beside it, that needs
 * nothing else. Whole history rather than a partial or shallow clone: commands have no network, so that what is not there at the
 * beginning (`git log -p`, `git blame`) never comes.
 *
 * What comes from the remote goes into a cache of its team, where git checks every object; the clone is made from that, in a
 * directory that no agent has seen. Killed anywhere, it is done again.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkRepository } from '../../core/repository.ts';
import type { GitSource } from '../../core/workspace.ts';
import { SNAPSHOT_LIMITS } from '../snapshots/limits.ts';
import { type Cache, type CacheHost, takeCache } from './cache.ts';
import { CHECKED, speaksGit } from './checked.ts';
import { failureOf } from './failure.ts';
import { type GitCall, type GitDone, type GitProgram, runGit, TooMuchPrinted } from './git-command.ts';
import {
  type ClonePlan,
  type FetchPlan,
  planClone,
  planEverything,
  type Remote,
  readRemote,
  refNotFound,
} from './refs.ts';
import { RepositoryError } from './repository-error.ts';
import { Sizes } from './sizes.ts';
import { openWay, type Way, type WayOptions } from './way.ts';

export interface CloneHost extends Omit<WayOptions, 'bytes'>, CacheHost {
  /** Of a repository's history, packed, and of the files of its commit, each. */
  readonly bytes: number;
  /** For all of it, in milliseconds. */
  readonly timeoutMs: number;
  /** Where git is looked for: a PATH. */
  readonly searchPath: string;
}

export interface CloneRequest {
  /** Caches are a team's own: what one may see is not for another. */
  readonly teamId: string;
  readonly source: Pick<GitSource, 'url' | 'ref'>;
  readonly signal: AbortSignal;
}

export interface Cloned {
  /** With a `.git` of its own; gone when `use` has returned. */
  readonly directory: string;
  /** Null in a repository without commits. */
  readonly commit: string | null;
}

/** Beside the history: lists of refs, and what the protocol adds. */
const TALK_BYTES = 64 * 1024 ** 2;

/**
 * Clones, and hands the clone to `use`. Throws `RepositoryError`, `UserError` (`repository_not_allowed`, `bad_repository`), an error with
 * Node's code `ENOSPC`, or the signal's reason.
 */
export async function cloneRepository<T>(
  asked: CloneRequest,
  host: CloneHost,
  use: (cloned: Cloned) => Promise<T>,
): Promise<T> {
  const source = checkRepository(asked.source.url, host.policy);
  const late = AbortSignal.timeout(host.timeoutMs);
  const signal = AbortSignal.any([asked.signal, late]);
  const way = await openWay(source, { ...host, bytes: host.bytes + TALK_BYTES });
  let cache: Cache | undefined;
  try {
    cache = await takeCache(host, { teamId: asked.teamId, url: source.url, signal });
    const clone = new Clone({ cache, way, host, signal, source: { url: source.url, ref: asked.source.ref } });
    const commit = await clone.make();
    return await use({ directory: cache.staging, commit });
  } catch (error) {
    asked.signal.throwIfAborted();
    throw late.aborted && !(error instanceof RepositoryError) ? tooLate(source.url, host.timeoutMs) : error;
  } finally {
    await way.gateway?.close();
    await cache?.release();
  }
}

function tooLate(url: string, timeoutMs: number): RepositoryError {
  return new RepositoryError(
    'terminal',
    'repository_timeout',
    `${url} was not cloned within ${timeoutMs / 1_000} seconds: CAPYBARA_GIT_SECONDS says what one may take.`,
  );
}

interface CloneParts {
  readonly cache: Cache;
  readonly way: Way;
  readonly host: CloneHost;
  readonly source: CloneRequest['source'];
  readonly signal: AbortSignal;
}

class Clone {
  readonly #parts: CloneParts;
  readonly #program: GitProgram;

  constructor(parts: CloneParts) {
    this.#parts = parts;
    const { searchPath, bytes } = parts.host;
    this.#program = { searchPath, fileBytes: bytes };
  }

  /** The commit that the clone stands on. */
  async make(): Promise<string | null> {
    const remote = await this.#remote();
    const plan = planClone(remote, this.#parts.source);
    await this.#openCache(remote);
    const commit = plan.kind === 'empty' ? null : await this.#fetched(remote, plan);
    if (commit !== null) await this.#measure(commit);
    await this.#stage(remote, plan, commit);
    return commit;
  }

  async #remote(): Promise<Remote> {
    const { way, cache, source } = this.#parts;
    const patterns = [
      'HEAD',
      'refs/heads/*',
      'refs/tags/*',
      ...(source.ref?.startsWith('refs/') ? [source.ref] : []),
    ];
    const args = ['ls-remote', '--symref', ...way.options, '--', way.url, ...patterns];
    return readRemote(await this.#reach(args, cache.staging));
  }

  /** What a git that was killed has left there would be in the way. */
  async #openCache({ objectFormat }: Remote): Promise<void> {
    const { directory, clear } = this.#parts.cache;
    await tidy(directory);
    const args = ['init', '--quiet', '--bare', '--template=', `--object-format=${objectFormat}`];
    if ((await this.#git({ args, cwd: directory })).ok) return;
    await clear();
    await this.#must({ args, cwd: directory });
  }

  async #fetched(remote: Remote, plan: FetchPlan): Promise<string> {
    const { source, cache } = this.#parts;
    try {
      await this.#fetch(plan);
    } catch (error) {
      // A server need not hand out a commit by its id: then it has to be found among all there are.
      const isAny = plan.kind === 'detached' && !plan.at.startsWith('refs/');
      if (!(isAny && codeOf(error) === 'ref_not_found')) throw await this.#suspected(error);
      await this.#fetch(planEverything(plan.at));
    }
    const args = ['rev-parse', '--verify', '--quiet', `${plan.at}^{commit}`];
    const found = await this.#git({ args, cwd: cache.directory });
    if (!found.ok) throw refNotFound(remote, source);
    return found.stdout.trim();
  }

  async #fetch({ fetched, kind }: FetchPlan): Promise<void> {
    const { way, cache } = this.#parts;
    const refspecs = fetched.map(({ remote, cached }) => `+${remote}:${cached}`);
    const prune = kind === 'everything' ? ['--prune'] : [];
    const args = ['fetch', ...QUIET, ...prune, '--force', ...way.options, '--', way.url, ...refspecs];
    await this.#reach(args, cache.directory);
  }

  /** Where what was cached may be damaged, the next try begins without it. */
  async #suspected(error: unknown): Promise<unknown> {
    if (SUSPECT.includes(codeOf(error) ?? '')) await this.#parts.cache.clear();
    return error;
  }

  /** Before anything is written: a commit of a few bytes may mean more files than any disk has. */
  async #measure(commit: string): Promise<void> {
    const { url } = this.#parts.source;
    const { bytes } = this.#parts.host;
    const sizes = new Sizes(({ files, sum }) => {
      if (files <= SNAPSHOT_LIMITS.entries && sum <= bytes) return;
      const most = `${Math.floor(bytes / 1024 ** 2)} MiB of files (CAPYBARA_GIT_MIB), ${SNAPSHOT_LIMITS.entries} of them`;
      throw new RepositoryError(
        'terminal',
        'repository_too_large',
        `The commit ${commit} of ${url} has more than a session may begin with: ${most}.`,
      );
    });
    const args = ['ls-tree', '-r', '--format=%(objectsize)', commit];
    await this.#must({ args, cwd: this.#parts.cache.directory, read: (piece) => sizes.add(piece) });
  }

  async #stage(remote: Remote, plan: ClonePlan, commit: string | null): Promise<void> {
    const { cache, source } = this.#parts;
    const { staging: cwd, directory } = cache;
    const branch = plan.kind === 'branch' ? plan.branch : (remote.defaultBranch ?? 'main');
    const format = `--object-format=${remote.objectFormat}`;
    await this.#must({ args: ['init', '--quiet', '--template=', format, `--initial-branch=${branch}`], cwd });
    await this.#must({ args: ['config', 'remote.origin.url', source.url], cwd });
    await this.#must({ args: ['config', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*'], cwd });
    if (commit === null) return;
    const refspecs = stagedRefspecs(remote, plan, commit);
    // It was checked when it came.
    await this.#must({
      args: ['fetch', ...QUIET, '--', directory, ...refspecs],
      ...{ cwd, protocols: 'file', settings: { 'transfer.fsckObjects': 'false' } },
    });
    await this.#checkOut(plan, { branch, commit });
    if (remote.defaultBranch === null) return;
    const target = `refs/remotes/origin/${remote.defaultBranch}`;
    await this.#must({ args: ['symbolic-ref', 'refs/remotes/origin/HEAD', target], cwd });
  }

  async #checkOut(plan: ClonePlan, { branch, commit }: { branch: string; commit: string }): Promise<void> {
    const { staging: cwd } = this.#parts.cache;
    const where =
      plan.kind === 'branch' ? ['-B', branch, `refs/remotes/origin/${branch}`] : ['--detach', commit];
    const done = await this.#git({ args: ['checkout', '--quiet', ...where, '--'], cwd });
    if (done.ok) return;
    const failure = failureOf(done, this.#failed());
    if (codeOf(failure) === undefined) throw failure;
    throw new RepositoryError(
      'terminal',
      'repository_broken',
      `The files of ${this.#parts.source.url} cannot be written. ${lastLine(done)}`,
    );
  }

  /** Over the network. */
  async #reach(args: readonly string[], cwd: string): Promise<string> {
    const { way } = this.#parts;
    const settings = { ...CHECKED, ...way.call.settings };
    const trace = join(this.#parts.cache.staging, '..', 'trace');
    await rm(trace, { force: true });
    const own = { GIT_CEILING_DIRECTORIES: join(cwd, '..'), GIT_TRACE2_EVENT: trace };
    const environment = { ...own, ...way.call.environment };
    const done = await this.#git({ ...way.call, args, cwd, settings, environment }).catch((error) => {
      throw way.gateway?.refusal ?? error;
    });
    if (!done.ok) throw way.gateway?.refusal ?? failureOf(done, this.#failed());
    if (await speaksGit(trace)) return done.stdout;
    await this.#parts.cache.clear();
    throw failureOf({ stderr: NOT_GIT }, this.#failed());
  }

  /** On this machine: what fails there is no fault of the remote's, but perhaps of what was cached of it. */
  async #must(call: Omit<GitCall, 'signal'>): Promise<void> {
    const done = await this.#git(call);
    if (done.ok) return;
    await this.#parts.cache.clear();
    throw failureOf(done, this.#failed());
  }

  async #git(call: Omit<GitCall, 'signal'>): Promise<GitDone> {
    try {
      return await runGit(this.#program, { ...call, signal: this.#parts.signal });
    } catch (error) {
      if (!(error instanceof TooMuchPrinted)) throw error;
      throw new RepositoryError(
        'terminal',
        'repository_too_large',
        `${this.#parts.source.url} has too many refs to be listed.`,
      );
    }
  }

  #failed() {
    const { way, host, source } = this.#parts;
    return { url: source.url, fileBytes: host.bytes, hasKey: way.hasKey, secrets: way.secrets };
  }
}

const NOT_GIT = 'fatal: not valid: is this a git repository?';

const QUIET = ['--quiet', '--no-write-fetch-head', '--no-recurse-submodules'];
const SUSPECT = ['repository_broken', 'repository_cache'];

function codeOf(error: unknown): string | undefined {
  return error instanceof RepositoryError ? error.failure.code : undefined;
}

function lastLine({ stderr }: GitDone): string {
  return (stderr.trim().split('\n').at(-1) ?? '').slice(0, 300);
}

function stagedRefspecs({ defaultBranch }: Remote, plan: ClonePlan, commit: string): string[] {
  const fetched = plan.kind === 'empty' ? [] : plan.fetched;
  const own = fetched.flatMap(({ cached, cloned }) => (cloned === null ? [] : [`+${cached}:${cloned}`]));
  const isWhole = plan.kind === 'everything' && defaultBranch !== null;
  const beside = isWhole ? [`+refs/all/heads/${defaultBranch}:refs/remotes/origin/${defaultBranch}`] : [];
  return [...own, ...beside, ...(plan.kind === 'branch' ? [] : [commit])];
}

/** What a git that was killed left there. */
async function tidy(directory: string): Promise<void> {
  for (const name of await readdir(directory, { recursive: true })) {
    const isLeft = name.endsWith('.lock') || /(^|\/)tmp_[^/]*$/.test(name);
    if (isLeft) await rm(join(directory, name), { recursive: true, force: true });
  }
}
