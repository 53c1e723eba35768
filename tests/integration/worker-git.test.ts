/** Sessions that begin with a git repository: cloned once, before the first model request, and never again. */
import { chmodSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { GitSource } from '../../src/core/workspace.ts';
import { MCP_LIMITS } from '../../src/mcp/client/server.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { UNPRIVILEGED } from '../../src/sandbox/runner.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { changesSince } from '../../src/workspace/changes.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { bubblewrap } from '../support/bubblewrap.ts';
import { bareOf, commit, type GitServer, git, startGitServer } from '../support/git-server.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { SHORT_LEASE, type Task, useWorld } from '../support/worker.ts';

/** What a server's worker makes passable for the user whom its commands run as. */
function openWays(...directories: readonly string[]): void {
  for (const directory of directories) {
    mkdirSync(directory, { recursive: true });
    chmodSync(directory, 0o711);
  }
}

const isPack = ({ method }: IncomingMessage) => method === 'POST';

describe('a session that begins with a repository', () => {
  // Which queue wakes a turn is nothing to its files; `chaos/crash-points` has both.
  const world = useWorld({ kind: 'postgres' });
  let server: GitServer;
  let work: string;
  let first: string;

  beforeAll(async () => {
    const root = join(world.dir, 'remote');
    work = join(root, 'work');
    mkdirSync(work, { recursive: true });
    git(work, 'init', '-q', '-b', 'main');
    first = commit(work, { 'readme.md': 'one\n', '.gitignore': 'cache\n' }, 'one');
    bareOf(root, work, 'app.git');
    server = await startGitServer(root);
  });
  afterEach(() => {
    server.behave = () => false;
  });
  afterAll(() => server.close());

  const submit = (steps: Parameters<typeof sequence>[0], ref?: string, more = {}) =>
    world.submit({
      git: { url: server.url('app.git'), ...(ref === undefined ? {} : { ref }) },
      script: sequence(steps),
      ...more,
    });
  const rowOf = async ({ sessionId }: Task) => {
    const [row] = await world.db.sql<{
      base: string | null;
      head: string | null;
      source: GitSource;
      lineage: string;
    }>`
      SELECT w.base, w.head, w.source, w.lineage FROM workspace w JOIN session s ON s.workspace_id = w.id
       WHERE s.id = ${sessionId}`;
    return row as NonNullable<typeof row>;
  };
  const eventsOf = async ({ sessionId }: Task) => {
    const rows = await world.db.sql<{ type: string }>`
      SELECT type FROM event WHERE session_id = ${sessionId} ORDER BY seq`;
    return rows.map(({ type }) => type);
  };

  test('has its files, its history and its base before the model is asked', async () => {
    await world.startWorker();
    const task = await submit([[call('note', { text: 'mine' })], say('Done.')]);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const row = await rowOf(task);
    expect(row.source).toEqual({
      url: server.url('app.git'),
      ref: null,
      found: { commit: first, rules: [] },
    });
    expect(row.base).not.toBeNull();
    expect(row.head).not.toBe(row.base);
    const events = await eventsOf(task);
    expect(events.indexOf('workspace.snapshotted')).toBeLessThan(events.indexOf('message.completed'));
    expect(world.read(task, 'readme.md')).toBe('one\n');
    expect(git(task.root, 'log', '--format=%s')).toBe('one');
    expect(git(task.root, 'status', '--porcelain')).toBe('?? notes');
    const [context] = (await world.entries(task)).filter(({ kind: each }) => each === 'notice');
    expect(JSON.stringify(context)).toContain('branch main, clean');
    const snapshots = openSnapshots({ directory: join(world.dir, 'data', 'snapshots') });
    const patch = await changesSince(snapshots.of(row.lineage), row);
    await snapshots.close();
    expect(Buffer.from(patch ?? []).toString()).toMatch(/^diff --git a\/notes b\/notes\nnew file/);
  });

  test.runIf(bubblewrap !== undefined)(
    'is one that confined commands work in, as a server has them',
    async () => {
      const isRoot = process.getuid?.() === 0;
      const dataDir = join(world.dir, 'data');
      if (isRoot) openWays(world.dir, dataDir);
      const sandbox = createBubblewrapSandbox({
        ...{ profile: 'strict', program: bubblewrap ?? '', hidden: [dataDir] },
        ...{ environment: process.env, leaseMs: 15_000 },
      });
      await world.startWorker({
        sandbox,
        workspaceOwner: isRoot ? UNPRIVILEGED : undefined,
        tools: createRegistry(builtinTools()),
      });
      const command =
        'git status --porcelain && git log --format=%s && echo more >> readme.md && ' +
        'git -c user.name=a -c user.email=a@b.c commit -qam mine && git log --format=%s && ls -A ~/.. | head -3; git fetch';
      onTestFinished(() => sandbox.close());
      const task = await submit([call('bash', { command }), say('Done.')], undefined, { tools: ['bash'] });
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded', error_message: null });
      const [result] = (await world.entries(task)).filter(({ kind: each }) => each === 'tool_result');
      const said = JSON.stringify(result);
      expect(said).toContain('one\\nmine\\none\\n');
      expect(said).not.toContain('dubious');
      expect(said).toMatch(/unable to access|Could not resolve|Connection refused/);
      expect(git(task.root, '-c', 'safe.directory=*', 'log', '--format=%s')).toBe('mine\none');
    },
  );

  test('goes on from those files, wherever the branch leads meanwhile', async () => {
    await world.startWorker();
    const task = await submit([say('Done.')]);
    await world.taskEnds(task);
    const before = server.requests.length;
    const moved = commit(work, { 'readme.md': 'two\n' }, 'two');
    git(work, 'push', '-q', '../app.git', 'main');
    const script = sequence([say('Before.'), call('note', { text: 'later' }), say('Done.')]);
    await world.taskEnds(await world.submit({ sessionId: task.sessionId, script }));
    expect(server.requests.length).toBe(before);
    expect(world.read(task, 'readme.md')).toBe('one\n');
    expect((await rowOf(task)).source.found?.commit).toBe(first);
    git(work, 'reset', '-q', '--hard', first);
    git(work, 'push', '-q', '--force', '../app.git', 'main');
    expect(moved).not.toBe(first);
  });

  test('follows to another host without the repository, where hosts share snapshots', async () => {
    const sharedSnapshots = join(world.dir, 'shared');
    const one = await world.startWorker({ dataDir: join(world.dir, 'host-a'), sharedSnapshots });
    const task = await submit([say('Done.')]);
    await world.taskEnds(task);
    await one.stop();
    server.behave = (_, answer) => {
      answer.writeHead(503).end();
      return true;
    };
    const dataDir = join(world.dir, 'host-b');
    await world.startWorker({ dataDir, sharedSnapshots });
    const script = sequence([say('Before.'), call('note', { text: 'b' }), say('Done.')]);
    expect(await world.taskEnds(await world.submit({ sessionId: task.sessionId, script }))).toMatchObject({
      status: 'succeeded',
    });
    const id = task.root.split('/').at(-2) ?? '';
    expect(readFileSync(join(dataDir, 'workspaces', id, 'files', 'readme.md'), 'utf8')).toBe('one\n');
  });

  test('waits as a row for a remote that is away, and counts the tries of the model from none', async () => {
    await world.startWorker();
    let away = 2;
    server.behave = (_, answer) => {
      if (away === 0) return false;
      away -= 1;
      answer.writeHead(503).end();
      return true;
    };
    const task = await submit([say('Done.')]);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.attempts(task)).toEqual(['retry', 'retry', 'settled']);
    const [turn] = await world.db.sql<{ retries: number; takeovers: number }>`
      SELECT retries, takeovers FROM turn WHERE session_id = ${task.sessionId}`;
    expect(turn).toEqual({ retries: 0, takeovers: 0 });
    expect(world.model.requestsOf(task.sessionId, 1)).toHaveLength(1);
  });

  test('fails in a sentence where the remote stays away, and can be tried again by the next task', async () => {
    await world.startWorker();
    server.behave = (_, answer) => {
      answer.writeHead(503).end();
      return true;
    };
    const task = await submit([say('Done.')]);
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'repository_unreachable',
      error_message: expect.stringContaining(`${server.url('app.git')} cannot be reached`),
    });
    expect(await world.attempts(task)).toEqual(['retry', 'retry', 'failed']);
    expect(world.model.requestsOf(task.sessionId, 1)).toHaveLength(0);
    server.behave = () => false;
    const next = await world.submit({ sessionId: task.sessionId, script: sequence([say('Done.')]) });
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
  });

  test('fails at once where there is no such ref', async () => {
    await world.startWorker();
    const task = await submit([say('Done.')], 'no-such');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'ref_not_found' });
    expect(await world.attempts(task)).toEqual(['failed']);
  });

  test('fails at once where the worker may not clone from there', async () => {
    await world.startWorker({ repositories: { policy: { own: false, online: true, allowed: [] } } });
    const task = await submit([say('Done.')]);
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'repository_not_allowed',
    });
  });

  test('is cancelled while it is cloned', async () => {
    await world.startWorker();
    const asked = Promise.withResolvers<void>();
    server.behave = (request) => {
      if (isPack(request)) asked.resolve();
      return isPack(request);
    };
    const task = await submit([say('Done.')]);
    await asked.promise;
    await world.cancel(task);
    expect(await world.task(task.taskId)).toMatchObject({ status: 'cancelled' });
    expect((await rowOf(task)).head).toBeNull();
  });

  test('is handed to another worker where its own is told to stop, or killed, while it is cloned', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const child = await world.startChild();
      const asked = Promise.withResolvers<void>();
      server.behave = (request) => {
        if (isPack(request)) asked.resolve();
        return isPack(request);
      };
      const task = await submit([[call('note', { text: signal })], say('Done.')]);
      await asked.promise;
      child.kill(signal);
      await child.ended;
      server.behave = () => false;
      const other = await world.startWorker({ sweep: { everyMs: 50, unclaimedMs: 200 } });
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(world.notes(task)).toEqual([signal]);
      expect(world.read(task, 'readme.md')).toBe('one\n');
      await other.stop();
    }
  });

  test('is cloned beside a worker that stands still while it clones, and that writes nothing when it goes on', async () => {
    const child = await world.startChild({ lease: SHORT_LEASE });
    const asked = Promise.withResolvers<void>();
    server.behave = (request) => {
      if (isPack(request)) asked.resolve();
      return isPack(request);
    };
    const task = await submit([[call('note', { text: 'once' })], say('Done.')]);
    await asked.promise;
    child.kill('SIGSTOP');
    server.behave = () => false;
    await world.startWorker({ sweep: { everyMs: 50, unclaimedMs: 200 }, lease: SHORT_LEASE });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const row = await rowOf(task);
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    await child.ended;
    expect(await rowOf(task)).toEqual(row);
    expect(world.notes(task)).toEqual(['once']);
  });

  describe('with rules of its own', () => {
    const RULES = '.capybara/config.yaml';
    const withRules = async (text: string) => {
      const at = commit(work, { [RULES]: text }, 'rules');
      git(work, 'push', '-q', '--force', '../app.git', 'main');
      return at;
    };
    afterEach(() => {
      git(work, 'reset', '-q', '--hard', first);
      git(work, 'push', '-q', '--force', '../app.git', 'main');
      rmSync(join(work, '.capybara'), { recursive: true, force: true });
    });

    test('is bound by them from its first call on, whatever becomes of the file', async () => {
      await world.startWorker();
      await withRules('permissions:\n  "write_file(secret/**)": deny\n  "other/note": deny\n');
      const forget = call('bash', { command: 'rm -r .capybara' });
      const task = await submit([
        [call('write_file', { path: 'secret/key', content: 'x' }), forget],
        [call('write_file', { path: 'secret/key', content: 'x' }), call('note', { text: 'mine' })],
        say('Done.'),
      ]);
      await world.taskEnds(task);
      expect(await world.calls(task)).toEqual([
        'write_file denied',
        'bash succeeded',
        'write_file denied',
        'note succeeded',
      ]);
      const script = sequence([
        say('Before.'),
        say('Before.'),
        say('Before.'),
        call('write_file', { path: 'secret/key', content: 'x' }),
        say('Done.'),
      ]);
      await world.taskEnds(await world.submit({ sessionId: task.sessionId, script }));
      expect((await world.calls(task)).at(-1)).toBe('write_file denied');
    });

    test('has the MCP servers that it had when it was cloned, where projects may have any', async () => {
      const own = {
        command: process.execPath,
        args: [join(import.meta.dirname, '../support/mcp-odd-server.mjs')],
      };
      await withRules(JSON.stringify({ mcp: { servers: { own } } }));
      const mcp = { servers: [], project: true } as const;
      const begin = (sessionId?: string) =>
        world.submit({
          ...(sessionId === undefined ? { git: { url: server.url('app.git') } } : { sessionId }),
          ...{ mcp, script: sequence([call('bash', { command: 'rm -r .capybara' }), say('Done.')]) },
        });
      const offered = (task: Task) =>
        world.model.requestsOf(task.sessionId).at(-1)?.tools.includes('own__count') ?? false;
      await world.startWorker({ mcp: { servers: {}, limits: MCP_LIMITS } });
      const task = await begin();
      await world.taskEnds(task);
      expect(offered(task)).toBe(false);
      await world.stopInProcess();
      await world.startWorker({ mcp: { servers: {}, hasProjects: true, limits: MCP_LIMITS } });
      await world.taskEnds(await begin(task.sessionId));
      expect(offered(task)).toBe(true);
    });

    test('does not begin where they allow something, or cannot be read', async () => {
      await world.startWorker();
      await withRules('permissions:\n  "bash(*)": allow\n');
      const wide = await submit([say('Done.')]);
      expect(await world.taskEnds(wide)).toMatchObject({
        status: 'failed',
        error_code: 'config_not_allowed',
        error_message:
          'The rule bash(*) (.capybara/config.yaml, line 2) allows something: the rules of a project may only ask or deny.',
      });
      await withRules('permissions: [\n');
      const broken = await submit([say('Done.')]);
      expect(await world.taskEnds(broken)).toMatchObject({
        status: 'failed',
        error_code: 'config_malformed',
        error_message: expect.stringMatching(/^\.capybara\/config\.yaml, line 2/),
      });
    });

    test('does not begin where they are a link out of it', async () => {
      await world.startWorker();
      mkdirSync(join(work, '.capybara'), { recursive: true });
      git(work, 'update-index', '--add', '--cacheinfo', `120000,${linkTo('/etc/hostname')},${RULES}`);
      git(work, 'commit', '-q', '-m', 'link');
      git(work, 'push', '-q', '--force', '../app.git', 'main');
      const task = await submit([say('Done.')]);
      expect(await world.taskEnds(task)).toMatchObject({
        status: 'failed',
        error_code: 'config_not_allowed',
        error_message: `${RULES} is a link that leads out of the repository: the rules of a project have to be in it.`,
      });
    });

    function linkTo(target: string): string {
      const file = join(work, 'target');
      rmSync(file, { force: true });
      commit(work, { target }, 'target');
      return git(work, 'rev-parse', 'HEAD:target');
    }
  });
});
