/** Pruning takes what no snapshot holds that somebody may need, and nothing else, whoever is at work beside it or is killed in it. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SNAPSHOT_LIMITS } from '../../src/workspace/snapshots/limits.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { PackWriter } from '../../src/workspace/snapshots/pack-writer.ts';
import { MANY_PACKS, ShadowGit } from '../../src/workspace/snapshots/shadow-git.ts';
import type { SnapshotStore, Snapshots, SnapshotsOptions } from '../../src/workspace/snapshots/snapshots.ts';
import { SharedSnapshots } from '../../src/workspace/snapshots/transport.ts';
import { emptyDirectory, filesAt, readTree, type Tree } from './snapshots-harness.ts';

const { pruneGraceMs: GRACE_MS, nameMs: NAME_MS } = SNAPSHOT_LIMITS;

/** CAPYBARA_TEST_EVERY_POINT=1 plays twice as many histories; they are others in each run. */
const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';

let base: string;
let root: string;
const open: Snapshots[] = [];

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'capybara-prune-'));
  root = join(base, 'work');
  mkdirSync(root);
});

afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
  rmSync(base, { recursive: true, force: true });
});

function storeOn(host: string, options: Partial<SnapshotsOptions> = {}): SnapshotStore {
  const snapshots = openSnapshots({ directory: join(base, host), threads: 1, ...options });
  open.push(snapshots);
  return snapshots.of('tree');
}

const storeDirectory = (host: string) => join(base, host, 'tree.git');
const gitOf = (host: string) =>
  new ShadowGit(storeDirectory(host), { searchPath: process.env.PATH ?? '', timeoutMs: 60_000 });

/** All that was written to a store becomes older. */
function age(host: string, ms: number): void {
  const directory = storeDirectory(host);
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const then = new Date(statSync(path).mtimeMs - ms);
    if (entry.isFile()) utimesSync(path, then, then);
  }
}

/** Files of packs. */
const packsIn = (host: string) => readdirSync(gitOf(host).packs);

/** The objects of a store, each once. */
function objectsIn(host: string): Set<string> {
  const args = [
    '--git-dir',
    storeDirectory(host),
    'cat-file',
    '--batch-all-objects',
    '--batch-check=%(objectname)',
  ];
  return new Set(execFileSync('git', args).toString().split('\n').slice(0, -1));
}

async function taken(store: SnapshotStore, tree: Record<string, string>, previous?: string): Promise<string> {
  emptyDirectory(root);
  for (const [name, content] of Object.entries(tree)) writeFileSync(join(root, name), content);
  return (await store.take(filesAt(root), previous === undefined ? {} : { previous })).id;
}

async function restored(store: SnapshotStore, snapshot: string): Promise<Tree> {
  const copy = join(base, 'copy');
  emptyDirectory(copy);
  await store.fetch(snapshot);
  await store.restore(filesAt(copy), snapshot);
  return readTree(copy);
}

