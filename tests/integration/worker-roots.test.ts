/** Sessions over several named roots, each writable or read-only. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest';
import { newId } from '../../src/clock.ts';
import type { NamedRoot, RootsSource } from '../../src/core/workspace.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { openWay, UNPRIVILEGED } from '../../src/sandbox/runner.ts';
import { createRuntimeSandbox } from '../../src/sandbox/runtime.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { filesAt, readTree, type Tree, writeTree } from '../contract/snapshots-harness.ts';
import { bubblewrap, openBubblewrap } from '../support/bubblewrap.ts';
import { docker, openDocker } from '../support/docker.ts';
import { bareOf, commit, type GitServer, git, startGitServer } from '../support/git-server.ts';
import { runtime } from '../support/runtime.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { SHORT_LEASE, type Task, useWorld } from '../support/worker.ts';

/** A repository is cloned for most of them, and commands run confined: seconds on an idle machine, more on a busy one. */
vi.setConfig({ testTimeout: 120_000 });

const text = (content: string) => ({ type: 'file', content }) as const;
const DOCS: Tree = {
  'AGENTS.md': text('Write short sentences.\n'),
  'guide.md': text('guide\n'),
  'sub/inner.md': text('inner\n'),
  '.gitignore': text('cache\n'),
};

/** Of whomever the files are. */
const SAFE = ['-c', 'safe.directory=*'];

