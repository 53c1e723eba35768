/** What is kept of repositories: one process at a time has it, and whoever is killed leaves nothing that harms the next. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { bytesIn, forgetUnused, KEPT_MS } from '../../src/workspace/git/cache.ts';
import { git } from '../support/git-server.ts';
import { placesIn, useGitWorld } from './git-harness.ts';

const world = useGitWorld();
const at = ({ commit }: { commit: string | null }) => commit;
/** The git directory of the one cache there is. */
const cached = () => join(world.dataDir, 'repositories', placesIn(world.dataDir)[0] ?? '', 'files');

/** Another worker's process, which clones; killed, its git has to end too. */
function startChild(): ChildProcess {
  const file = new URL('../../src/workspace/git/clone.ts', import.meta.url).href;
  const reach = new URL('../../src/workspace/git/gateway.ts', import.meta.url).href;
  const { reach: _, isGone: __, onError: ___, ...host } = world.host();
  const script = `
    const { cloneRepository } = await import(${JSON.stringify(file)});
    const { systemReach } = await import(${JSON.stringify(reach)});
    const host = { ...${JSON.stringify(host)}, reach: systemReach, isGone: () => false, onError: console.error };
    host.self = { host: 'here', pid: process.pid, pidStartedAt: '1' };
    const source = ${JSON.stringify({ url: world.app, ref: null })};
    await cloneRepository({ teamId: 'team', source, signal: new AbortController().signal }, host, async () => {});`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' });
}

test('two sessions that begin with the same repository fetch it once', async () => {
  let atOnce = 0;
  const counts: number[] = [];
  const use = async ({ commit }: { commit: string | null }) => {
    atOnce += 1;
    counts.push(atOnce);
    await new Promise((resolve) => setImmediate(resolve));
    atOnce -= 1;
    return commit;
  };
  const both = await Promise.all([world.clone({}, use), world.clone({}, use), world.clone({}, use)]);
  expect(both).toEqual([world.tip, world.tip, world.tip]);
  expect(counts).toEqual([1, 1, 1]);
  expect(placesIn(world.dataDir)).toHaveLength(1);
});

test('one that is in use for too long is left to its owner: the next begins beside it', async () => {
  const first = Promise.withResolvers<void>();
  const has = Promise.withResolvers<void>();
  const holding = world.clone({}, () => {
    has.resolve();
    return first.promise;
  });
  await has.promise;
  expect(await world.clone({ host: { waitMs: 200 } }, at)).toBe(world.tip);
  expect(placesIn(world.dataDir)).toHaveLength(2);
  first.resolve();
  await holding;
  expect(await world.clone({}, at)).toBe(world.tip);
  await vi.waitFor(() => expect(placesIn(world.dataDir)).toHaveLength(1));
});

test('a process that is killed in the middle of fetching leaves no git behind, and the next clones', async () => {
  const asked = Promise.withResolvers<void>();
  world.server.behave = ({ method }, answer) => {
    if (method !== 'POST') return false;
    answer.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' }).flushHeaders();
    asked.resolve();
    return true;
  };
  const child = startChild();
  await asked.promise;
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('close', resolve));
  await vi.waitFor(() => expect(gitsOf(world.app)).toEqual([]), 5_000);
  world.server.behave = () => false;
  const isGone = ({ pid }: { pid: number }) => pid === child.pid;
  expect(await world.clone({ host: { isGone } }, at)).toBe(world.tip);
  expect(placesIn(world.dataDir)).toHaveLength(1);
});

function gitsOf(text: string): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => line.includes('git') && line.includes(text) && !line.includes('--input-type'));
}

test('one that is stopped by who asked is left at once, with its git', async () => {
  const stop = new AbortController();
  world.server.behave = ({ method }) => {
    if (method !== 'POST') return false;
    stop.abort(new Error('enough'));
    return true;
  };
  await expect(world.clone({ signal: stop.signal }, at)).rejects.toThrow('enough');
  await vi.waitFor(() => expect(gitsOf(world.app)).toEqual([]));
  world.server.behave = () => false;
  expect(await world.clone({}, at)).toBe(world.tip);
});

