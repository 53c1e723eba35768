/** Workspaces of several roots over the API: asked for, shown, forked, taken back and merged. */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { listen } from '../../src/api/server.ts';
import { PACK_MEDIA, Session } from '../../src/api/wire.ts';
import { MAX_ROOT_NAME_LENGTH, MAX_ROOTS } from '../../src/core/workspace.ts';
import { findBrokenInvariants } from '../../src/store/invariants.ts';
import { readDirectory } from '../../src/workspace/uploads/sent-directory.ts';
import { bareOf, commit, git } from '../support/git-server.ts';
import { call, say } from '../support/scripted-model/scripted-model.ts';
import { askerOf, uuid } from './api-harness.ts';
import { openShop, SHOP_TIMEOUT_MS, type Shop, write } from './session-harness.ts';

vi.setConfig({ testTimeout: SHOP_TIMEOUT_MS, hookTimeout: SHOP_TIMEOUT_MS });

let it: Shop;
let place: string;
let runs = 0;
const next = () => {
  runs += 1;
  return runs;
};
beforeAll(async () => {
  it = await openShop();
  place = mkdtempSync(join(tmpdir(), 'capybara-roots-'));
  const work = join(place, 'remote', 'work');
  mkdirSync(work, { recursive: true });
  git(work, 'init', '-q', '-b', 'main');
  commit(work, { 'readme.md': 'one\n' }, 'one');
  bareOf(join(place, 'remote'), work, 'app.git');
});
afterAll(async () => {
  await it.close();
  rmSync(place, { recursive: true });
});
afterEach(async () => {
  expect(await findBrokenInvariants(it.db)).toEqual([]);
  expect(it.model.refusals).toEqual([]);
});

/** A directory with these files, sent. */
async function sent(files: Record<string, string>, key = it.me.apiKey): Promise<string> {
  const work = mkdtempSync(join(place, 'work-'));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(work, path, '..'), { recursive: true });
    writeFileSync(join(work, path), content);
  }
  const read = await readDirectory(work, {
    dataDir: join(place, 'client'),
    name: `w${next()}`,
    previous: undefined,
  });
  try {
    const { path } = await read.pack(undefined);
    const query = new URLSearchParams({ snapshot: read.snapshot, directory: '/home/ana/docs' });
    const { json } = await it.ask('POST', `/v1/workspaces?${query}`, {
      ...{ raw: readFileSync(path) as Buffer<ArrayBuffer>, key },
      headers: { 'content-type': PACK_MEDIA },
    });
    return json.id;
  } finally {
    await read.close();
  }
}

const url = () => `file://${join(place, 'remote', 'app.git')}`;
const ask = (roots: unknown, more: Record<string, unknown> = {}) =>
  it.ask('POST', '/v1/tasks', { body: { prompt: 'Do it.', workspace: { kind: 'roots', roots }, ...more } });
const empties = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`r${at}`, { kind: 'empty' }]));

/** `app` from a repository, `docs` that was sent and is read-only, and `out`. */
async function begun(steps: Parameters<Shop['run']>[1]): Promise<string> {
  const roots = {
    docs: { kind: 'upload', id: await sent({ 'guide.md': 'guide\n' }), access: 'read' },
    app: { kind: 'git', url: url() },
    out: { kind: 'empty' },
  };
  const { sessionId } = await it.run(`Begin ${next()}.`, steps, { workspace: { kind: 'roots', roots } });
  return sessionId;
}
const goOn = (sessionId: string, steps: Parameters<Shop['run']>[1]) =>
  it.run(`Go on ${next()}.`, steps, { sessionId });
const fork = async (id: string, body: unknown = {}): Promise<string> =>
  (await it.ask('POST', `/v1/sessions/${id}/fork`, { body })).json.id;

