import { z } from 'zod';
import { newId } from '../clock.ts';
import { toPublicId } from '../core/id.ts';
import { type ResolveOutcome, resolveApproval } from '../store/tasks.ts';
import { readApproval, readApprovals } from '../store/views-approvals.ts';
import { type ApiDeps, announce } from './deps.ts';
import { idCursor, pageReply } from './pages.ts';
import { type ApiProblem, conflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { showApproval } from './show.ts';
import { sessionFilter } from './task-routes.ts';
import { Approval, PageQuery, page, ResolveApproval } from './wire.ts';

const ApprovalsQuery = z.strictObject({
  ...PageQuery.shape,
  status: Approval.shape.status.default('open'),
  sessionId: z.string().optional().meta({ description: 'those of this session and of all below it' }),
});

export function approvalRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/approvals',
      scope: 'read',
      summary: "The team's inbox: what agents ask, the oldest first.",
      query: ApprovalsQuery,
      success: { status: 200, description: 'A page of approvals.', schema: page(Approval) },
      problems: { 400: ['invalid_cursor'] },
      handle: (call) => list(deps, call),
    }),
    route({
      method: 'post',
      path: '/v1/approvals/:id',
      scope: 'approve',
      summary: 'Answer one. The first answer counts.',
      id: 'approval',
      body: ResolveApproval,
      success: { status: 200, description: 'The approval as it was answered.', schema: Approval },
      problems: { 404: ['not_found'], 409: ['already_resolved', 'only_once'] },
      handle: (call) => resolve(deps, call),
    }),
  ];
}

async function list({ db }: ApiDeps, call: Call<z.infer<typeof ApprovalsQuery>, unknown>): Promise<Reply> {
  const { limit, cursor, status } = call.query;
  const sessionId = sessionFilter(call.query.sessionId);
  const filter = { teamId: call.caller.teamId, status, sessionId, after: idCursor('approval', cursor) };
  return pageReply(await readApprovals(db, filter, limit), {
    show: showApproval,
    cursor: (row) => toPublicId('approval', row.id),
  });
}

const DECIDED = { allow: 'allowed', allow_always: 'allowed', deny: 'denied' } as const;

async function resolve(deps: ApiDeps, call: Call<unknown, z.infer<typeof ResolveApproval>>): Promise<Reply> {
  const { teamId, userId } = call.caller;
  const { decision, message } = call.body;
  const outcome = await resolveApproval(deps.db, {
    teamId,
    userId,
    approvalId: call.id,
    decision: DECIDED[decision],
    ...(message === undefined ? {} : { message }),
    ...(decision === 'allow_always' ? { ruleId: newId(deps.clock) } : {}),
  });
  if (outcome.outcome === 'only_once') throw onlyOnce();
  if (outcome.outcome === 'already') throw alreadyResolved(outcome);
  if (outcome.outcome === 'resolved') announce(deps, outcome);
  const approval = await readApproval(deps.db, { teamId, id: call.id });
  if (outcome.outcome === 'not_found' || approval === undefined) {
    throw notFound(`approval ${toPublicId('approval', call.id)}`);
  }
  return { status: 200, body: showApproval(approval) };
}

function onlyOnce(): ApiProblem {
  return conflict(
    'only_once',
    'This call can only be allowed once: no rule can say what it does. Answer with allow or deny.',
    'decision',
  );
}

function alreadyResolved(outcome: Extract<ResolveOutcome, { outcome: 'already' }>): ApiProblem {
  const { status, resolvedBy } = outcome;
  const over: Readonly<Record<string, string>> = {
    closed: 'This was closed when its task ended; there is nothing to answer any more.',
    expired: 'Nobody answered this in time: the call was denied.',
  };
  const what =
    over[status] ??
    `This was ${status} already, by ${resolvedBy ?? 'someone who has left'}; the first answer counts.`;
  return conflict('already_resolved', what);
}
