import { type IdKind, toPublicId } from './id.ts';

/**
 * What happened in a session tree, in the order of its sequence. An event references content (positions, ids) and never
 * copies it: whoever wants the text reads the log.
 */
export const EVENT_TYPES = [
  'session.created',
  'session.renamed',
  'session.archived',
  'session.unarchived',
  'session.reverted',
  'session.merged',
  'session.compaction_asked',
  'task.created',
  'task.started',
  'task.waiting',
  'task.paused',
  'task.resumed',
  'task.succeeded',
  'task.failed',
  'task.cancelled',
  'turn.started',
  'turn.completed',
  'turn.parked',
  'turn.retried',
  'turn.recovered',
  'turn.failed',
  'turn.cancelled',
  'message.completed',
  'tool.requested',
  'tool.started',
  'tool.completed',
  'approval.requested',
  'approval.resolved',
  'child.started',
  'child.completed',
  'agent.state_changed',
  'context.compacted',
  'workspace.snapshotted',
  'limit.reached',
  'limit.raised',
  'usage.recorded',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** Frames that are only sent live: no sequence number, nothing in Postgres. */
export const LIVE_TYPES = ['message.delta', 'tool.output'] as const;
export type LiveType = (typeof LIVE_TYPES)[number];

/** What a person sees an agent do (DESIGN §3). */
export type AgentState = 'idle' | 'thinking' | 'executing' | 'waiting' | 'completed' | 'failed';

/** An event with the ids of its rows, and its time as RFC 3339 has it. */
export interface UnshownEvent {
  readonly seq: number;
  readonly type: EventType;
  readonly at: string;
  readonly sessionId: string;
  readonly taskId: string | null;
  readonly turn: number | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** As people and programs are told it, in streams and webhooks alike: by public ids. */
export function shownEvent({ seq, type, at, sessionId, taskId, turn, data }: UnshownEvent) {
  return {
    ...{ seq, type, at },
    sessionId: toPublicId('session', sessionId),
    ...(taskId === null ? {} : { taskId: toPublicId('task', taskId) }),
    ...(turn === null ? {} : { turn }),
    data: showData(data),
  };
}

/** What names a row in an event's data, by what it is. */
const DATA_IDS: Readonly<Record<string, IdKind>> = {
  approvalId: 'approval',
  forkedFrom: 'session',
  mergedFrom: 'session',
  parentId: 'session',
  childSessionId: 'session',
  childTaskId: 'task',
};

function showData(data: UnshownEvent['data']): Record<string, unknown> {
  const shown = Object.entries(data).map(([name, value]) => {
    const kind = DATA_IDS[name];
    return [name, kind !== undefined && typeof value === 'string' ? toPublicId(kind, value) : value];
  });
  return Object.fromEntries(shown);
}
