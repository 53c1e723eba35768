/** `GET /v1/usage`: what a team has used, by what it is asked for. */
import { z } from 'zod';
import { readTotalUsage, readUsage } from '../store/usage.ts';
import type { ApiDeps } from './deps.ts';
import { badRequest } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { showMeasured, showUsageGroup } from './show-usage.ts';
import { PageQuery, TeamUsage, USAGE_BY } from './wire.ts';

const moment = z.union([z.iso.datetime({ offset: true }), z.iso.date()], {
  error: 'expected a day such as 2026-01-31 (UTC), or a time such as 2026-01-31T12:00:00Z',
});

const UsageQuery = z.strictObject({
  ...PageQuery.shape,
  by: z.enum(USAGE_BY).default('model'),
  since: moment.optional(),
  until: moment.optional().meta({ description: 'not itself: a day ends what was before it' }),
});

export function usageRoute(deps: ApiDeps): Route {
  return route({
    method: 'get',
    path: '/v1/usage',
    scope: 'read',
    summary: 'What the team has used: tokens, money and times, by model, task, session, user or day.',
    query: UsageQuery,
    success: { status: 200, description: 'A page of it, and all of it together.', schema: TeamUsage },
    problems: { 400: ['invalid_range'] },
    handle: (call) => usage(deps, call),
  });
}

async function usage({ db }: ApiDeps, call: Call<z.infer<typeof UsageQuery>, unknown>): Promise<Reply> {
  const { by, limit, cursor } = call.query;
  const range = { teamId: call.caller.teamId, ...rangeOf(call.query) };
  const after = cursor === undefined ? undefined : Buffer.from(cursor, 'base64url').toString();
  const [{ rows, more }, total] = await Promise.all([
    readUsage(db, { ...range, by, after }, limit),
    readTotalUsage(db, range),
  ]);
  const last = more ? rows.at(-1)?.key : undefined;
  const nextCursor = last === undefined ? null : Buffer.from(last).toString('base64url');
  const body: TeamUsage = { by, total: showMeasured(total), data: rows.map(showUsageGroup(by)), nextCursor };
  return { status: 200, body };
}

function rangeOf({ since, until }: z.infer<typeof UsageQuery>) {
  const range = {
    since: since === undefined ? undefined : new Date(since),
    until: until === undefined ? undefined : new Date(until),
  };
  if (range.since !== undefined && range.until !== undefined && range.since >= range.until)
    throw badRequest('invalid_range', `since (${since}) must be before until (${until}).`, 'since');
  return range;
}
