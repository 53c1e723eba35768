/**
 * What happened in a session tree, in the order of its sequence. An event references content (positions, ids) and never
 * copies it: whoever wants the text reads the log.
 */
export const EVENT_TYPES = [
  'session.created',
  'session.reverted',
  'session.merged',
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
