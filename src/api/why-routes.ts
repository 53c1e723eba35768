import { toPublicId } from '../core/id.ts';
import { readLastEnded } from '../store/views-tasks.ts';
import { readWaitingTasks, type WaitingTask } from '../store/witnesses.ts';
import type { ApiDeps } from './deps.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { sessionOf } from './session-routes.ts';
import { countSentence, endedSentence, failureOf, sentenceOf } from './why-sentence.ts';
import { Why, type WhyTask } from './wire.ts';

/** Unfinished tasks that one answer tells. */
export const MAX_TASKS = 200;

export function whyRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/sessions/:id/why',
      scope: 'read',
      summary: "What will wake each unfinished task of a session's tree.",
      id: 'session',
      success: {
        status: 200,
        description: 'Each task with its one wake witness, in data and words.',
        schema: Why,
      },
      problems: { 404: ['not_found'] },
      handle: (call) => why(deps, call),
    }),
  ];
}

async function why(deps: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const { id, rootId } = await sessionOf(deps, call);
  const { rows, more } = await readWaitingTasks(deps.db, rootId, MAX_TASKS);
  const sentence =
    rows.length === 0 ? endedSentence(await readLastEnded(deps.db, id)) : countSentence(rows.length, more);
  const body: Why = { sessionId: toPublicId('session', id), sentence, tasks: rows.map(showWaiting), more };
  return { status: 200, body };
}

function showWaiting(row: WaitingTask): WhyTask {
  const task = {
    taskId: toPublicId('task', row.taskId),
    sessionId: toPublicId('session', row.sessionId),
    status: row.status as WhyTask['status'],
    sentence: sentenceOf(row),
    via: row.via.map(({ taskId, kind }) => ({ taskId: toPublicId('task', taskId), kind })),
  };
  switch (row.kind) {
    case 'earlier':
      return { ...task, kind: row.kind, evidence: row.evidence };
    case 'admission':
      return { ...task, kind: row.kind, evidence: row.evidence };
    case 'due': {
      const { turn, liveWorkers, dueInSeconds } = row.evidence;
      const dueAt = timeOf(row.evidence.dueAt);
      const failure = failureOf(row.evidence);
      return { ...task, kind: row.kind, evidence: { turn, liveWorkers, dueAt, dueInSeconds, failure } };
    }
    case 'queued': {
      const pinnedTo = row.evidence.pinnedTo === null ? null : toPublicId('worker', row.evidence.pinnedTo);
      const since = timeOf(row.evidence.since);
      return { ...task, kind: row.kind, evidence: { ...row.evidence, since, pinnedTo } };
    }
    case 'lease': {
      const { attemptId: _, ...evidence } = row.evidence;
      const workerId = toPublicId('worker', evidence.workerId);
      return {
        ...task,
        kind: row.kind,
        evidence: { ...evidence, workerId, startedAt: timeOf(evidence.startedAt) },
      };
    }
    case 'calls': {
      const approvals = row.evidence.approvals.map(({ id, tool, arguments: json, askedAt, expiresAt }) => ({
        id: toPublicId('approval', id),
        tool,
        arguments: json ?? '',
        askedAt: timeOf(askedAt),
        expiresAt: expiresAt === null ? null : timeOf(expiresAt),
      }));
      return { ...task, kind: row.kind, evidence: { ...row.evidence, approvals } };
    }
    case 'paused':
      return { ...task, kind: row.kind, evidence: { since: timeOf(row.evidence.since) } };
    case 'slot':
      return { ...task, kind: row.kind, evidence: row.evidence };
    case 'budget':
      return { ...task, kind: row.kind, evidence: row.evidence };
    case 'broken':
      return { ...task, kind: row.kind, evidence: { ...row.evidence, found: [...row.evidence.found] } };
  }
}

function timeOf(json: string): string {
  return new Date(json).toISOString();
}
