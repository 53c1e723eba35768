/**
 * What nobody needs any more, removed a little at a time: snapshots that no row leads to, uploads that nothing began with, clones of
 * repositories, working directories of sessions that nobody works on; and what ended is added to what metrics count. Every worker prunes; there is no leader. Each step is safe
 * beside another worker's, and may be killed anywhere; none of it runs in this process but for small files.
 */
import { randomBytes } from 'node:crypto';
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import type { Log } from '../log.ts';
import { forgetAudit } from '../store/audit.ts';
import type { Database } from '../store/database.ts';
import { forgetDeliveries } from '../store/deliveries.ts';
import { deletedWorkspaces, type IdleWorkspace, idleWorkspaces } from '../store/idle-workspaces.ts';
import { databaseName, liveSnapshots } from '../store/live-snapshots.ts';
import { countMetrics } from '../store/metrics.ts';
import { forgetOutputs } from '../store/outputs.ts';
import { takeInPassages } from '../store/search.ts';
import { forgetIdempotencyKeys } from '../store/tasks.ts';
import { forgetUploads } from '../store/uploads.ts';
import { liveWorkers } from '../store/workers.ts';
import type { CheckoutHost } from '../workspace/checkouts.ts';
import { forgetUnused } from '../workspace/git/cache.ts';
import { removeIdle } from '../workspace/idle.ts';
import type { Owner } from '../workspace/place.ts';
import { SNAPSHOT_LIMITS } from '../workspace/snapshots/limits.ts';
import { mayBeDue, REMOVED } from '../workspace/snapshots/prune-store.ts';

export interface KeepTiming {
  /** How long the pause is between two rounds, at least. */
  readonly everyMs: number;
  /** How often as long as a step took the pause after it is: what is left of the machine to others. */
  readonly rest: number;
  /** How long the working directory of a session stays that nobody works on. */
  readonly filesMs: number;
  /** How long an upload stays that nothing begins with. */
  readonly uploadsMs: number;
  /** How far back the audit trail reaches. */
  readonly auditMs: number;
  /** How long deliveries of webhooks that have ended can be looked at and replayed. */
  readonly deliveriesMs: number;
  /** See `SnapshotLimits.pruneGraceMs`. */
  readonly graceMs: number;
}

const DAY_MS = 24 * 60 * 60_000;

export const DEFAULT_KEEP: KeepTiming = {
  everyMs: 10 * 60_000,
  rest: 4,
  filesMs: 14 * DAY_MS,
  uploadsMs: 30 * DAY_MS,
  auditMs: 365 * DAY_MS,
  deliveriesMs: 30 * DAY_MS,
  graceMs: SNAPSHOT_LIMITS.pruneGraceMs,
};

export interface PrunerParts {
  readonly db: Database;
  readonly log: Log;
  readonly dataDir: string;
  /** `Config.snapshots`. */
  readonly shared: string | undefined;
  readonly checkouts: CheckoutHost;
  readonly cacheBytes: number;
  workerId(): string;
}

/** Before the first round: a command that takes a minute or two may be all that Capybara is started for. */
const FIRST_MS = 60_000;
/** How long what was stored for a session that is not there stays: it may be about to be. */
const ORPHAN_MS = DAY_MS;
/** Batches of what is searched, in a round: a search takes in what is left. */
const SEARCH_BATCHES = 1_000;
/** Rows of one statement, and directories that are asked for at once. */
const BATCH = 100;
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const ID = new RegExp(`^${UUID}$`);
/** Of a lineage; or what somebody had begun to remove of it. */
const STORE = new RegExp(`^(${UUID})\\.git(\\${REMOVED})?$`);
/** Names the database that the stores in a directory belong to: its id, and behind a space where it is. */
const DATABASE_FILE = 'database';

/**
 * `us`: what no row names is nobody's. `other`: it may be another database's. `original`: so may what rows here know, since this database
 * is a copy: it knows nothing of what the other has recorded since.
 */
type StoreOwner = 'us' | 'other' | 'original';

interface Step {
  readonly what: string;
  act(): Promise<unknown>;
}

export class Pruner {
  readonly #parts: PrunerParts;
  readonly #timing: KeepTiming;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;

  constructor(parts: PrunerParts, timing: Partial<KeepTiming> = {}) {
    this.#parts = parts;
    this.#timing = { ...DEFAULT_KEEP, ...timing };
  }