test('locks and halves of packs that a killed git left are no hindrance', async () => {
  await world.clone({}, at);
  const packs = join(cached(), 'objects', 'pack');
  for (const name of ['config.lock', 'packed-refs.lock', 'objects/pack/tmp_pack_x1']) {
    writeFileSync(join(cached(), name), 'half');
  }
  for (const name of readdirSync(join(cached(), 'refs', 'cached'))) {
    writeFileSync(join(cached(), 'refs', 'cached', `${name}.lock`), '');
  }
  git(join(world.root, 'app.git'), 'update-ref', 'refs/heads/again', world.first);
  expect(await world.clone({ ref: 'again' }, at)).toBe(world.first);
  expect(readdirSync(packs).filter((name) => name.startsWith('tmp_'))).toEqual([]);
  git(join(world.root, 'app.git'), 'update-ref', '-d', 'refs/heads/again');
});

test('what is damaged is forgotten, and fetched anew', async () => {
  await world.clone({}, at);
  const packs = join(cached(), 'objects', 'pack');
  for (const name of readdirSync(packs).filter((each) => each.endsWith('.pack'))) {
    writeFileSync(join(packs, name), 'nonsense');
  }
  const first = await world.clone({}, at).catch((error) => error.failure?.code);
  const second = first === world.tip ? first : await world.clone({}, at);
  expect(second).toBe(world.tip);
});

test('one that no session began with for long is removed, unless somebody has it', async () => {
  await world.clone({}, at);
  const [directory = ''] = placesIn(world.dataDir).map((path) =>
    join(world.dataDir, 'repositories', path, '..'),
  );
  const age = (ms: number) => utimesSync(directory, new Date(), new Date(Date.now() - ms));
  const other = { teamId: 'others' };
  age(KEPT_MS - 60_000);
  await world.clone(other, at);
  await vi.waitFor(() => expect(existsSync(directory)).toBe(true));
  await world.clone({}, async () => {
    age(KEPT_MS + 60_000);
    await world.clone(other, at);
  });
  expect(existsSync(directory)).toBe(true);
  age(KEPT_MS + 60_000);
  await world.clone(other, at);
  await vi.waitFor(() => expect(readdirSync(join(world.dataDir, 'repositories', 'team'))).toEqual([]), 5_000);
  expect(await world.clone({}, at)).toBe(world.tip);
});

test('those that were used longest ago go while all take more than they may, but none that somebody has', async () => {
  const teams = ['first', 'second', 'third'];
  for (const [index, teamId] of teams.entries()) {
    await world.clone({ teamId }, at);
    const [path = ''] = placesIn(world.dataDir).filter((each) => each.startsWith(teamId));
    const used = new Date(Date.now() - (teams.length - index) * 60_000);
    utimesSync(join(world.dataDir, 'repositories', path, '..'), used, used);
  }
  const kept = () =>
    teams.filter((team) => placesIn(world.dataDir).some((path) => path.startsWith(`${team}/`)));
  const one = await bytesIn(join(world.dataDir, 'repositories', 'first'));
  await forgetUnused(world.host({ cacheBytes: 3 * one + one / 2 }));
  expect(kept()).toEqual(teams);
  await forgetUnused(world.host({ cacheBytes: 2 * one + one / 2 }));
  expect(kept()).toEqual(['second', 'third']);
  await world.clone({ teamId: 'second' }, async () => {
    const [path = ''] = placesIn(world.dataDir).filter((each) => each.startsWith('second'));
    utimesSync(join(world.dataDir, 'repositories', path, '..'), 1, 1);
    await forgetUnused(world.host({ cacheBytes: 0 }));
    expect(kept()).toEqual(['second']);
  });
  await forgetUnused(world.host({ cacheBytes: 0 }));
  expect(kept()).toEqual([]);
  expect(await world.clone({ teamId: 'second' }, at)).toBe(world.tip);
});