describe('what nobody needs', () => {
  it('goes at the second look, a grace after the first, where it was older than that at the first', async () => {
    const store = storeOn('host');
    const dead = await taken(store, { a: 'dead' });
    const live = await taken(store, { a: 'live' });
    age('host', GRACE_MS);
    await store.prune([live]);
    expect(await store.has(dead)).toBe(true);
    age('host', GRACE_MS - 60_000);
    await store.prune([live]);
    expect(await store.has(dead)).toBe(true);
    age('host', 60_000);
    await store.prune([live]);
    expect([await store.has(dead), await store.has(live)]).toEqual([false, true]);
    expect(await restored(store, live)).toEqual({ a: { type: 'file', content: 'live' } });
  });

  it('stays while it is younger than the grace at the first look, and while it was live then', async () => {
    const store = storeOn('host');
    const [once, never] = [await taken(store, { a: 'once' }), await taken(store, { a: 'never' })];
    age('host', GRACE_MS - 60_000);
    await store.prune([once]);
    age('host', GRACE_MS);
    await store.prune([]);
    // Both packs were too young to be marked, and are now.
    expect([await store.has(once), await store.has(never)]).toEqual([true, true]);
    age('host', GRACE_MS);
    await store.prune([once]);
    expect([await store.has(once), await store.has(never)]).toEqual([true, false]);
    age('host', 2 * GRACE_MS);
    await store.prune([]);
    expect(await store.has(once)).toBe(true);
    age('host', 2 * GRACE_MS);
    await store.prune([]);
    expect(await store.has(once)).toBe(false);
  });

  it('goes from among what stays in one pack, and packs without it are left as they are', async () => {
    const store = storeOn('host');
    const live = await taken(store, { a: 'live' });
    const untouched = packsIn('host');
    const [dead, other] = [await taken(store, { b: 'dead' }), await taken(store, { b: 'other' })];
    const single = packsIn('host').filter((name) => !untouched.includes(name));
    gitOf('host').pack(gitOf('host').heldBy([dead, other]));
    for (const name of single) rmSync(join(gitOf('host').packs, name));
    age('host', GRACE_MS);
    await store.prune([live, other]);
    age('host', GRACE_MS);
    await store.prune([live, other]);
    expect(await store.has(dead)).toBe(false);
    expect(packsIn('host')).toEqual(expect.arrayContaining(untouched));
    for (const each of [live, other]) await restored(storeOn('host'), each);
    expect(objectsIn('host')).toEqual(gitOf('host').heldBy([live, other]));
  });

  it('goes whole where no row names the lineage, unless something is written to it', async () => {
    const [store, other] = [storeOn('host'), storeOn('other')];
    await taken(other, { a: 'half removed' });
    age('other', GRACE_MS);
    await taken(store, { a: '1' });
    age('host', GRACE_MS);
    await store.prune(undefined);
    age('host', GRACE_MS);
    const young = await taken(storeOn('host'), { a: '2' });
    await store.prune(undefined);
    expect(await store.has(young)).toBe(true);
    age('host', GRACE_MS);
    await store.prune(undefined);
    expect(readdirSync(join(base, 'host'))).toEqual([]);
    renameSync(storeDirectory('other'), `${storeDirectory('host')}.removed`);
    await store.prune(undefined);
    expect(readdirSync(join(base, 'host'))).toEqual([]);
    const again = await taken(store, { a: '3' });
    expect(await store.has(again)).toBe(true);
  });

  it('comes back where it was written to just before it was moved away', async () => {
    const store = storeOn('host');
    const moved = await taken(store, { a: 'just before' });
    renameSync(storeDirectory('host'), `${storeDirectory('host')}.removed`);
    await storeOn('host').prune(undefined);
    expect(await storeOn('host').has(moved)).toBe(true);
    renameSync(storeDirectory('host'), `${storeDirectory('host')}.removed`);
    const next = await taken(storeOn('host'), { a: 'and after' });
    await storeOn('host').prune(undefined);
    for (const each of [moved, next]) expect(gitOf('host').isWhole(each)).toBe(true);
  });

  it('is what killed programs left in the store, once they cannot be at it any more', async () => {
    const store = storeOn('host');
    const live = await taken(store, { a: '1' });
    const left = [
      'bundle-x',
      'refs/x/y.lock',
      'objects/tmp_objdir-incoming-x',
      'config.1.new',
      'objects/pack/pack-1.idx',
    ];
    const beingWritten = join(gitOf('host').packs, 'pack-2.pack');
    writeFileSync(beingWritten, 'PACK');
    mkdirSync(join(storeDirectory('host'), 'refs/x'));
    for (const name of left) writeFileSync(join(storeDirectory('host'), name), '');
    await store.prune([live]);
    age('host', GRACE_MS - 60_000);
    await store.prune([live]);
    for (const name of left) expect(existsSync(join(storeDirectory('host'), name))).toBe(true);
    age('host', 60_000);
    await store.prune([live]);
    for (const name of left) expect(existsSync(join(storeDirectory('host'), name))).toBe(false);
    age('host', GRACE_MS);
    await store.prune([live]);
    expect(existsSync(beingWritten)).toBe(true);
  });

  it.each([
    ['as many packs as may be', MANY_PACKS, MANY_PACKS],
    ['joined those that are more', MANY_PACKS + 1, 1],
  ])('has left %s', async (_, written, left) => {
    const git = gitOf('host');
    git.open();
    const live = Array.from({ length: written }, (_, number) => packWith(git, `${number}`));
    const store = storeOn('host');
    await store.prune(live);
    age('host', GRACE_MS);
    await store.prune(live);
    expect(packsIn('host').filter((name) => name.endsWith('.pack'))).toHaveLength(left);
    for (const each of live) expect(git.isWhole(each)).toBe(true);
  });
});

/** A tree in a pack of its own, as a snapshot writes one. */
function packWith(git: ShadowGit, content: string): string {
  const writer = new PackWriter(git.packs, new Set());
  const blob = writer.put('blob', Buffer.from(content));
  const tree = writer.put('tree', Buffer.concat([Buffer.from('100644 a\0'), Buffer.from(blob, 'hex')]));
  writer.finish();
  return tree;
}

