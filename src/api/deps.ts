import type { Agents } from '../agents/agents.ts';
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import type { RepositoryPolicy } from '../core/repository.ts';
import type { Log } from '../log.ts';
import type { ModelRegistry } from '../model/providers.ts';
import type { TurnQueue } from '../queue/queue.ts';
import type { Database } from '../store/database.ts';
import type { Sealing } from '../store/sealing.ts';
import type { Also, Wake } from '../store/turns.ts';
import type { Tracing } from '../tracing/tracing.ts';
import type { TargetPolicy } from '../webhooks/target.ts';
import type { Snapshots } from '../workspace/snapshots/snapshots.ts';
import type { Uploads } from '../workspace/uploads/uploads.ts';

/** How many schedules a team may have, and how often each may be due. */
export interface ScheduleLimits {
  readonly perTeam: number;
  /** Between two due times. */
  readonly shortestSeconds: number;
}

/** What the API is built from. Everything in it outlives the API and is closed by whoever made it. */
export interface ApiDeps {
  readonly db: Database;
  readonly queue: TurnQueue;
  readonly bus: Bus;
  readonly models: ModelRegistry;
  readonly agents: Agents;
  /** Whether a task may work in a directory of this machine: never, anywhere, or below these absolute paths. */
  readonly allowLocal: boolean | readonly string[];
  /** Requests a minute that one key may send; 0: as many as it likes. */
  readonly requestsPerMinute: number;
  /** Wrong keys a minute that may come from one address; 0: as many as it likes. */
  readonly wrongKeysPerMinute: number;
  /** Origins of pages that browsers may let use this. */
  readonly corsOrigins: readonly string[];
  /** Whether anybody who reaches this may read its metrics. */
  readonly metricsOpen: boolean;
  /** From where repositories may be cloned. */
  readonly repositories: RepositoryPolicy;
  /** Where webhooks may be sent. */
  readonly webhooks: TargetPolicy;
  /** MCP servers that are configured here, and which a team may add. */
  readonly mcp: Omit<Config['mcp'], 'idleSeconds'>;
  /** How secrets are kept. */
  readonly sealing: Sealing;
  readonly schedules: ScheduleLimits;
  /** Capybara's own directory, which no task may work in. */
  readonly dataDir: string;
  readonly snapshots: Snapshots;
  readonly uploads: Uploads;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly clock: Clock;
}

/** What a commit is followed by. Neither is waited for: whoever listens also asks Postgres, and a sweeper finds the turn. */
export function announce(
  { bus, queue, log }: Pick<ApiDeps, 'bus' | 'queue' | 'log'>,
  committed: {
    readonly rootId: string;
    readonly seq?: number | undefined;
    readonly wake?: Wake | null | undefined;
    readonly also?: Also | undefined;
  },
): void {
  const { rootId, seq, wake, also } = committed;
  if (seq !== undefined) bus.publish({ type: 'events', rootId, seq });
  for (const taskId of also?.stopped ?? []) bus.publish({ type: 'cancel', rootId, taskId });
  const wakes = [...(wake ? [wake] : []), ...(also?.wakes ?? [])];
  if (wakes.length === 0) return;
  queue.wakeAll(wakes).catch((error: unknown) => {
    log.warn({ wakes, error: messageOf(error) }, 'the queue took no job; the sweeper will add it');
  });
}
