/** Rows as the wire shows them: public ids, RFC 3339 times, nothing that is only ours. */
import { type Part, textOf, type UserPart } from '../core/entry.ts';
import { shownEvent } from '../core/event.ts';
import { toPublicId } from '../core/id.ts';
import type { Beside, FoundSource, GitSource, NamedRoot, Source } from '../core/workspace.ts';
import type { RuleRow } from '../store/rules.ts';
import type { FoundRow } from '../store/search.ts';
import type { ApprovalRow, WorkerRow } from '../store/views-approvals.ts';
import type { EventRow } from '../store/views-events.ts';
import type { EntryRow, SessionRow, ToolCallRow } from '../store/views-sessions.ts';
import type { TaskRow } from '../store/views-tasks.ts';
import { showTaskUsage } from './show-usage.ts';
import type {
  AlwaysRule,
  Approval,
  Entry,
  Event,
  Rule,
  Session,
  SessionRoot,
  Task,
  ToolCall,
} from './wire.ts';

export function showTask(row: TaskRow): Task {
  const { profile, result, errorCode, errorMessage } = row;
  return {
    id: toPublicId('task', row.id),
    sessionId: toPublicId('session', row.sessionId),
    status: row.status as Task['status'],
    waitingOn: row.waitingOn as Task['waitingOn'],
    cancelRequested: row.cancelRequested,
    prompt: textOf(row.prompt),
    createdBy: row.createdBy,
    scheduleId: row.scheduleId === null ? null : toPublicId('schedule', row.scheduleId),
    agent: profile.agent,
    model: profile.model,
    mode: profile.mode,
    limits: {
      turns: row.turnLimit,
      treeTurns: row.treeTurnLimit,
      children: row.childLimit,
      concurrentChildren: row.concurrentLimit,
      depth: row.depthLimit,
      tokens: row.tokenLimit,
      usd: row.usdLimit,
      seconds: row.secondsLimit,
      onLimit: row.onLimit,
    },
    turns: row.turns,
    result: result === null ? null : { text: textOf(result as readonly Part[]) },
    error: errorCode === null ? null : { code: errorCode, message: errorMessage ?? '' },
    usage: showTaskUsage(row),
    metadata: row.metadata,
    createdAt: row.createdAt.toISOString(),
    startedAt: row.startedAt?.toISOString() ?? null,
    endedAt: row.endedAt?.toISOString() ?? null,
  };
}

/**
 * A task as it was when it was accepted, which is what its submission answers, however often it is repeated and whatever
 * became of the task meanwhile.
 */
export function showAccepted(row: TaskRow): Task {
  return showTask({
    ...row,
    status: 'queued',
    waitingOn: null,
    cancelRequested: false,
    turns: 0,
    result: null,
    errorCode: null,
    errorMessage: null,
    usage: [],
    toolCalls: 0,
    toolFailures: 0,
    startedAt: null,
    endedAt: null,
  });
}

export function showSession(row: SessionRow): Session {
  return {
    id: toPublicId('session', row.id),
    rootId: toPublicId('session', row.rootId),
    parentId: row.parentId === null ? null : toPublicId('session', row.parentId),
    title: row.title,
    state: row.state,
    workspace: {
      kind: row.workspaceKind,
      path: row.workspacePath,
      ...(row.workspaceSource && showSource(row.workspaceSource)),
    },
    createdAt: row.createdAt.toISOString(),
    archivedAt: row.archivedAt?.toISOString() ?? null,
    forkedFrom:
      row.forkedFrom === null
        ? null
        : { sessionId: toPublicId('session', row.forkedFrom), entry: row.forkedAt ?? 0 },
  };
}

export function showFound(row: FoundRow): Session {
  const { where, position, text } = row.match;
  return { ...showSession(row), match: { where, entry: position, text } };
}

type ShownSource = Pick<Session['workspace'], 'repository' | 'roots'>;

function showSource(source: Source): ShownSource {
  if ('beside' in source) return { roots: source.beside.map(showBeside) };
  if (!('roots' in source)) return { repository: showRepository(source, source.found?.commit) };
  const { roots, found } = source;
  return { roots: roots.map((root) => showRoot(root, found?.commits[root.name])) };
}

function showBeside({ name, path }: Beside): SessionRoot {
  return { name, access: 'read', kind: 'local', path };
}

