/** A repository to clone, a server that has it, and what a worker clones it with. */
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { readBeginning } from '../../src/core/repository.ts';
import { type Cloned, type CloneHost, cloneRepository } from '../../src/workspace/git/clone.ts';
import { systemReach } from '../../src/workspace/git/gateway.ts';
import { RepositoryError } from '../../src/workspace/git/repository-error.ts';
import { bareOf, commit, type GitServer, git, startGitServer } from '../support/git-server.ts';

export interface GitWorld {
  /** Where the server's repositories are; `app.git` among them. */
  readonly root: string;
  readonly server: GitServer;
  /** Its URL. */
  readonly app: string;
  /** Commits of `app.git`: the first, and the tip of `main`. */
  readonly first: string;
  readonly tip: string;
  /** A directory of each test's own. */
  readonly dataDir: string;
  host(change?: Partial<CloneHost>): CloneHost;
  /** Clones, and keeps what `use` says of it; of a failure its code and sentence. */
  clone<T>(asked: Asked, use: (cloned: Cloned) => T | Promise<T>): Promise<T>;
  failure(asked: Asked): Promise<{ kind: string; code: string; message: string }>;
}

export interface Asked {
  readonly url?: string;
  readonly ref?: string | null;
  readonly teamId?: string;
  readonly signal?: AbortSignal;
  readonly host?: Partial<CloneHost>;
}

/** Where nobody names a repository, `app.git` is it: `main`, `feature/one` and tags, with a history. */
export function useGitWorld(): GitWorld {
  const world = {} as { -readonly [Name in keyof GitWorld]: GitWorld[Name] };
  beforeAll(async () => {
    world.root = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-git-')));
    Object.assign(world, makeApp(world.root));
    world.server = await startGitServer(world.root);
    world.app = world.server.url('app.git');
  });
  beforeEach(() => {
    world.dataDir = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-git-data-')));
  });
  afterEach(() => {
    world.server.behave = () => false;
    rmSync(world.dataDir, { recursive: true, force: true });
  });
  afterAll(async () => {
    await world.server.close();
    rmSync(world.root, { recursive: true, force: true });
  });
  world.host = (change = {}) => hostOf(world, change);
  world.clone = ({ url = world.app, ref = null, teamId = 'team', signal, host }, use) => {
    const asked = { teamId, source: { url, ref }, signal: signal ?? new AbortController().signal };
    return cloneRepository(asked, world.host(host), async (cloned) => use(cloned));
  };
  world.failure = async (asked) => {
    try {
      await world.clone(asked, () => undefined);
    } catch (error) {
      if (error instanceof RepositoryError) return error.failure;
      throw error;
    }
    throw new Error('it was cloned');
  };
  return world;
}

/** As a server's worker that listed the test's own host. */
function hostOf({ dataDir, server }: GitWorld, change: Partial<CloneHost>): CloneHost {
  const allowed = [readBeginning(`http://127.0.0.1:${server.port}`)].flatMap((each) => each ?? []);
  return {
    policy: { own: false, online: true, allowed },
    keys: [],
    bytes: 64 * 1024 * 1024,
    timeoutMs: 60_000,
    idleMs: 30_000,
    waitMs: 30_000,
    cacheBytes: 1024 ** 3,
    searchPath: process.env.PATH ?? '',
    reach: systemReach,
    dataDir,
    boot: 'boot',
    self: { host: 'here', pid: process.pid, pidStartedAt: '1' },
    isGone: () => false,
    onError: (error) => {
      throw error;
    },
    ...change,
  };
}

function makeApp(root: string): { first: string; tip: string } {
  const work = join(root, 'work');
  mkdirSync(work);
  git(work, 'init', '-q', '-b', 'main');
  const first = commit(work, { 'readme.md': 'one\n', 'src/app.js': 'run();\n' }, 'one');
  git(work, 'tag', 'v1');
  git(work, 'checkout', '-q', '-b', 'feature/one');
  commit(work, { 'feature.js': 'feature();\n' }, 'feature');
  git(work, 'checkout', '-q', 'main');
  const tip = commit(work, { 'readme.md': 'two\n' }, 'two');
  git(work, 'tag', '-a', '-m', 'the second', 'v2');
  commit(work, { 'readme.md': 'three\n' }, 'three');
  git(work, 'tag', 'only-by-tag');
  git(work, 'reset', '-q', '--hard', tip);
  bareOf(root, work, 'app.git');
  return { first, tip };
}

/** What is left of caches: the files of their places. */
export function placesIn(dataDir: string): string[] {
  const names = readdirSync(join(dataDir, 'repositories'), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => /place-[0-9a-f]+$/.test(name));
}
