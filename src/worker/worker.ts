/** A worker: takes wake-ups from the queue, runs turns, keeps its lease, sweeps, and stops politely. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Bus } from '../bus/bus.ts';
import { type Clock, systemClock } from '../clock.ts';
import { messageOf } from '../core/errors.ts';
import { DEFAULT_CLONE_RETRY, DEFAULT_RETRY, type RetryPolicy, TAKEOVER_BACKOFF_MS } from '../core/retry.ts';
import { type CoolDown, DEFAULT_COOL_DOWN } from '../core/router.ts';
import type { Log } from '../log.ts';
import { McpBridge } from '../mcp/client/bridge.ts';
import type { Allowances } from '../model/allowance.ts';
import type { Models } from '../model/providers.ts';
import type { JobConsumer, QueueBackend, TurnJob } from '../queue/queue.ts';
import type { BackgroundLimits } from '../sandbox/background-process.ts';
import type { LeasedSandbox, Sandbox } from '../sandbox/sandbox.ts';
import type { Database } from '../store/database.ts';
import { attemptStates } from '../store/workers.ts';
import type { Registry } from '../tools/registry.ts';
import { noTracing, type Tracing } from '../tracing/tracing.ts';
import { openCheckout } from '../workspace/checkouts.ts';
import type { WorkspaceHost } from '../workspace/kinds.ts';
import { openSnapshots } from '../workspace/snapshots/open-snapshots.ts';
import type { Snapshots } from '../workspace/snapshots/snapshots.ts';
import { Background } from './background.ts';
import { Deliverer, type DeliverySettings } from './deliverer.ts';
import { ImageCache } from './image-cache.ts';
import { DEFAULT_LEASE, type Lease, type LeaseTiming, takeLease } from './lease.ts';
import { LogCache } from './log-cache.ts';
import { type McpOptions, mcpOptions } from './mcp-tools.ts';
import { patient, sweeping } from './patient.ts';
import { ProfileCache } from './profile-cache.ts';
import { CACHE_BYTES, provisioner, type RepositorySettings } from './provision.ts';
import { type KeepTiming, Pruner } from './pruner.ts';
import type { Run } from './run.ts';
import { runTurn } from './run-turn.ts';
import { SeenCache } from './seen-cache.ts';
import { checkoutHost } from './session-files.ts';
import type { Shell } from './shell.ts';
import { atMost } from './slots.ts';
import { inStages } from './stages.ts';
import { DEFAULT_SWEEP, Sweeper, type SweepTiming } from './sweeper.ts';

export interface WorkerOptions {
  readonly db: Database;
  /** Straight to Postgres: the lease's lock belongs to its connection. */
  readonly directUrl: string;
  readonly backend: QueueBackend;
  readonly bus: Bus;
  readonly models: Models;
  readonly tools: Registry;
  readonly sandbox: Sandbox & Partial<LeasedSandbox>;
  readonly log: Log;
  readonly tracing?: Tracing | undefined;
  readonly dataDir: string;
  /** See `Config.snapshots`. */
  readonly sharedSnapshots?: string | undefined;
  /** Whom new directories for workspaces are given to; the worker's own user where not given. */
  readonly workspaceOwner?: WorkspaceHost['owner'] | undefined;
  readonly version: string;
  /** Turns at a time. */
  readonly concurrency: number;
  readonly clock?: Clock;
  readonly lease?: Partial<LeaseTiming>;
  readonly sweep?: Partial<SweepTiming>;
  readonly retry?: RetryPolicy;
  readonly coolDown?: CoolDown;
  /** What a provider's key allows, by the provider's name; as much as it answers where left out. */
  readonly allowances?: Allowances;
  /** Where repositories may be cloned from, and what one may take. */
  readonly repositories?: Partial<RepositorySettings> | undefined;
  readonly cloneRetry?: RetryPolicy;
  /** Pauses before a turn that lost its worker is tried again; when they run out its task fails. */
  readonly takeoverBackoffMs?: readonly number[];
  /** What a changing call gets to end by itself when the worker stops. */
  readonly drainGraceMs?: number;
  /** Calls that merely read and end this soon share their answer's commit; until then the answer has none. 0: none. */
  readonly readGraceMs?: number;
  /** Tokens that the map of a project's source may take at the beginning of a session; none is made where left out. */
  readonly mapTokens?: number;
  readonly mcp?: McpOptions | undefined;
  /** Of commands that go on in the background. */
  readonly background?: Partial<BackgroundLimits>;
  /** Of webhooks. */
  readonly deliveries?: Partial<DeliverySettings> | undefined;
  /** How long what nobody uses is kept. */
  readonly keep?: Partial<KeepTiming>;
}

