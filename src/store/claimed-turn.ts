/** What a worker knows of a turn that it has claimed, and what is told after commits. Ids are UUIDs. */
import type { Route } from '../core/router.ts';
import type { ProjectServers, Source, WorkspaceKind } from '../core/workspace.ts';
import type { Reserved } from './accounts.ts';
import type { NamedTrouble } from './rates.ts';

/** A turn's wake-up, to be added to the queue after the commit. */
export interface Wake {
  readonly turnId: string;
  readonly wake: number;
}

/** What a transition did in other sessions of the tree, to be told after the commit. */
export interface Also {
  /** Turns that it made `queued`. */
  readonly wakes: readonly Wake[];
  /** Tasks that a worker runs, and which are cancelled. */
  readonly stopped: readonly string[];
}

/** What every claimed turn knows. Ids are UUIDs. */
export interface ClaimedTurn {
  readonly id: string;
  readonly sessionId: string;
  readonly taskId: string;
  readonly rootId: string;
  readonly teamId: string;
  readonly number: number;
  /** `compaction`: it makes the log shorter, since the request of the one before it was too long. */
  readonly kind: 'answer' | 'compaction';
  /** Turns of the task up to this one that its limit does not count. */
  readonly uncounted: number;
  /** Requests in a row that were too long. */
  readonly overflows: number;
  readonly attemptId: string;
  readonly answerPosition: number | null;
  readonly openWaits: number;
  /** Requests to the route's model that failed since the last answer. */
  readonly retries: number;
  /** Null: none failed. */
  readonly route: Route | null;
  /** What was wrong with models when the turn was claimed; null: nothing. */
  readonly troubles: readonly NamedTrouble[] | null;
  /** Workers that were lost since the last durable step. */
  readonly takeovers: number;
  readonly profileHash: string;
  readonly turnLimit: number;
  readonly cancelRequested: boolean;
  /** The trace that the turn is part of; null: none. */
  readonly traceparent: string | null;
  readonly delegation: {
    /** A call of another task's waits for this one's end. */
    readonly isDelegated: boolean;
    /** How far below the root the session is, and how far below it one may be. */
    readonly depth: number;
    readonly depthLimit: number;
    /** JSON Schema of the answer that is asked for; null: any will do. */
    readonly resultSchema: unknown;
  };
  /** Until the task's deadline, in seconds; null without one. */
  readonly secondsLeft: number | null;
  readonly reserved: Reserved;
  readonly workspace: WorkspaceRow;
  /** The highest number that a background command of the session has had; null: it had none. */
  readonly lastProcess: number | null;
  /** Background commands whose end the model was not told; null: none. */
  readonly processes: readonly OpenProcess[] | null;
}

export interface OpenProcess {
  readonly id: string;
  /** Within its session, from 1. */
  readonly number: number;
  readonly command: string;
  /** It is this worker's; else it was lost with another. */
  readonly isHere: boolean;
}

export interface WorkspaceRow {
  readonly id: string;
  readonly kind: WorkspaceKind;
  readonly path: string | null;
  /** Not of `upload`. */
  readonly source: Source | null;
  /** MCP servers of the project when the session began; of a repository `source` has them. */
  readonly projectServers: ProjectServers | null;
  /** Names the tree of forks that its snapshots belong to. */
  readonly lineage: string;
  /** The snapshot the session began with; null: there was nothing, or nothing was recorded yet. */
  readonly base: string | null;
  /** The newest recorded snapshot. */
  readonly head: string | null;
}