describe('beside others', () => {
  it('of a snapshot that is live again elsewhere the missing part is fetched', async () => {
    const shared = join(base, 'shared');
    const [one, two] = [storeOn('one', { shared }), storeOn('two', { shared })];
    const id = await taken(one, { a: 'a', b: 'b' });
    await taken(two, { a: 'a', b: 'b' });
    await two.push(id);
    const blob = execFileSync('git', ['hash-object', '--stdin'], { input: 'a' }).toString().trim();
    const whole = packsIn('one');
    gitOf('one').pack([...objectsIn('one')].filter((hash) => hash !== blob));
    for (const name of whole) rmSync(join(gitOf('one').packs, name));
    expect(await restored(storeOn('one', { shared }), id)).toEqual({
      a: { type: 'file', content: 'a' },
      b: { type: 'file', content: 'b' },
    });
  });

  it('a push keeps its name for a day at least, also where the name was there before', () => {
    let now = 100 * NAME_MS;
    const remote = join(base, 'shared');
    const writer = gitOf('host');
    writer.open();
    const shared = () =>
      new SharedSnapshots(writer, { remote, lineage: 'tree', nameMs: NAME_MS, now: () => now });
    const [dead, again] = ['dead', 'again'].map((content) => packWith(writer, content)) as [string, string];
    const pushing = shared();
    for (const each of [dead, again]) pushing.push(each);
    now += NAME_MS;
    pushing.push(again);
    shared().forget([]);
    expect(shared().named().sort()).toEqual([dead, again].sort());
    now += NAME_MS;
    shared().forget([]);
    expect(shared().named()).toEqual([again]);
    shared().fetch(again);
    expect(() => shared().fetch(dead)).toThrow(/couldn't find remote ref/);
    now += NAME_MS;
    shared().forget([again]);
    expect(shared().named()).toEqual([again]);
    shared().forget([]);
    expect(shared().named()).toEqual([]);
  });

  it('a push writes a name again that was removed since this process wrote it', () => {
    let now = 100 * NAME_MS;
    const writer = gitOf('host');
    writer.open();
    const options = { remote: join(base, 'shared'), lineage: 'tree', nameMs: NAME_MS, now: () => now };
    const shared = new SharedSnapshots(writer, options);
    const snapshot = packWith(writer, 'again');
    shared.push(snapshot);
    now += 2 * NAME_MS;
    shared.forget([]);
    expect(shared.named()).toEqual([]);
    // By now its name is what it was.
    now += 2 * NAME_MS;
    shared.push(snapshot);
    expect(shared.named()).toEqual([snapshot]);
  });

  it('a shared directory keeps what has a name, and names go that are old and that nobody needs', async () => {
    const shared = join(base, 'shared');
    const [one, two] = [storeOn('one', { shared }), storeOn('two', { shared })];
    const [live, named] = [await taken(one, { a: 'live' }), await taken(one, { a: 'named' })];
    for (const each of [live, named]) await one.push(each);
    const lock = join(storeDirectory('shared'), 'packed-refs.lock');
    writeFileSync(lock, '');
    const looks = async () => {
      for (let look = 0; look < 3; look += 1) {
        age('shared', GRACE_MS);
        await two.prune([live]);
      }
    };
    await looks();
    expect(existsSync(lock)).toBe(false);
    for (const each of [live, named]) await restored(storeOn('three', { shared }), each);
    const names = namesIn('shared');
    const [, slot] = /tree\/(\d)\//.exec(names[0] ?? '') ?? [];
    const older = names.map((name) => name.replace(`tree/${slot}/`, `tree/${(Number(slot) + 2) % 4}/`));
    const moves = names.flatMap((name, index) => [
      `create ${older[index]} ${name.slice(-40)}\n`,
      `delete ${name}\n`,
    ]);
    gitOf('shared').run(['update-ref', '--stdin'], { input: Buffer.from(moves.join('')) });
    await looks();
    expect(namesIn('shared')).toEqual(older.filter((name) => name.endsWith(live)));
    expect(objectsIn('shared')).toEqual(gitOf('one').heldBy([live]));
    expect(existsSync(storeDirectory('two'))).toBe(false);
  });
});

function namesIn(host: string): string[] {
  const output = gitOf(host).run(['for-each-ref', '--format=%(refname)']) as Buffer;
  return output.toString().split('\n').slice(0, -1);
}

describe('killed, or in a race', () => {
  it('keeps what a young snapshot has in an old pack alone, since packs were joined', async () => {
    const store = storeOn('host');
    const many = Array.from({ length: 400 }, (_, number) => [`${number}`, `dead ${number}`] as const);
    const dead = await taken(store, Object.fromEntries(many));
    const git = gitOf('host');
    age('host', GRACE_MS);
    await store.prune([]);
    age('host', GRACE_MS);
    // Its row is not committed yet when the live ones are read.
    const young = packWith(git, 'dead 7');
    for (let number = 0; number < MANY_PACKS; number += 1) packWith(git, `${number}`);
    git.joinPacks();
    await store.prune([]);
    expect(await store.has(dead)).toBe(false);
    expect(git.isWhole(young)).toBe(true);
  });

  /** Git whose `repack` does this, and then fails as it does where another one took a pack away that it was reading. */
  function gitThatFailsToRepack(before: string): ShadowGit {
    const programs = join(base, 'programs');
    mkdirSync(programs);
    const real = execFileSync('/bin/sh', ['-c', 'command -v git']).toString().trim();
    const script = `#!/bin/sh
case " $* " in *" repack "*) ${before}; echo "fatal: could not find pack" >&2; exit 128;; esac
exec ${real} "$@"
`;
    writeFileSync(join(programs, 'git'), script.replaceAll('REAL', real), { mode: 0o755 });
    const searchPath = `${programs}:${process.env.PATH}`;
    return new ShadowGit(storeDirectory('host'), { searchPath, timeoutMs: 60_000 });
  }

  function manyPacks(): void {
    gitOf('host').open();
    for (let number = 0; number <= MANY_PACKS; number += 1) packWith(gitOf('host'), `${number}`);
  }

  it('leaves packs alone that another joins at the same time', () => {
    manyPacks();
    const objects = objectsIn('host');
    gitThatFailsToRepack('REAL repack --geometric=2 -d -q').joinPacks();
    expect(packsIn('host').filter((name) => name.endsWith('.pack')).length).toBeLessThan(MANY_PACKS);
    expect(objectsIn('host')).toEqual(objects);
  });

  it('tells of packs that cannot be joined', () => {
    manyPacks();
    expect(() => gitThatFailsToRepack(':').joinPacks()).toThrow('git repack over the snapshots failed (128)');
  });

  it('has lost nothing, and the next one ends what it began', async () => {
    const store = storeOn('host');
    const live: string[] = [];
    for (let number = 0; number < 12; number += 1) {
      const id = await taken(store, { a: `${number}`, [`${number % 3}`]: 'x'.repeat(number) });
      if (number % 2 === 0) live.push(id);
    }
    gitOf('host').run(['repack', '--geometric=2', '-d', '-q']);
    age('host', GRACE_MS);
    await store.prune(live);
    for (let kill = 0; kill < 5; kill += 1) {
      age('host', GRACE_MS);
      const pruning = openSnapshots({ directory: join(base, 'host') });
      const pruned = pruning
        .of('tree')
        .prune(live)
        .catch(() => 'killed');
      await new Promise((resolve) => setTimeout(resolve, kill * 70));
      await pruning.close();
      await pruned;
      for (const each of live) expect(gitOf('host').isWhole(each)).toBe(true);
    }
    for (let looks = 0; looks < 3; looks += 1) {
      age('host', GRACE_MS);
      await storeOn('host').prune(live);
    }
    expect(objectsIn('host')).toEqual(gitOf('host').heldBy(live));
  });

  it('keeps all that is named while others take, join, push and fork beside it', async () => {
    const graceMs = 5_000;
    const shared = join(base, 'shared');
    const options = { shared, limits: { pruneGraceMs: graceMs } };
    const [writer, one, two] = [storeOn('one', options), storeOn('one', options), storeOn('two', options)];
    const live: string[] = [await taken(writer, { a: 'first' })];
    let isWriting = true;
    const sweeps = [one, two].map(async (store) => {
      while (isWriting) await store.prune([...live]);
    });
    const until = performance.now() + 2.5 * graceMs;
    for (let round = 0; performance.now() < until; round += 1) {
      // Every other one is never named, and what it wrote is written again soon.
      const previous = live[round % live.length] as string;
      const content = { a: `${Math.floor(round / 4)}`, b: `${round % 5}` };
      const id = await taken(writer, content, previous);
      if (round % 2 === 0) {
        await writer.push(id);
        live.push(id);
      }
    }
    isWriting = false;
    await Promise.all(sweeps);
    for (const each of new Set(live)) expect(gitOf('one').isWhole(each)).toBe(true);
    for (const each of new Set(live.slice(1))) expect(gitOf('shared').isWhole(each)).toBe(true);
  }, 60_000);
});

/** What happens to the sessions of a lineage, in an order that nobody chose. */
const happenings = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('turn' as const), ...who(), content: content() }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('crash' as const), ...who(), content: content() }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constantFrom('revert' as const, 'fork' as const),
        ...who(),
        to: fc.nat(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('merge' as const), ...who(), from: fc.nat() }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('upload' as const), ...who(), content: content() }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), ...who() }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('time' as const),
        ms: fc.constantFrom(GRACE_MS / 3, GRACE_MS),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('prune' as const), ...who() }) },
  ),
  { minLength: 12, maxLength: 26 },
);
type Happening = typeof happenings extends fc.Arbitrary<(infer One)[]> ? One : never;