export interface RunningWorker {
  readonly id: string;
  /** Hands every turn back and waits only for what cannot be resumed. */
  stop(): Promise<void>;
}

const DRAIN_GRACE_MS = 5_000;
/** A file is read in one or two. An answer took seconds to come, so that a crash in these is no more likely to cost it. */
const READ_GRACE_MS = 5;

export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const worker = new LiveWorker(options);
  try {
    await worker.start();
    return worker;
  } catch (error) {
    await worker.stop();
    throw error;
  }
}

class LiveWorker implements RunningWorker {
  readonly #options: WorkerOptions;
  readonly #timing: LeaseTiming;
  readonly #shell: Shell;
  readonly #runs = new Set<Run>();
  readonly #sweeper: Sweeper;
  readonly #pruner: Pruner;
  readonly #snapshots: Snapshots;
  #lease: Lease | undefined;
  #consumer: JobConsumer | undefined;
  #unsubscribe: (() => Promise<void>) | undefined;
  /** Turns that others pointed here, beside those from the queue. */
  readonly #pointed = new Map<string, Promise<void>>();
  readonly #pointedSlot: ReturnType<typeof atMost>;
  readonly #closing = new AbortController();
  /** Fires when this worker is asked to stop. */
  readonly #hurry = new AbortController();
  #startingOver: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_LEASE, ...options.lease };
    this.#pointedSlot = atMost(options.concurrency);
    const { db, bus, models, tools, sandbox, log, dataDir } = options;
    const {
      clock = systemClock,
      retry = DEFAULT_RETRY,
      cloneRetry = DEFAULT_CLONE_RETRY,
      takeoverBackoffMs = TAKEOVER_BACKOFF_MS,
      readGraceMs = READ_GRACE_MS,
      coolDown = DEFAULT_COOL_DOWN,
      allowances = {},
      mapTokens = 0,
      tracing = noTracing,
      sharedSnapshots: shared,
    } = options;
    this.#snapshots = openSnapshots({ directory: join(dataDir, 'snapshots'), shared });
    const checkouts = checkoutHost(
      { snapshots: this.#snapshots, sandbox, log },
      { dataDir, owner: options.workspaceOwner },
    );
    this.#shell = {
      db: patient(db, this.#hurry.signal),
      ...{ bus, models, tools, sandbox, log, dataDir, clock, takeoverBackoffMs, readGraceMs, mapTokens },
      ...{ retry, coolDown, allowances, cloneRetry, tracing },
      snapshots: this.#snapshots,
      provision: provisioner(this.#snapshots, checkouts, options.repositories),
      queue: options.backend.queue(),
      logs: new LogCache(),
      profiles: new ProfileCache(),
      images: new ImageCache(),
      seen: new SeenCache(),
      runs: this.#runs,
      ...{ mcp: new McpBridge(mcpOptions(options)), mcpSources: options.mcp ?? { servers: {} } },
      background: new Background(sandbox, options.background),
      deliverer: new Deliverer(
        { db: patient(db, this.#hurry.signal), lane: options.backend.deliveries, log, clock },
        options.deliveries,
      ),
      leaseMs: this.#timing.leaseMs,
      abandoned: new Set(),
      workerId: () => this.id,
      untilSafe: (run) => this.#untilSafe(run),
      unbroken: () => this.#held().unbroken,
      steadyMs: () => this.#held().steadyMs(),
      dueIn: (ms) => this.#sweeper.hint(ms),
      enter: (run) => this.#enter(run),
      openWorkspace: async (turn) => {
        const { background } = this.#shell;
        const checkout = background.takeFiles(turn) ?? (await openCheckout(turn.workspace, checkouts));
        background.watchFiles(turn, checkout);
        return checkout;
      },
    };
    const unhurried = sweeping(db, this.#closing.signal);
    const { repositories: { cacheBytes = CACHE_BYTES } = {} } = options;
    this.#pruner = new Pruner(
      { db: unhurried, log, dataDir, shared, checkouts, cacheBytes, workerId: () => this.id },
      options.keep,
    );
    const sweep = { ...DEFAULT_SWEEP, ...options.sweep, leaseMs: this.#timing.leaseMs };
    this.#sweeper = new Sweeper({ ...this.#shell, db: unhurried }, sweep);
  }

  get id(): string {
    return this.#held().worker.id;
  }

  async start(): Promise<void> {
    this.#lease = await this.#takeLease();
    this.#unsubscribe = await this.#options.bus.subscribe((message) => {
      if (message.type === 'cancel' || message.type === 'pause') this.#stopTask(message.taskId, message.type);
      if (message.type === 'pinned' && message.workerId === this.id) this.#lookHere(message);
    });
    this.#sweeper.start();
    this.#pruner.start();
    this.#consumer = this.#options.backend.consume({
      concurrency: this.#options.concurrency,
      look: (job) => runTurn(this.#shell, job),
    });
    this.#shell.deliverer.start();
    this.#options.log.info({ workerId: this.id, concurrency: this.#options.concurrency }, 'worker ready');
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    // Taking no more jobs comes first; it resolves when those in hand have returned, which the drain makes quick.
    const idle = Promise.all([this.#consumer?.pause(), this.#shell.deliverer.pause()]);
    this.#hurry.abort();
    for (const run of this.#runs) this.#drain(run);
    await inStages(this.#options.log, {
      'what is in hand': () => idle,
      'turns pointed here': () => Promise.all(this.#pointed.values()),
      'MCP servers': () => this.#shell.mcp.close(),
      'commands in the background': () => this.#shell.background.close('drain'),
      sweeper: () => {
        this.#closing.abort();
        return this.#sweeper.close();
      },
      'starting over': () => this.#startingOver,
      // Together: each waits a moment for a Postgres that may be away.
      connections: () =>
        Promise.all([
          ...[this.#closeQueue(), this.#unsubscribe?.(), this.#lease?.close()],
          this.#snapshots.close(),
          this.#pruner.close(),
        ]),
    });
  }

  async #closeQueue(): Promise<void> {
    await Promise.all([this.#consumer?.close(), this.#shell.deliverer.close()]);
    await this.#shell.queue.close();
  }

  /** A job that was taken just before the worker began to stop may come to its turn only after. */
  #enter(run: Run): void {
    this.#runs.add(run);
    if (this.#stopping !== undefined) this.#drain(run);
  }

  #drain(run: Run): void {
    run.stop('drain', this.#options.drainGraceMs ?? DRAIN_GRACE_MS);
  }

  #takeLease(): Promise<Lease> {
    const { directUrl, version, log, sandbox } = this.#options;
    const lease = {
      ...{ url: directUrl, version, log, timing: this.#timing },
      onRenewed: () => sandbox.feed?.(),
      onEnded: () => {
        this.#startingOver = this.#startOver();
      },
    };
    return takeLease(lease, this.#closing.signal);
  }

  /** The incarnation was ended by somebody who held it for dead: what it holds is lost; the process goes on as a new one. */
  async #startOver(): Promise<void> {
    if (this.#stopping !== undefined) return;
    this.#options.log.warn({ workerId: this.id }, 'this worker was held for dead; it starts over');
    for (const run of this.#runs) run.stop('lost');
    await this.#shell.background.close('lost');
    await this.#lease?.close();
    while (this.#stopping === undefined) {
      try {
        this.#lease = await this.#takeLease();
        return;
      } catch (error) {
        this.#options.log.error({ error: messageOf(error) }, 'no new lease');
        await delay(this.#timing.renewMs, undefined, { signal: this.#closing.signal }).catch(() => {});
      }
    }
  }

  /** A worker that was paused or cut off acts again only for turns that are still its own. */
  async #untilSafe(run: Run): Promise<void> {
    const lease = this.#held();
    await lease.untilSafe(run.signal);
    const { unbroken } = lease;
    if (run.unbroken === unbroken) return;
    const [attempt] = await attemptStates(this.#options.db, [run.held.attemptId]);
    if (attempt?.held !== true) run.stop('lost');
    run.signal.throwIfAborted();
    run.unbroken = unbroken;
  }

  /** A turn of a session whose background commands run here. */
  #lookHere({ turnId, wake }: TurnJob): void {
    if (this.#stopping !== undefined || this.#pointed.has(turnId)) return;
    const look = async () => {
      if (this.#stopping === undefined) await runTurn(this.#shell, { turnId, wake });
    };
    const looking = this.#pointedSlot(look).finally(() => this.#pointed.delete(turnId));
    this.#pointed.set(turnId, looking);
  }

  #stopTask(taskId: string, why: 'cancel' | 'pause'): void {
    for (const run of this.#runs) if (run.turn.taskId === taskId) run.stop(why);
  }

  #held(): Lease {
    if (this.#lease === undefined) throw new Error('the worker has no lease yet');
    return this.#lease;
  }
}
