/** `GET /v1/sessions/:id/events`: a page of the tree's events, or all of them for as long as the client stays. */
import type { Request } from 'express';
import { z } from 'zod';
import { cut } from '../store/views.ts';
import { readEvents, readLastSeq } from '../store/views-events.ts';
import type { ApiDeps } from './deps.ts';
import { pageReply } from './pages.ts';
import { badRequest } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { sessionOf } from './session-routes.ts';
import { showEvent } from './show.ts';
import type { TailHub } from './tails.ts';
import { Event, PageQuery, page } from './wire.ts';

const EVENT_STREAM = 'text/event-stream';

const EventsQuery = z.strictObject({
  ...PageQuery.shape,
  after: z.string().optional().meta({ description: 'the last sequence number that was seen' }),
});

const EventsHeaders = z.object({
  'last-event-id': z.string().optional().meta({ description: 'stands above `after`' }),
});

export function eventRoutes(deps: ApiDeps, tails: TailHub): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/sessions/:id/events',
      scope: 'read',
      summary: "The events of a session's tree: a page, or with Accept: text/event-stream a stream, live.",
      id: 'session',
      query: EventsQuery,
      headers: EventsHeaders,
      success: {
        status: 200,
        description:
          'A page of events, the oldest first; or frames `id`, `event`, `data`, of which live ones have no `id`; a last one, `stream.ended`, has the problem that ended it.',
        schema: page(Event),
        media: [EVENT_STREAM],
      },
      problems: { 400: ['invalid_after'], 404: ['not_found'], 503: ['stopping'] },
      handle: (call) => events(deps, tails, call),
    }),
  ];
}

type EventsCall = Call<z.infer<typeof EventsQuery>, unknown>;

async function events(deps: ApiDeps, tails: TailHub, call: EventsCall): Promise<Reply> {
  const { request, response, query } = call;
  const after = afterOf(request, query);
  const { rootId } = await sessionOf(deps, call);
  if (after > 0) await refuseFuture(deps, { rootId, after });
  if (!wantsStream(request)) {
    const rows = await readEvents(deps.db, { rootId, seq: after }, query.limit + 1);
    return pageReply(cut(rows, query.limit), { show: showEvent, cursor: (row) => String(row.seq) });
  }
  await tails.open({ rootId, after, keyId: call.caller.keyId }, response);
  return undefined;
}

/** Whoever waits behind a number that was never given waits in silence: it is another tree's, or a mistake. */
async function refuseFuture(
  { db }: ApiDeps,
  { rootId, after }: { readonly rootId: string; readonly after: number },
): Promise<void> {
  const last = await readLastSeq(db, rootId);
  if (after <= last) return;
  throw badRequest(
    'invalid_after',
    `The last sequence number seen is ${after}, but the last of this tree is ${last}.`,
  );
}

function wantsStream(request: Request): boolean {
  return request.method === 'GET' && (request.headers.accept ?? '').toLowerCase().includes(EVENT_STREAM);
}

function afterOf(request: Request, query: z.infer<typeof EventsQuery>): number {
  const text = request.get('last-event-id') || query.cursor || query.after || '0';
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw badRequest(
    'invalid_after',
    `The last sequence number seen is ${JSON.stringify(text.slice(0, 40))}, expected a whole number from 0.`,
  );
}
