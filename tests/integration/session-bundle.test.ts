import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { makeBranch } from '../../src/cli/bundle.ts';
import { git } from '../support/cli.ts';
import { bareOf, commit, startGitServer } from '../support/git-server.ts';
import { say } from '../support/scripted-model/scripted-model.ts';
import { openShop, SHOP_TIMEOUT_MS, type Shop, write } from './session-harness.ts';

vi.setConfig({ testTimeout: SHOP_TIMEOUT_MS, hookTimeout: SHOP_TIMEOUT_MS });

let it: Shop;
let place: string;
beforeAll(async () => {
  it = await openShop();
  place = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-bundles-')));
});
afterAll(async () => {
  await it.close();
  rmSync(place, { recursive: true });
});

async function bundle(id: string, apiKey = it.me.apiKey) {
  return fetch(`${it.url}/v1/sessions/${id}/bundle`, { headers: { authorization: `Bearer ${apiKey}` } });
}

function repository(): string {
  const path = mkdtempSync(join(place, 'repository-'));
  writeFileSync(join(path, 'a'), 'one\n');
  git(path, 'init', '--quiet', '--initial-branch=main');
  git(path, 'add', '--all');
  git(path, 'commit', '--quiet', '--message', 'Begin');
  return path;
}

test('the result of a session in a repository becomes a branch of it, and leaves all else as it was', async () => {
  const path = repository();
  const workspace = { kind: 'local', path };
  const { sessionId } = await it.run('Add b.', [write('b', 'new\n'), say('Done.')], { workspace });
  const response = await bundle(sessionId);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/x-git-bundle']);
  const bytes = Buffer.from(await response.arrayBuffer());
  const before = git(path, 'status', '--porcelain', '--branch');
  await makeBranch(bytes, { branch: 'agent/b', directory: path });
  expect(git(path, 'log', '--format=%s|%an', 'agent/b')).toBe('Add b.|Ana\nBegin|Test\n');
  expect(git(path, 'diff', '--name-status', 'main', 'agent/b')).toBe('A\tb\n');
  expect(git(path, 'status', '--porcelain', '--branch')).toBe(before);
  await expect(makeBranch(bytes, { branch: 'agent/b', directory: path })).rejects.toMatchObject({
    code: 'branch_exists',
  });
  await expect(makeBranch(bytes, { branch: 'a..b', directory: path })).rejects.toMatchObject({
    code: 'branch_invalid',
  });
  const other = makeBranch(bytes, { branch: 'x', directory: place });
  await expect(other).rejects.toMatchObject({ code: 'branch_failed', exitCode: 1 });
});

test('the commit has what was not committed of the files that the session changed, and what was staged, and no more', async () => {
  const path = repository();
  writeFileSync(join(path, 'b'), 'one\n');
  writeFileSync(join(path, 'c'), 'one\n');
  git(path, 'add', '--all');
  git(path, 'commit', '--quiet', '--message', 'More');
  for (const name of ['a', 'b', 'c']) writeFileSync(join(path, name), 'one\nmine\n');
  writeFileSync(join(path, 'untracked'), 'mine\n');
  git(path, 'add', 'c');
  const workspace = { kind: 'local', path };
  const { sessionId } = await it.run('Go on.', [write('a', 'one\nmine\nnew\n'), say('Done.')], { workspace });
  const bytes = Buffer.from(await (await bundle(sessionId)).arrayBuffer());
  await makeBranch(bytes, { branch: 'agent/a', directory: path });
  expect(git(path, 'diff', '--numstat', 'main', 'agent/a')).toBe('2\t0\ta\n1\t0\tc\n');
  expect(git(path, 'log', '-1', '--format=%an|%ae|%cn', 'agent/a')).toBe('Ana||Capybara Vibe\n');
});

test('a session that changed nothing has none, and another team’s is not there', async () => {
  const { sessionId } = await it.run('Only talk.', [say('Talked.')]);
  const none = await bundle(sessionId);
  expect([none.status, ((await none.json()) as { code: string }).code]).toEqual([409, 'no_changes']);
  const { apiKey } = await it.addPerson('theirs', 'Bo');
  expect((await bundle(sessionId, apiKey)).status).toBe(404);
});

test('the result of a session in a clone is fetched by whoever has the repository, also a fork’s', async () => {
  const remote = join(place, 'remote');
  const work = join(remote, 'work');
  mkdirSync(work, { recursive: true });
  git(work, 'init', '--quiet', '--initial-branch=main');
  const first = commit(work, { a: 'one\n', crlf: 'x\r\n' }, 'Begin');
  bareOf(remote, work, 'app.git');
  const server = await startGitServer(remote);
  onTestFinished(() => server.close());
  const workspace = { kind: 'git', url: server.url('app.git') };
  const { sessionId } = await it.run('Add c.', [write('c', 'new\n'), say('Done.')], { workspace });
  const { json } = await it.ask('POST', `/v1/sessions/${sessionId}/fork`, { body: { turn: 0 } });
  await it.run('Add d.', [write('d', 'new\n'), say('Done.')], { sessionId: json.id });
  for (const [id, added] of [
    [sessionId, 'c'],
    [json.id, 'd'],
  ]) {
    await makeBranch(Buffer.from(await (await bundle(id)).arrayBuffer()), { branch: id, directory: work });
    expect(git(work, 'rev-parse', `${id}^`).trim()).toBe(first);
    expect(git(work, 'diff', '--name-status', 'main', id)).toBe(`A\t${added}\n`);
  }
});