describe('a workspace of several roots', () => {
  test('is shown with each of them, by name', async () => {
    const id = await begun([say('Done.')]);
    const { workspace } = Session.parse(await it.session(id));
    expect(workspace).toEqual({
      kind: 'roots',
      path: null,
      roots: [
        {
          name: 'app',
          access: 'write',
          kind: 'git',
          repository: { url: url(), ref: null, commit: expect.stringMatching(/^[0-9a-f]{40}$/) },
        },
        {
          name: 'docs',
          access: 'read',
          kind: 'upload',
          id: expect.stringMatching(/^ws_/),
          path: '/home/ana/docs',
        },
        { name: 'out', access: 'write', kind: 'empty' },
      ],
    });
  });

  test(`has 1 to ${MAX_ROOTS} of them`, async () => {
    expect(await ask(empties(MAX_ROOTS))).toMatchObject({ status: 201 });
    for (const count of [0, MAX_ROOTS + 1]) {
      const { status, json } = await ask(empties(count));
      expect([status, json.detail]).toEqual([
        400,
        expect.stringContaining(`expected 1 to ${MAX_ROOTS} roots`),
      ]);
    }
  });

  test("has names that are directories everywhere, and nobody else's", async () => {
    for (const name of ['a', '0', 'a.b-c_d', 'a'.repeat(MAX_ROOT_NAME_LENGTH), 'constructor'])
      expect(await ask({ [name]: { kind: 'empty' } })).toMatchObject({ status: 201 });
    for (const name of [
      '',
      '.',
      '..',
      '.git',
      '-a',
      'A',
      'a/b',
      'a b',
      'é',
      'a\0',
      '__proto__',
      'a'.repeat(MAX_ROOT_NAME_LENGTH + 1),
    ]) {
      const roots = `{${JSON.stringify(name)}: {"kind": "empty"}}`;
      const raw = `{"prompt": "Do it.", "workspace": {"kind": "roots", "roots": ${roots}}}`;
      const headers = { 'content-type': 'application/json' };
      expect(await it.ask('POST', '/v1/tasks', { raw, headers })).toMatchObject({
        status: 400,
        json: {
          detail: expect.stringMatching(/expected (a name of 1 to 32 of a-z|1 to 8 roots)|cannot be kept/),
        },
      });
    }
  });

  test('is refused where one of its roots is, with nothing begun', async () => {
    const [before] = await it.db.sql<{ n: number }>`SELECT count(*)::int AS n FROM session`;
    const theirs = await it.addPerson('theirs', 'Bo');
    const other = await sent({ a: 'a' }, theirs.apiKey);
    const wide = await sent({ '.capybara/config.yaml': 'permissions:\n  bash: allow\n' });
    const refused: [unknown, number, string][] = [
      [{ a: { kind: 'upload', id: other } }, 404, 'not_found'],
      [{ a: { kind: 'upload', id: wide } }, 400, 'config_not_allowed'],
      [{ a: { kind: 'git', url: 'ftp://host.example/a' } }, 400, 'bad_repository'],
      [{ a: { kind: 'empty', access: 'none' } }, 400, 'invalid_request'],
      [{ a: { kind: 'roots', roots: {} } }, 400, 'invalid_request'],
      [{ a: { kind: 'local', path: place } }, 400, 'invalid_request'],
    ];
    for (const [roots, status, code] of refused)
      expect([await ask({ ok: { kind: 'empty' }, ...(roots as object) })]).toMatchObject([
        { status, json: { code } },
      ]);
    const [after] = await it.db.sql<{ n: number }>`SELECT count(*)::int AS n FROM session`;
    expect(after).toEqual(before);
  });

  test('has the rules of what was sent in its own root', async () => {
    const id = await sent({ '.capybara/config.yaml': 'permissions:\n  write_file(secret): deny\n' });
    const roots = { a: { kind: 'upload', id }, b: { kind: 'empty' } };
    const steps = [[write('a/secret', 'x'), write('b/secret', 'x')], say('Done.')];
    const { sessionId } = await it.run(`Begin ${next()}.`, steps, {
      workspace: { kind: 'roots', roots },
    });
    expect([await it.read(sessionId, 'a/secret'), await it.read(sessionId, 'b/secret')]).toEqual([
      undefined,
      'x',
    ]);
    // What was sent is forgotten once nothing begins with it any more.
    await it.db.sql`DELETE FROM upload WHERE id = ${uuid('workspace', id)}`;
    rmSync(join(it.dataDir, 'snapshots', `${uuid('workspace', id)}.git`), { recursive: true });
    await goOn(sessionId, [write('a/secret', 'y'), write('a/other', 'z'), say('Done.')]);
    expect(await it.read(sessionId, 'a/other')).toBe('z');
    expect(await it.read(sessionId, 'a/secret')).toBeUndefined();
  });

  test('is forked with its roots, and read-only there too', async () => {
    const id = await begun([write('app/a', '1\n'), write('app/a', '2\n'), say('Done.')]);
    const forked = await fork(id, { turn: 1 });
    expect((await it.session(forked)).workspace).toEqual((await it.session(id)).workspace);
    await goOn(forked, [
      [
        write('docs/guide.md', 'x'),
        call('bash', { command: 'D=docs; echo x > $D/guide.md' }),
        write('out/b', 'b'),
      ],
      say('Done.'),
    ]);
    const read = (path: string) => it.read(forked, path);
    expect([
      await read('app/a'),
      await read('docs/guide.md'),
      await read('out/b'),
      await read('app/readme.md'),
    ]).toEqual(['1\n', 'guide\n', 'b', 'one\n']);
  });

  test('is what it began with in a fork from its beginning', async () => {
    const id = await begun([write('app/a', '1\n'), say('Done.')]);
    const forked = await fork(id, { turn: 0 });
    await goOn(forked, [write('app/b', 'b'), say('Done.')]);
    const paths = ['app/a', 'app/b', 'app/readme.md', 'docs/guide.md'];
    expect(await Promise.all(paths.map((path) => it.read(forked, path)))).toEqual([
      undefined,
      'b',
      'one\n',
      'guide\n',
    ]);
  });

  test('goes back to an earlier turn, and is merged with what a fork of it did', async () => {
    const id = await begun([write('app/a', '1\n'), write('out/b', '1\n'), say('Done.')]);
    const other = await fork(id);
    await goOn(other, [write('out/c', 'theirs\n'), say('Done.')]);
    expect(await it.ask('POST', `/v1/sessions/${id}/revert`, { body: { turn: 1 } })).toMatchObject({
      status: 201,
    });
    await goOn(id, [write('app/d', 'ours\n'), say('Done.')]);
    const merged = await it.ask('POST', `/v1/sessions/${id}/merge`, { body: { from: other } });
    expect(merged).toMatchObject({ status: 201, json: { conflicts: [] } });
    await goOn(id, [write('docs/x', 'x'), write('out/e', 'e'), say('Done.')]);
    const paths = ['app/a', 'app/d', 'out/c', 'out/e', 'docs/guide.md', 'docs/x'];
    expect(await Promise.all(paths.map((path) => it.read(id, path)))).toEqual([
      ...['1\n', 'ours\n', 'theirs\n', 'e', 'guide\n'],
      undefined,
    ]);
    const { text } = await it.ask('GET', `/v1/sessions/${id}/diff`);
    expect([...text.matchAll(/^diff --git a\/(\S+)/gm)].map(([, path]) => path)).toEqual([
      'app/a',
      'app/d',
      'out/c',
      'out/e',
    ]);
    const bundle = await it.ask('GET', `/v1/sessions/${id}/bundle`);
    expect(bundle.status).toBe(200);
    const [row] = await it.db
      .sql`SELECT kind FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${uuid('session', id)}`;
    expect(row).toEqual({ kind: 'roots' });
  });
});