  start(): void {
    this.#running ??= this.#loop();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #loop(): Promise<void> {
    const { everyMs } = this.#timing;
    // Spread over time, so that many workers do not begin at the same moment.
    for (
      let ms = Math.min(everyMs, FIRST_MS);
      await this.#pause(ms * (0.75 + Math.random() / 2));
      ms = everyMs
    )
      await this.round().catch((error: unknown) => this.#warn('what there is', error));
  }

  /** One look at everything. A step that fails is logged, and does not keep the others from their work. */
  async round(): Promise<void> {
    for await (const { what, act } of this.#steps()) {
      const began = performance.now();
      try {
        await act();
      } catch (error) {
        this.#warn(what, error);
      }
      if (!(await this.#pause((performance.now() - began) * this.#timing.rest))) return;
    }
  }

  #warn(what: string, error: unknown): void {
    // What it was at was stopped with it.
    if (this.#closing.signal.aborted) return;
    this.#parts.log.warn({ what, error: messageOf(error) }, 'could not prune; the next round tries again');
  }

  async #pause(ms: number): Promise<boolean> {
    const { signal } = this.#closing;
    await delay(ms, undefined, { signal }).catch(() => {});
    return !signal.aborted;
  }

  async *#steps(): AsyncGenerator<Step> {
    const { db, dataDir, shared, checkouts, cacheBytes } = this.#parts;
    const { uploadsMs: unusedMs, auditMs: olderMs, deliveriesMs } = this.#timing;
    yield { what: 'uploads', act: () => forgetUploads(db, { unusedMs, limit: BATCH }) };
    yield { what: 'audit', act: () => forgetAudit(db, { olderMs, limit: BATCH }) };
    yield { what: 'deliveries', act: () => forgetDeliveries(db, { olderMs: deliveriesMs, limit: BATCH }) };
    yield { what: 'idempotency keys', act: () => forgetIdempotencyKeys(db, BATCH) };
    yield { what: 'metrics', act: () => this.#countMetrics() };
    yield { what: 'outputs', act: () => forgetOutputs(db, { olderMs: ORPHAN_MS, limit: BATCH }) };
    yield { what: 'what is searched', act: () => takeInPassages(db, SEARCH_BATCHES) };
    yield { what: 'repositories', act: () => forgetUnused({ ...checkouts, cacheBytes }) };
    const own = join(dataDir, 'snapshots');
    const stores = [own, ...(shared !== undefined && isAbsolute(shared) ? [shared] : [])];
    const owners: (readonly [string, StoreOwner])[] = [];
    for (const directory of stores)
      if ((await entriesOf(directory)).length > 0) owners.push([directory, await this.#ownerOf(directory)]);
    yield* this.#idle(owners.some(([directory, owner]) => directory === own && owner === 'us'));
    // A lineage is pruned on this host and where it is shared at once.
    if (owners.some(([, owner]) => owner === 'original')) return;
    for (const [directory, owner] of owners) yield* this.#lineages(directory, owner);
  }

  /** Of a fleet that had no worker for long, in several statements. */
  async #countMetrics(): Promise<void> {
    while (!this.#closing.signal.aborted && (await countMetrics(this.#parts.db)));
  }

  async *#lineages(directory: string, owner: StoreOwner): AsyncGenerator<Step> {
    const { checkouts, db } = this.#parts;
    const { graceMs } = this.#timing;
    for (const name of await entriesOf(directory)) {
      const [, lineage, removed] = STORE.exec(name) ?? [];
      if (lineage === undefined) continue;
      if (removed === undefined && !(await mayBeDue(join(directory, name), graceMs))) continue;
      const act = async () => {
        const live = await liveSnapshots(db, lineage);
        if (live !== undefined || owner === 'us') await checkouts.snapshots.of(lineage).prune(live);
      };
      yield { what: `the snapshots ${lineage}`, act };
    }
  }

  async #ownerOf(directory: string): Promise<StoreOwner> {
    const path = join(directory, DATABASE_FILE);
    const { id, instance } = await databaseName(this.#parts.db);
    const text = (await readFile(path, 'utf8').catch(orNone)) ?? (await claimed(path, `${id} ${instance}`));
    const [ownerId, ownerInstance = instance] = text.trim().split(' ');
    if (ownerId === id && ownerInstance === instance) return 'us';
    const owner = ownerId === id ? 'original' : 'other';
    const warning = {
      other: `belong to another database (${path}): what this one does not know is left there`,
      original: `belong to a database that this one is a copy of (${path}): nothing is removed there; where the other is gone, remove that file`,
    };
    this.#parts.log.warn({ directory }, `the snapshots there ${warning[owner]}`);
    return owner;
  }

  /** `isOurs`: what the database does not know there is of sessions that were deleted. */
  async *#idle(isOurs: boolean): AsyncGenerator<Step> {
    const { db, dataDir, log, checkouts, shared } = this.#parts;
    const root = join(dataDir, 'workspaces');
    const ids = await kept(
      root,
      (await entriesOf(root)).filter((name) => ID.test(name)),
    );
    for (let start = 0; start < ids.length; start += BATCH) {
      const some = { ids: ids.slice(start, start + BATCH), idleMs: this.#timing.filesMs };
      const deleted = isOurs ? await deletedWorkspaces(db, some.ids) : [];
      const found = [...(await idleWorkspaces(db, some)), ...deleted];
      if (found.length === 0) continue;
      const isGone = await this.#goneOwners();
      const host = { ...checkouts, isGone, isShared: shared !== undefined };
      const remove = (row: IdleWorkspace) => async () => {
        const outcome = await removeIdle(row, host);
        if (outcome === 'removed')
          log.info({ workspaceId: row.id }, 'removed the files of a session that nobody works on');
      };
      for (const row of found) yield { what: `the files of ${row.id}`, act: remove(row) };
    }
  }

  /** An owner of another host, or of this one before it was started anew, cannot be looked for: one whose lease is over has ended its work. */
  async #goneOwners(): Promise<(owner: Owner) => boolean> {
    const { db, checkouts, workerId } = this.#parts;
    const keyOf = ({ host, pid, pidStartedAt }: Owner) => `${host} ${pid} ${pidStartedAt}`;
    const live = new Set([...(await liveWorkers(db, workerId())), checkouts.self].map(keyOf));
    return (owner) => checkouts.isGone(owner) || !live.has(keyOf(owner));
  }
}

/** Those that still have files. */
async function kept(root: string, ids: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const id of ids) {
    const names = await entriesOf(join(root, id));
    if (names.some((name) => /^(place|old)-/.test(name))) found.push(id);
  }
  return found;
}

async function entriesOf(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  });
}

/** Whole or not at all; of several that are first, one writes it. */
async function claimed(path: string, name: string): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(temporary, name, { mode: 0o600 });
  await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(temporary);
  return readFile(path, 'utf8');
}

function orNone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