function who() {
  return { session: fc.nat(), host: fc.constantFrom('one', 'two') };
}

function content() {
  return fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('1', '2', '3', 'x'.repeat(500)), {
    minKeys: 1,
  });
}

interface Session {
  base: string;
  head: string;
  points: string[];
}

/** The rows of a database, and what each snapshot has to restore. */
class History {
  readonly sessions: Session[] = [];
  readonly #stores = new Map<string, SnapshotStore>();
  readonly trees = new Map<string, Tree>();
  readonly #shared: string;

  constructor(shared: string) {
    this.#shared = shared;
  }

  storeOn(host: string): SnapshotStore {
    const found = this.#stores.get(host) ?? storeOn(host, { shared: this.#shared });
    this.#stores.set(host, found);
    return found;
  }

  live(): string[] {
    return this.sessions.flatMap(({ base: begun, head, points }) => [begun, head, ...points]);
  }

  async take(host: string, files: Record<string, string>, previous?: string): Promise<string> {
    const store = this.storeOn(host);
    if (previous !== undefined) await store.fetch(previous);
    const id = await taken(store, files, previous);
    this.trees.set(id, readTree(root));
    return id;
  }

  async happens(one: Happening): Promise<void> {
    if (one.kind === 'time') {
      for (const host of ['one', 'two', 'shared']) age(host, one.ms);
      return;
    }
    const store = this.storeOn(one.host);
    if (one.kind === 'prune') return store.prune(this.live());
    const session = this.sessions[one.session % Math.max(1, this.sessions.length)];
    if (one.kind === 'upload' || session === undefined) {
      const id = await this.take(one.host, 'content' in one ? one.content : { a: '1' });
      await store.push(id);
      this.sessions.push({ base: id, head: id, points: [] });
    } else if (one.kind === 'turn') {
      const id = await this.take(one.host, one.content, session.head);
      await store.push(id);
      session.head = id;
      session.points.push(id);
    } else if (one.kind === 'crash') {
      const id = await this.take(one.host, one.content, session.head);
      if (one.session % 2 === 0) await store.push(id);
    } else if (one.kind === 'revert' || one.kind === 'fork') {
      const at = [session.base, ...session.points][one.to % (session.points.length + 1)] as string;
      if (one.kind === 'revert') session.head = at;
      else this.sessions.push({ base: at, head: at, points: [] });
    } else if (one.kind === 'delete') this.sessions.splice(this.sessions.indexOf(session), 1);
    else if ('from' in one)
      await this.#merge(session, this.sessions[one.from % this.sessions.length] as Session, store);
  }