describe('a directory of this machine with others beside it', () => {
  function directory(files: Record<string, string>): string {
    const path = realpathSync(mkdtempSync(join(place, 'own-')));
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(join(path, name, '..'), { recursive: true });
      writeFileSync(join(path, name), content);
    }
    return path;
  }
  const local = (path: string, roots: Record<string, unknown>) => ({
    workspace: { kind: 'local', path, roots },
  });

  test('is worked on, while they are read by their absolute paths', async () => {
    const [main, docs] = [
      directory({ a: 'a\n' }),
      directory({ 'guide.md': 'guide\n', 'AGENTS.md': 'Be short.\n' }),
    ];
    symlinkSync(docs, join(main, 'link'));
    git(docs, 'init', '-q', '-b', 'main');
    const guide = join(docs, 'guide.md');
    const steps = [
      [
        call('read_file', { path: guide }),
        call('read_file', { path: 'link/guide.md' }),
        call('grep', { pattern: 'guide', path: docs }),
        call('vcs_status', { root: 'docs' }),
      ],
      [
        write(guide, 'x'),
        write('link/guide.md', 'x'),
        write(join(docs, 'new'), 'x'),
        call('bash', { command: `echo x > ${guide}` }),
        call('vcs_commit', { root: 'docs', message: 'x' }),
        call('read_file', { path: '/etc/passwd' }),
      ],
      write('b', 'b\n'),
      say('Done.'),
    ];
    const prompt = `Begin ${next()}.`;
    const { sessionId } = await it.run(prompt, steps, local(main, { docs: { path: docs } }));
    const seen = it.lastSeen(sessionId).join('\n');
    expect(seen).toContain(`- docs: ${docs}; version control: git, branch main`);
    expect(seen).toContain('Be short.');
    const why = `the directory docs (${docs}) may only be read`;
    expect(seen.split(why).length - 1).toBe(5);
    expect(seen.split('guide\n').length).toBeGreaterThan(2);
    expect(seen).toMatch(/'\/etc\/passwd' is outside the workspace/);
    expect(readFileSync(guide, 'utf8')).toBe('guide\n');
    expect(readFileSync(join(main, 'b'), 'utf8')).toBe('b\n');
    expect((await it.session(sessionId)).workspace).toEqual({
      kind: 'local',
      path: main,
      roots: [{ name: 'docs', access: 'read', kind: 'local', path: docs }],
    });
    expect((await it.ask('GET', `/v1/sessions/${sessionId}/diff`)).text).not.toContain('guide');
    const forked = await fork(sessionId);
    expect((await it.session(forked)).workspace).toEqual({ kind: 'empty', path: null });
  });

  test('has the rules of each of them', async () => {
    const rules = 'permissions:\n  read_file(secret): deny\n';
    const [main, docs] = [
      directory({ secret: 'mine' }),
      directory({ secret: 'theirs', '.capybara/config.yaml': rules }),
    ];
    const steps = [
      [call('read_file', { path: join(docs, 'secret') }), call('read_file', { path: 'secret' })],
      say('Done.'),
    ];
    const { sessionId } = await it.run(`Begin ${next()}.`, steps, local(main, { docs: { path: docs } }));
    const seen = it.lastSeen(sessionId).join('\n');
    expect(seen).toContain('mine');
    expect(seen).not.toContain('theirs');
  });

  test('is refused where one is no place for agents, or does not lie apart', async () => {
    const main = directory({ 'inner/a': 'a' });
    const other = directory({ a: 'a' });
    symlinkSync(join(main, 'inner'), join(other, 'link'));
    const many = Object.fromEntries(
      Array.from({ length: MAX_ROOTS + 1 }, (_, at) => [`r${at}`, { path: other }]),
    );
    const refused: [Record<string, unknown>, string][] = [
      [{ a: { path: '/etc' } }, 'The workspace /etc is a system directory'],
      [{ a: { path: it.dataDir } }, "overlaps Capybara's own data directory"],
      [{ a: { path: 'docs' } }, 'expected an absolute path'],
      [{ a: { path: join(place, 'none') } }, 'cannot be opened'],
      [{ a: { path: main } }, 'overlap; name directories that lie apart.'],
      [{ a: { path: join(main, 'inner') } }, 'overlap; name directories that lie apart.'],
      [{ a: { path: place } }, 'overlap; name directories that lie apart.'],
      [{ a: { path: other }, b: { path: other } }, 'overlap; name directories that lie apart.'],
      [{ a: { path: join(other, 'link') } }, 'overlap; name directories that lie apart.'],
      [
        { a: { path: other, access: 'write' } },
        'expected "read": of directories of the machine only the one at path',
      ],
      [{ A: { path: other } }, 'expected a name of 1 to 32 of a-z'],
      [many, `expected at most ${MAX_ROOTS} roots`],
    ];
    for (const [roots, sentence] of refused) {
      const { status, json } = await it.ask('POST', '/v1/tasks', {
        body: { prompt: 'Do it.', ...local(main, roots) },
      });
      expect([status, json.detail]).toEqual([400, expect.stringContaining(sentence)]);
    }
  });

  test('is asked for each of them whether the administrator listed it', async () => {
    const [main, other] = [directory({ a: 'a' }), directory({ a: 'a' })];
    const deps = { ...it.deps, allowLocal: [main] };
    const api = createApi(deps);
    const server = await listen(api, { host: '127.0.0.1', port: 0 });
    onTestFinished(() => server.close());
    const ask = askerOf(server.url, it.me);
    const body = (roots: Record<string, unknown>) => ({
      body: { prompt: 'Nothing.', ...local(main, roots) },
    });
    expect(await ask('POST', '/v1/tasks', body({}))).toMatchObject({ status: 201 });
    expect(await ask('POST', '/v1/tasks', body({ a: { path: other } }))).toMatchObject({
      status: 403,
      json: { code: 'local_workspace' },
    });
  });
});
