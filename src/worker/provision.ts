/**
 * The files of a `git` workspace, and of one of several roots, before anything else is done in its session: cloned or put together, kept
 * as a snapshot and recorded as what the session began with, before the first model request. So every later attempt, on whatever host,
 * begins from the same files, wherever a ref leads by then.
 */
import type { ProjectTerms } from '../config/layers.ts';
import { projectTerms } from '../config.ts';
import { UserError } from '../core/errors.ts';
import type { GitSource, RootsSource } from '../core/workspace.ts';
import { recordFiles } from '../store/turns.ts';
import type { CheckoutHost } from '../workspace/checkouts.ts';
import { type Cloned, type CloneHost, type CloneRequest, cloneRepository } from '../workspace/git/clone.ts';
import { systemReach } from '../workspace/git/gateway.ts';
import { RepositoryError } from '../workspace/git/repository-error.ts';
import { ROOT_NAME } from '../workspace/history.ts';
import { linkedOutside } from '../workspace/paths.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import type { SnapshotStore, Snapshots } from '../workspace/snapshots/snapshots.ts';
import { retryOrFail } from './end-turn.ts';
import { type ClonedFiles, putTogether } from './put-together.ts';
import type { Provisioned, Run } from './run.ts';
import type { Progress } from './run-turn.ts';
import { announce, type Shell } from './shell.ts';

/** What a worker is told about repositories. */
export type RepositorySettings = Omit<CloneHost, keyof CheckoutHost>;

const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;

/** What all clones that are kept may take. */
export const CACHE_BYTES = 10_240 * MIB;

const DEFAULTS: RepositorySettings = {
  policy: { own: false, online: true, allowed: [] },
  keys: [],
  bytes: 1_024 * MIB,
  timeoutMs: 10 * MINUTE_MS,
  idleMs: MINUTE_MS,
  waitMs: MINUTE_MS,
  cacheBytes: CACHE_BYTES,
  searchPath: '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin',
  reach: systemReach,
};

/** A snapshot of the files that a session begins with, which every host can reach. */
export type Provisioner = (
  asked: Omit<CloneRequest, 'source'> & {
    readonly lineage: string;
    readonly source: GitSource | RootsSource;
  },
) => Promise<Provisioned>;

export function provisioner(
  snapshots: Snapshots,
  checkouts: CheckoutHost,
  settings: Partial<RepositorySettings> = {},
): Provisioner {
  const host: CloneHost = { ...DEFAULTS, ...settings, ...checkouts };
  return async ({ lineage, source, ...asked }) => {
    const store = snapshots.of(lineage);
    const clone = (of: CloneRequest['source']) =>
      cloneRepository({ ...asked, source: of }, host, (cloned) => taken(store, cloned, of.url));
    const begun =
      'roots' in source ? await putTogether(source, { snapshots, store, clone }) : await clone(source);
    await store.push(begun.snapshot);
    return begun;
  };
}

async function taken(store: SnapshotStore, { directory, commit }: Cloned, url: string): Promise<ClonedFiles> {
  const { rules, servers } = await termsIn(directory);
  const files = { roots: [{ name: ROOT_NAME, path: directory, writable: true }] };
  const { id: snapshot, leftOut } = await store.take(files);
  const [lost] = leftOut;
  if (lost !== undefined) {
    const found = `${url} holds ${lost.path}, which no snapshot can keep (${lost.reason})`;
    throw new RepositoryError(
      'terminal',
      'repository_too_large',
      `${found}: a session cannot begin with it.`,
    );
  }
  const brought = Object.keys(servers).length === 0 ? {} : { servers };
  return { snapshot, found: { commit, rules, ...brought } };
}

const TERMS_FILE = '.capybara/config.yaml';

/** As they are in the commit: nobody has worked on it yet. Paths are the repository's own. */
async function termsIn(directory: string): Promise<ProjectTerms> {
  try {
    if (await linkedOutside(directory, TERMS_FILE)) {
      const found = `${TERMS_FILE} is a link that leads out of the repository`;
      throw new UserError('config_not_allowed', `${found}: the rules of a project have to be in it.`);
    }
    return projectTerms(directory);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, error.message.replaceAll(`${directory}/`, ''));
  }
}

/** Nothing to do but for the first turn of a session. */
export async function provision(shell: Shell, run: Run): Promise<Progress> {
  const { workspace } = run.turn;
  const { kind, head, source, lineage } = workspace;
  if (source === null || 'beside' in source || kind === 'empty' || head !== null || run.stopped !== undefined)
    return 'go_on';
  const { teamId, rootId } = run.turn;
  const begun = await orFailure(shell.provision({ teamId, lineage, source, signal: run.signal }), run);
  if (begun === 'stopped') return 'go_on';
  if (begun instanceof RepositoryError) {
    const { failure } = begun;
    return retryOrFail(shell, run, { failure, spent: false, policy: shell.cloneRetry });
  }
  const outcome = await recordFiles(shell.db, run.held, begun);
  if (outcome.outcome === 'fenced') return 'ended';
  run.provisioned(begun);
  await announce(shell, rootId, outcome);
  return 'go_on';
}

/** `stopped`: the run was, and its loop sees what for. */
async function orFailure(
  begin: Promise<Provisioned>,
  run: Run,
): Promise<Provisioned | RepositoryError | 'stopped'> {
  try {
    return await begin;
  } catch (error) {
    if (run.stopped !== undefined) return 'stopped';
    if (error instanceof RepositoryError) return error;
    if (!(error instanceof SnapshotError)) throw error;
    switch (error.code) {
      case 'too_many_files':
      case 'too_many_rules':
        return new RepositoryError('terminal', 'repository_too_large', error.message);
      case 'not_shared':
        return new RepositoryError('retryable', 'files_not_shared', error.message);
      default:
        throw error;
    }
  }
}