describe('a session over several roots', () => {
  // Which queue wakes a turn is nothing to its files; `chaos/crash-points` has both.
  const world = useWorld({ kind: 'postgres' });
  let server: GitServer;
  let first: string;

  beforeAll(async () => {
    const root = join(world.dir, 'remote');
    const work = join(root, 'work');
    mkdirSync(work, { recursive: true });
    git(work, 'init', '-q', '-b', 'main');
    first = commit(
      work,
      {
        'readme.md': 'one\n',
        'AGENTS.md': 'Run the tests.\n',
        '.gitignore': 'cache\n',
        '.capybara/config.yaml': 'permissions:\n  "write_file(secret/**)": deny\n',
      },
      'one',
    );
    bareOf(root, work, 'app.git');
    server = await startGitServer(root);
  });
  afterEach(() => {
    server.behave = () => false;
  });
  afterAll(() => server.close());

  /** `docs` as a client would have sent it to this host. `hasHistory`: it is a repository. */
  async function sent({
    hasHistory = false,
    data = 'data',
    shared = undefined as string | undefined,
  } = {}): Promise<NamedRoot> {
    const directory = mkdtempSync(join(world.dir, 'sent-'));
    writeTree(directory, DOCS);
    if (hasHistory) {
      git(directory, 'init', '-q', '-b', 'main');
      git(directory, 'add', '--all');
      git(directory, '-c', 'user.name=a', '-c', 'user.email=a@b.c', 'commit', '-qm', 'docs');
    }
    const lineage = newId();
    const snapshots = openSnapshots({ directory: join(world.dir, data, 'snapshots'), shared, threads: 1 });
    const store = snapshots.of(lineage);
    const { id: snapshot } = await store.take(filesAt(directory));
    await store.push(snapshot);
    await snapshots.close();
    return { name: 'docs', access: 'read', kind: 'upload', lineage, snapshot, uploadId: newId(), directory };
  }
  const app = (): NamedRoot => ({
    name: 'app',
    access: 'write',
    kind: 'git',
    url: server.url('app.git'),
    ref: null,
  });
  const scratch: NamedRoot = { name: 'scratch', access: 'write', kind: 'empty' };
  const rootsOf = async (options: Parameters<typeof sent>[0] = {}) => [app(), await sent(options), scratch];

  const rowOf = async ({ sessionId }: Task) => {
    const [row] = await world.db.sql<{ base: string | null; head: string | null; source: RootsSource }>`
      SELECT w.base, w.head, w.source FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${sessionId}`;
    return row as NonNullable<typeof row>;
  };
  const textsOf = async (task: Task, kind: string) =>
    (await world.entries(task))
      .filter((entry) => entry.kind === kind)
      .map((entry) =>
        ('parts' in entry ? entry.parts : []).map((part) => ('text' in part ? part.text : '')).join(''),
      );
  const docsIn = ({ root }: Task) => readTree(join(root, 'docs'));
  const succeeds = async (task: Task) =>
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded', error_message: null });

  test('has them put together before the model is asked, with what each says', async () => {
    await world.startWorker();
    const task = await world.submit({
      roots: await rootsOf(),
      script: sequence([
        [call('vcs_status', {}), call('bash', { command: 'pwd && cat docs/guide.md > app/copy && ls' })],
        say('Done.'),
      ]),
    });
    await succeeds(task);
    const row = await rowOf(task);
    expect(row.source.found).toEqual({
      commits: { app: first },
      rules: [{ decision: 'deny', tool: 'write_file', pattern: 'app/secret/**' }],
    });
    expect(row.base).not.toBeNull();
    expect(row.head).not.toBe(row.base);
    const [context = ''] = await textsOf(task, 'notice');
    expect(context).toContain('- app/: writable; version control: git, branch main, clean\n');
    expect(context).toContain('- docs/: read-only; version control: none\n');
    expect(context).toMatch(/<untrusted source="app\/AGENTS.md"[^>]*>\s*Run the tests\./);
    expect(context).toMatch(/<untrusted source="docs\/AGENTS.md"[^>]*>\s*Write short sentences\./);
    const [status = '', said = ''] = await textsOf(task, 'tool_result');
    expect(status).toContain('branch: main');
    expect(said).toMatch(/\/files\napp\ndocs\nscratch\n$/);
    expect(world.read(task, 'app/copy')).toBe('guide\n');
    expect(docsIn(task)).toEqual(readTreeOf(DOCS));
  });

  const readTreeOf = (tree: Tree): Tree => {
    const path = mkdtempSync(join(world.dir, 'tree-'));
    writeTree(path, tree);
    return readTree(path);
  };

  test('keeps file tools and version control out of what is read-only, whichever way they come', async () => {
    await world.startWorker();
    const patch = '--- a/docs/guide.md\n+++ b/docs/guide.md\n@@ -1 +1 @@\n-guide\n+x\n';
    const moved =
      '*** Begin Patch\n*** Update File: docs/guide.md\n*** Move to: app/guide.md\n@@\n-guide\n+x\n*** End Patch';
    const block = 'docs/guide.md\n<<<<<<< SEARCH\nguide\n=======\nx\n>>>>>>> REPLACE\n';
    const refused = [
      call('write_file', { path: 'docs/guide.md', content: 'x' }),
      call('write_file', { path: 'docs/new/file', content: 'x' }),
      call('write_file', { path: 'app/../docs/new', content: 'x' }),
      call('edit_file', { path: 'docs/guide.md', old_string: 'guide', new_string: 'x' }),
      call('search_replace', { blocks: block }),
      call('apply_patch', { input: moved }),
      call('vcs_apply', { patch }),
      call('vcs_apply', { patch: patch.replaceAll('docs/', ''), root: 'docs' }),
      call('vcs_commit', { message: 'mine', root: 'docs' }),
      call('vcs_branch', { action: 'create', name: 'mine', root: 'docs' }),
      call('bash', { command: 'echo x > docs/guide.md' }),
      // The link is there only when the second of the two runs.
      call('write_file', { path: 'app/link/guide.md', content: 'x' }),
    ];
    const beside = call('write_file', { path: 'beside.txt', content: 'x' });
    const task = await world.submit({
      roots: await rootsOf({ hasHistory: true }),
      script: sequence([
        [call('read_file', { path: 'docs/guide.md' }), call('bash', { command: 'ln -s ../docs app/link' })],
        [...refused, beside],
        [call('vcs_log', { root: 'docs' }), call('vcs_status', {}), call('vcs_log', { root: 'none' })],
        [
          call('vcs_commit', { message: 'mine', root: 'app' }),
          call('write_file', { path: 'scratch/a', content: 'a' }),
        ],
        say('Done.'),
      ]),
    });
    await succeeds(task);
    const results = (await textsOf(task, 'tool_result')).slice(2);
    const why = 'the root docs is read-only: writable are app and scratch, read-only is docs';
    for (const result of results.splice(0, refused.length)) expect(result).toContain(why);
    expect(results.shift()).toContain(
      'it lies beside the roots of the workspace, where nothing may be: writable are app',
    );
    expect(results.shift()).toMatch(/: docs$/);
    expect(results.shift()).toContain(
      'Several roots are under version control; say in root which is meant: app, docs.',
    );
    expect(results.shift()).toContain("There is no root 'none'; the roots are app, docs, scratch.");
    expect(results.shift()).toMatch(/^committed .*: mine$/);
    expect(git(join(task.root, 'app'), 'log', '-1', '--format=%s')).toBe('mine');
    expect(readdirSync(task.root).sort()).toEqual(['app', 'docs', 'scratch']);
    expect(docsIn(task)).toMatchObject(readTreeOf(DOCS));
    expect(git(join(task.root, 'docs'), 'status', '--porcelain')).toBe('');
  });

  test('obeys the rules of a repository in its own root alone', async () => {
    await world.startWorker();
    const task = await world.submit({
      roots: await rootsOf(),
      script: sequence([
        [
          call('write_file', { path: 'app/secret/a', content: 'x' }),
          call('write_file', { path: 'scratch/secret/a', content: 'x' }),
        ],
        say('Done.'),
      ]),
    });
    await succeeds(task);
    expect(await world.calls(task)).toEqual(['write_file denied', 'write_file succeeded']);
  });

  test('has what an unconfined command did where it may not put back, and tells the model', async () => {
    await world.startWorker();
    const command =
      'D=docs; echo x > $D/guide.md; rm -r $D/sub; mkdir beside; touch beside/a; mv app gone; echo mine > scratch/a';
    const task = await world.submit({
      roots: await rootsOf(),
      script: sequence([call('bash', { command }), call('bash', { command: 'ls . docs' }), say('Done.')]),
    });
    await succeeds(task);
    const [said = '', listed = ''] = await textsOf(task, 'tool_result');
    expect(said).toContain(
      '[what was changed of app, docs was put back; what was made beside the roots was removed: beside, gone. ' +
        'Of the roots writable are app and scratch, read-only is docs.]',
    );
    expect(listed).toBe('.:\napp\ndocs\nscratch\n\ndocs:\nAGENTS.md\nguide.md\nsub\n');
    expect(docsIn(task)).toEqual(readTreeOf(DOCS));
    expect(world.read(task, 'scratch/a')).toBe('mine\n');
    expect(world.read(task, 'app/readme.md')).toBe('one\n');
  });

  test('goes on on another host without any of what they came from, where hosts share snapshots', async () => {
    const sharedSnapshots = join(world.dir, 'shared');
    const one = await world.startWorker({ dataDir: join(world.dir, 'host-a'), sharedSnapshots });
    const roots = await rootsOf({ data: 'api-host', shared: sharedSnapshots });
    const task = await world.submit({
      roots,
      script: sequence([call('write_file', { path: 'app/a', content: 'a\n' }), say('Done.')]),
    });
    await succeeds(task);
    await one.stop();
    server.behave = (_, answer) => {
      answer.writeHead(503).end();
      return true;
    };
    const dataDir = join(world.dir, 'host-b');
    await world.startWorker({ dataDir, sharedSnapshots });
    const script = sequence([
      say('Before.'),
      say('Before.'),
      [
        call('bash', { command: 'cat docs/guide.md >> app/a' }),
        call('write_file', { path: 'docs/a', content: 'x' }),
      ],
      say('Done.'),
    ]);
    await succeeds(await world.submit({ sessionId: task.sessionId, script }));
    const files = join(dataDir, 'workspaces', task.root.split('/').at(-2) ?? '', 'files');
    expect(readFileSync(join(files, 'app', 'a'), 'utf8')).toBe('a\nguide\n');
    expect(readTree(join(files, 'docs'))).toEqual(readTreeOf(DOCS));
    expect(git(join(files, 'app'), 'log', '--format=%s')).toBe('one');
  });

  test('is put together again where its worker was killed in the middle of that', async () => {
    const roots = await rootsOf();
    const child = await world.startChild();
    const asked = Promise.withResolvers<void>();
    server.behave = ({ method }) => {
      if (method === 'POST') asked.resolve();
      return method === 'POST';
    };
    const task = await world.submit({
      roots,
      script: sequence([call('write_file', { path: 'app/a', content: 'a' }), say('Done.')]),
    });
    await asked.promise;
    child.kill('SIGKILL');
    server.behave = () => false;
    await world.startWorker();
    await succeeds(task);
    expect(readdirSync(task.root).sort()).toEqual(['app', 'docs', 'scratch']);
    expect(world.read(task, 'app/readme.md')).toBe('one\n');
  });

  test('fails in a sentence where what was sent is on another machine', async () => {
    await world.startWorker({ dataDir: join(world.dir, 'elsewhere') });
    const task = await world.submit({
      roots: await rootsOf({ data: 'api-host' }),
      script: sequence([say('Done.')]),
    });
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'files_elsewhere',
      error_message: expect.stringMatching(/^The files of the root docs, sent from .*CAPYBARA_SNAPSHOTS/),
    });
  });

  describe.runIf(bubblewrap !== undefined)('whose commands are confined', () => {
    let sandbox: LeasedSandbox;
    beforeEach(() => {
      sandbox = openBubblewrap({ leaseMs: SHORT_LEASE.leaseMs });
      return async () => {
        await world.stopWorkers();
        await sandbox.close();
      };
    });

    const shared = () => ({ environment: process.env, leaseMs: 15_000, hidden: [join(world.dir, 'data')] });
    const confinements: Readonly<Record<string, (() => LeasedSandbox) | undefined>> = {
      'bubblewrap, local': () => openBubblewrap(),
      'bubblewrap, strict': () =>
        createBubblewrapSandbox({ ...shared(), profile: 'strict', program: bubblewrap ?? '' }),
      runtime:
        runtime &&
        (() => createRuntimeSandbox({ ...shared(), profile: 'local', programs: runtime ?? { rg: '' } })),
      'docker, strict':
        docker && (() => openDocker({ directory: join(world.dir, 'docker'), leaseMs: 15_000 })),
    };

    /** Each is to fail, and to change nothing. */
    const ATTEMPTS = [
      'echo x > docs/guide.md',
      'echo x >> "$PWD/docs/guide.md"',
      'echo x > /proc/self/cwd/docs/guide.md',
      'D=docs; echo x > $D/new',
      'sed -i s/guide/x/ docs/guide.md',
      'truncate -s 0 docs/guide.md',
      'cp -f app/readme.md docs/guide.md',
      'exec 3<> docs/guide.md',
      'chmod 777 docs/guide.md',
      'chmod 777 docs',
      'touch docs/guide.md',
      'rm -rf docs',
      'rm -f docs/guide.md',
      'rmdir docs/sub',
      'mv docs app/docs',
      'mv docs other',
      'mv app gone',
      'mv -T scratch docs',
      'rmdir scratch',
      'mv docs/guide.md scratch/',
      'ln docs/guide.md scratch/hard && echo x > scratch/hard',
      'ln -sfn ../docs scratch/link && echo x > scratch/link/guide.md',
      'ln -sfn / scratch/out && echo x > "scratch/out$PWD/docs/guide.md"',
      'mkdir beside',
      'echo x > beside',
      'ln -s app beside',
      'git init -q .',
      'mount --bind app docs',
      'mount -o remount,rw,bind docs',
      'umount docs',
      'unshare -rm sh -c "mount -o remount,rw,bind $PWD; echo x > docs/guide.md"',
      'git -C docs -c user.name=a -c user.email=a@b.c commit --allow-empty -qm x',
      'git -C docs checkout -qb x',
      'git -C docs config user.name x',
      'cd docs && git gc -q && git tag x',
    ];

    test.each(Object.entries(confinements).filter(([, open]) => open !== undefined))(
      'by %s, cannot get at a read-only root, nor beside the roots',
      async (name, open) => {
        const isServer = name.endsWith('strict') && process.getuid?.() === 0;
        if (isServer) {
          chmodSync(world.dir, 0o711);
          openWay(join(world.dir, 'data'), ['workspaces', 'scratch']);
        }
        const confining = open?.() ?? sandbox;
        onTestFinished(() => confining.close());
        await world.startWorker({
          sandbox: confining,
          ...(isServer && { workspaceOwner: UNPRIVILEGED }),
        });
        const calls = ATTEMPTS.map((command) => call('bash', { command: `export LC_ALL=C; ${command}` }));
        const task = await world.submit({
          roots: await rootsOf({ hasHistory: true }),
          script: sequence([
            calls,
            call('bash', { command: 'echo mine > scratch/mine; echo a >> app/readme.md' }),
            say('Done.'),
          ]),
        });
        await succeeds(task);
        const done = await world.calls(task);
        const stopped = Object.fromEntries(ATTEMPTS.map((command, at) => [command, done[at]]));
        // By the runtime, what is made beside the roots is gone with its command.
        for (const status of name === 'runtime' ? [] : Object.values(stopped))
          expect(stopped).toSatisfy(() => /^bash (failed|denied)$/.test(status ?? ''));
        expect(done.at(-1)).toBe('bash succeeded');
        expect(await textsOf(task, 'tool_result')).not.toContainEqual(expect.stringContaining('put back'));
        expect(docsIn(task)).toMatchObject(readTreeOf(DOCS));
        expect(git(join(task.root, 'docs'), ...SAFE, 'log', '--format=%s')).toBe('docs');
        expect(git(join(task.root, 'docs'), ...SAFE, 'status', '--porcelain')).toBe('');
        expect(readdirSync(task.root).sort()).toEqual(['app', 'docs', 'scratch']);
        expect(world.read(task, 'app/readme.md')).toBe('one\na\n');
      },
    );

    test('read what lies beside a directory of the user, and change nothing of it', async () => {
      await world.startWorker({ sandbox });
      const [main, other] = [mkdtempSync(join(world.dir, 'main-')), mkdtempSync(join(world.dir, 'other-'))];
      writeTree(other, DOCS);
      const attempts = [
        `echo x > '${other}/guide.md'`,
        `mv '${other}' '${other}-gone'`,
        `ln -s '${other}' link && echo x > link/guide.md`,
        `chmod 777 '${other}/guide.md'`,
        `ln '${other}/guide.md' hard && echo x > hard`,
      ];
      const task = await world.submit({
        path: main,
        beside: [{ name: 'docs', path: other }],
        script: sequence([
          call('bash', { command: `cat '${other}/guide.md' > copy` }),
          attempts.map((command) => call('bash', { command })),
          call('write_file', { path: `${other}/guide.md`, content: 'x' }),
          say('Done.'),
        ]),
      });
      await succeeds(task);
      const [first, ...others] = await world.calls(task);
      expect(first).toBe('bash succeeded');
      for (const status of others) expect(status).toMatch(/^(bash|write_file) (failed|denied)$/);
      expect(readTree(other)).toEqual(readTreeOf(DOCS));
      expect(readFileSync(join(main, 'copy'), 'utf8')).toBe('guide\n');
    });

    test.each([1, 8])('are those of one run where its worker was killed after step %i', async (step) => {
      const roots = await rootsOf();
      const child = await world.startChild({ lease: SHORT_LEASE }, { confined: true });
      const command =
        'for i in $(seq 1 15); do echo $i >> app/log; cat docs/guide.md >> scratch/log; sleep 0.02; done';
      const task = await world.submit({
        roots,
        script: sequence([call('bash', { command, timeout: 60 }), say('Done.')]),
      });
      const lines = (path: string) => (world.read(task, path) ?? '').split('\n').filter(Boolean);
      await world.until(`step ${step}`, async () => lines('app/log').length >= step);
      child.kill('SIGKILL');
      await world.startWorker({ sandbox, lease: SHORT_LEASE });
      await succeeds(task);
      expect(await world.calls(task)).toEqual(['bash succeeded']);
      expect(lines('app/log')).toEqual(Array.from({ length: 15 }, (_, index) => `${index + 1}`));
      expect(lines('scratch/log')).toHaveLength(15);
      expect(docsIn(task)).toEqual(readTreeOf(DOCS));
    });
  });
});
