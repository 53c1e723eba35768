import type { z } from 'zod';
import { toPublicId } from '../core/id.ts';
import { readRules, revokeRule } from '../store/rules.ts';
import type { ApiDeps } from './deps.ts';
import { idCursor, pageReply } from './pages.ts';
import { notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { showRule } from './show.ts';
import { PageQuery, page, RevokedRule, Rule } from './wire.ts';

export function ruleRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/rules',
      scope: 'read',
      summary: 'What people of the team allowed always, the newest first.',
      query: PageQuery,
      success: { status: 200, description: 'A page of rules in force.', schema: page(Rule) },
      problems: { 400: ['invalid_cursor'] },
      handle: (call) => list(deps, call),
    }),
    route({
      method: 'delete',
      path: '/v1/rules/:id',
      scope: 'approve',
      summary: 'Revoke a rule: calls that it allowed are asked about again.',
      id: 'rule',
      success: { status: 200, description: 'It is revoked.', schema: RevokedRule },
      problems: { 404: ['not_found'] },
      handle: (call) => revoke(deps, call),
    }),
  ];
}

async function list({ db }: ApiDeps, call: Call<z.infer<typeof PageQuery>, unknown>): Promise<Reply> {
  const { limit, cursor } = call.query;
  const filter = { teamId: call.caller.teamId, before: idCursor('rule', cursor) };
  return pageReply(await readRules(db, filter, limit), {
    show: showRule,
    cursor: (row) => toPublicId('rule', row.id),
  });
}

async function revoke({ db }: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const { teamId, userId } = call.caller;
  const id = toPublicId('rule', call.id);
  const { outcome } = await revokeRule(db, { teamId, userId, id: call.id });
  if (outcome === 'not_found') throw notFound(`rule ${id}`);
  return { status: 200, body: { id } };
}
