/** What every run of a worker shares, and what follows each commit. */
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import { messageOf } from '../core/errors.ts';
import type { RetryPolicy } from '../core/retry.ts';
import type { CoolDown } from '../core/router.ts';
import type { Log } from '../log.ts';
import type { McpBridge } from '../mcp/client/bridge.ts';
import type { Allowances } from '../model/allowance.ts';
import type { Models } from '../model/providers.ts';
import type { TurnQueue } from '../queue/queue.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { Database } from '../store/database.ts';
import type { Also, ClaimedTurn, Held, Wake } from '../store/turns.ts';
import type { Registry } from '../tools/registry.ts';
import type { Tracing } from '../tracing/tracing.ts';
import type { Checkout } from '../workspace/checkouts.ts';
import type { Snapshots } from '../workspace/snapshots/snapshots.ts';
import type { Background } from './background.ts';
import type { Deliverer } from './deliverer.ts';
import type { ImageCache } from './image-cache.ts';
import type { LogCache } from './log-cache.ts';
import type { McpSources } from './mcp-servers.ts';
import type { ProfileCache } from './profile-cache.ts';
import type { Provisioner } from './provision.ts';
import type { Run } from './run.ts';
import type { SeenCache } from './seen-cache.ts';

export interface Shell {
  readonly db: Database;
  readonly queue: TurnQueue;
  readonly bus: Bus;
  readonly models: Models;
  readonly tools: Registry;
  /** Servers of tools, as they run at this worker. */
  readonly mcp: McpBridge;
  readonly mcpSources: McpSources;
  readonly sandbox: Sandbox;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly retry: RetryPolicy;
  /** For how long a model that was given up is not asked, where another can answer. */
  readonly coolDown: CoolDown;
  /** What all workers together may ask of each provider. */
  readonly allowances: Allowances;
  /** For repositories that cannot be cloned just now. */
  readonly cloneRetry: RetryPolicy;
  /** See `TAKEOVER_BACKOFF_MS`. */
  readonly takeoverBackoffMs: readonly number[];
  /** See `WorkerOptions.readGraceMs`. */
  readonly readGraceMs: number;
  /** See `WorkerOptions.mapTokens`. */
  readonly mapTokens: number;
  readonly logs: LogCache;
  readonly profiles: ProfileCache;
  readonly images: ImageCache;
  readonly seen: SeenCache;
  readonly runs: Set<Run>;
  readonly background: Background;
  /** Of what webhooks are told. */
  readonly deliverer: Deliverer;
  /** Attempts that ended in an error and could not be given up yet: the sweeper tries again. */
  readonly abandoned: Set<Held>;
  /** Puts a run among `runs`; one that comes while the worker stops is told so. */
  enter(run: Run): void;
  openWorkspace(turn: ClaimedTurn): Promise<Checkout>;
  readonly snapshots: Snapshots;
  /** The files that a workspace begins with where they are not here yet, in a snapshot that every host can reach. */
  readonly provision: Provisioner;
  /** The incarnation that claims are made under. */
  workerId(): string;
  /** Resolves when an act may begin that must not be another worker's too; rejects where the run was stopped. */
  untilSafe(run: Run): Promise<void>;
  /** How long this worker's lease is. */
  readonly leaseMs: number;
  /** See `Lease.unbroken`. */
  unbroken(): string;
  /** See `Lease.steadyMs`. */
  steadyMs(): number;
  /** A turn is due at a time that this worker knows: look then, rather than at the next sweep. */
  dueIn(ms: number): void;
}

/** What every line of the log about a turn carries: UUIDs, and the turn's number within its task. */
export function idsOf({ teamId, sessionId, taskId, id, attemptId, number }: ClaimedTurn) {
  return { teamId, sessionId, taskId, turnId: id, attemptId, turn: number };
}

/**
 * After a commit: whoever watches is told, and the next turn's job is added. Neither can fail the commit; what is lost here
 * is found by the tails' and the sweeper's next look at Postgres.
 */
export async function announce(
  shell: Shell,
  rootId: string,
  committed: { readonly seq?: number; readonly wake?: Wake | null; readonly also?: Also },
): Promise<void> {
  const { seq, wake, also } = committed;
  if (seq !== undefined) shell.bus.publish({ type: 'events', rootId, seq });
  for (const taskId of also?.stopped ?? []) shell.bus.publish({ type: 'cancel', rootId, taskId });
  const wakes = [...(wake ? [wake] : []), ...(also?.wakes ?? [])];
  if (wakes.length === 0) return;
  try {
    await shell.queue.wakeAll(wakes);
  } catch (error) {
    shell.log.warn({ wakes, error: messageOf(error) }, 'could not add a job; the sweeper will');
  }
}

/** Whether an act may begin for this run now. False: the run was stopped while it waited; the loop sees what for. */
export async function isSafe(shell: Shell, run: Run): Promise<boolean> {
  try {
    await shell.untilSafe(run);
    return true;
  } catch (error) {
    if (run.stopped === undefined) throw error;
    return false;
  }
}