function showRoot(root: NamedRoot, commit: FoundSource['commit'] | undefined): SessionRoot {
  const { name, access, kind } = root;
  switch (root.kind) {
    case 'git':
      return { name, access, kind, repository: showRepository(root, commit) };
    case 'upload':
      return { name, access, kind, id: toPublicId('workspace', root.uploadId), path: root.directory };
    case 'empty':
      return { name, access, kind };
  }
}

function showRepository({ url, ref }: Pick<GitSource, 'url' | 'ref'>, commit: string | null = null) {
  return { url, ref, commit };
}

export function showEntry(row: EntryRow): Entry {
  return {
    position: row.position,
    kind: row.kind as Entry['kind'],
    taskId: row.taskId === null ? null : toPublicId('task', row.taskId),
    turn: row.turn,
    parts: row.parts.map((part) => showPart(part, row.toolCallId)),
    ...(row.stopReason === null ? {} : { stopReason: row.stopReason as NonNullable<Entry['stopReason']> }),
    ...(row.callId === null ? {} : { callId: row.callId }),
    ...(row.status === null ? {} : { status: row.status as NonNullable<Entry['status']> }),
    ...(row.revertsTo === null ? {} : { to: row.revertsTo }),
    ...(row.replaces === null ? {} : { replaces: row.replaces }),
    ...(row.by === null ? {} : { by: row.by }),
    at: row.at.toISOString(),
  };
}

/** A provider's proof of its reasoning is between it and us. */
function showPart(part: Part | UserPart, toolCallId: string | null): Entry['parts'][number] {
  if (part.type === 'reasoning') return { type: 'reasoning', text: part.text };
  if (part.type !== 'file') return part;
  return { ...part, outputId: toolCallId === null ? null : toPublicId('output', toolCallId) };
}

export function showToolCall(row: ToolCallRow): ToolCall {
  return {
    id: toPublicId('call', row.id),
    sessionId: toPublicId('session', row.sessionId),
    taskId: toPublicId('task', row.taskId),
    turn: row.turn,
    ordinal: row.ordinal,
    callId: row.callId,
    name: row.name,
    arguments: row.arguments ?? '',
    effect: row.effect as ToolCall['effect'],
    status: row.status as ToolCall['status'],
    durationMs: row.durationMs,
    resultPosition: row.resultPosition,
    outputId: row.hasOutput ? toPublicId('output', row.id) : null,
    endedAt: row.endedAt?.toISOString() ?? null,
  };
}

export function showEvent(row: EventRow): Event {
  return shownEvent({ ...row, at: row.at.toISOString() });
}

/** `path`: of the directory that it holds in; null: it holds in the session tree of `rootId`. */
function showScope(path: string | null, rootId: string): AlwaysRule['scope'] {
  if (path !== null) return { kind: 'directory', path };
  return { kind: 'session', sessionId: toPublicId('session', rootId) };
}

export function showRule(row: RuleRow): Rule {
  const { tool, kind, value, createdBy } = row;
  return {
    id: toPublicId('rule', row.id),
    ...{ tool, kind, value },
    scope: showScope(row.path, row.rootId ?? ''),
    approvalId: toPublicId('approval', row.approvalId),
    createdBy,
    createdAt: row.createdAt.toISOString(),
  };
}

export function showApproval(row: ApprovalRow): Approval {
  const { tool, always } = row;
  return {
    id: toPublicId('approval', row.id),
    sessionId: toPublicId('session', row.sessionId),
    path: row.path.map((each) => ({ ...each, sessionId: toPublicId('session', each.sessionId) })),
    taskId: toPublicId('task', row.taskId),
    turn: row.turn,
    tool: row.tool,
    arguments: row.arguments ?? '',
    status: row.status as Approval['status'],
    message: row.message,
    always: always === null ? null : { tool, ...always, scope: showScope(row.workspacePath, row.rootId) },
    ruleId: row.ruleId === null ? null : toPublicId('rule', row.ruleId),
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    resolvedAt: row.resolvedAt?.toISOString() ?? null,
    resolvedBy: row.resolvedBy,
  };
}

export function showWorker(row: WorkerRow): Record<string, unknown> {
  return {
    id: toPublicId('worker', row.id),
    version: row.version,
    state: row.isAlive ? 'alive' : 'lost',
    startedAt: row.startedAt.toISOString(),
    leaseExpiresAt: row.leaseExpiresAt.toISOString(),
  };
}