  async #merge(session: Session, from: Session, store: SnapshotStore): Promise<void> {
    for (const each of [from.base, session.head, from.head]) await store.fetch(each);
    const { id } = await store.merge({ base: from.base, ours: session.head, theirs: from.head });
    this.trees.set(id, await restored(store, id));
    await store.push(id);
    session.head = id;
    session.points.push(id);
  }
}

it('whatever happened, what is live is restored byte for byte, and all else is gone after two looks', async () => {
  await fc.assert(
    fc.asyncProperty(happenings, async (all) => {
      for (const name of ['one', 'two', 'three', 'shared'])
        rmSync(join(base, name), { recursive: true, force: true });
      const history = new History(join(base, 'shared'));
      for (const each of all) await history.happens(each);
      const live = [...new Set(history.live())];
      const check = async () => {
        for (const each of live)
          for (const host of ['one', 'three'])
            expect(await restored(history.storeOn(host), each)).toEqual(history.trees.get(each));
      };
      for (let looks = 0; looks < 3; looks += 1) {
        for (const host of ['one', 'two', 'shared']) age(host, 2 * GRACE_MS);
        for (const host of ['one', 'two']) await history.storeOn(host).prune(live);
      }
      for (const host of ['one', 'two']) {
        if (!existsSync(storeDirectory(host))) continue;
        const held = gitOf(host).heldBy(live);
        expect([...objectsIn(host)].filter((hash) => !held.has(hash))).toEqual([]);
      }
      await check();
      for (const each of open.splice(0)) await each.close();
    }),
    { numRuns: EVERY_POINT ? 4 : 2 },
  );
}, 300_000);
