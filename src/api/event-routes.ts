/** `GET /v1/sessions/:id/events`: a page of the tree's events, at once or as soon as there are some; or all of them, for as long as the client stays. */
import type { Request } from 'express';
import { z } from 'zod';
import { cut } from '../store/views.ts';
import { type EventRow, readEvents, readLastSeq } from '../store/views-events.ts';
import type { ApiDeps } from './deps.ts';
import { type EventFilter, filterOf, MAX_FILTERED_SESSIONS, passes } from './event-filter.ts';
import { badRequest } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { sessionOf } from './session-routes.ts';
import { showEvent } from './show.ts';
import { TAIL_PAGE } from './tail.ts';
import type { TailHub } from './tails.ts';
import { EventsPage, PageQuery } from './wire.ts';
import { wholeInQuery } from './wire-query.ts';

const EVENT_STREAM = 'text/event-stream';
/** Longest time that a page may be waited for, in seconds: what proxies take for dead is silent for longer. */
export const MAX_WAIT_SECONDS = 60;

const EventsQuery = z.strictObject({
  ...PageQuery.shape,
  after: z.string().optional().meta({ description: 'the last sequence number that was seen' }),
  types: z.string().optional().meta({
    description: 'only these, with commas: `task.succeeded,approval.*`; of live-only frames too',
  }),
  sessions: z
    .string()
    .optional()
    .meta({
      description: `only those of these sessions of the tree, with commas; at most ${MAX_FILTERED_SESSIONS}`,
    }),
  wait: wholeInQuery(0, MAX_WAIT_SECONDS).default(0).meta({
    description: 'of a page: how many seconds to wait for something where there is nothing yet',
  }),
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
          'A page of events, the oldest first; or frames `id`, `event`, `data`, of which live ones have no `id`, and one that has only an `id` says how far a stream of chosen events has come; a last one, `stream.ended`, has the problem that ended it.',
        schema: EventsPage,
        media: [EVENT_STREAM],
      },
      problems: { 400: ['invalid_after'], 404: ['not_found', 'session_deleted'] },
      handle: (call) => events(deps, tails, call),
    }),
  ];
}

type EventsCall = Call<z.infer<typeof EventsQuery>, unknown>;

/** What is asked for. */
interface Asked {
  readonly rootId: string;
  readonly after: number;
  /** How far the tree went when it was looked at, before anything else of it was read. */
  readonly last: number;
  readonly limit: number;
  readonly filter: EventFilter;
}

async function events(deps: ApiDeps, tails: TailHub, call: EventsCall): Promise<Reply> {
  const { request, response, query } = call;
  const { after, field } = afterOf(request, query);
  const filter = filterOf(query);
  const { rootId } = await sessionOf(deps, call);
  const last = await readLastSeq(deps.db, rootId);
  if (after > last) {
    // The events of a session that is deleted meanwhile go first.
    await sessionOf(deps, call);
    throw ahead(after, { last, field });
  }
  const asked = { rootId, after, last, limit: query.limit, filter };
  if (wantsStream(request)) {
    await tails.open({ ...asked, keyId: call.caller.keyId }, response);
    return undefined;
  }
  const page =
    query.wait > 0 && request.method === 'GET'
      ? await awaitedPage(deps, tails, { call, asked })
      : await pageOf(deps, asked);
  response.set({ 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' });
  return { status: 200, body: page };
}

/** Whoever waits behind a number that was never given waits in silence: it is another tree's, or a mistake. */
function ahead(after: number, { last, field }: { readonly last: number; readonly field: string }) {
  return badRequest(
    'invalid_after',
    `The last sequence number seen is ${after}, but the last of this tree is ${last}.`,
    field,
  );
}

/** What there is. What comes while it is read is on it, or behind its `seq`. */
async function pageOf({ db }: ApiDeps, { rootId, after, last, limit, filter }: Asked): Promise<EventsPage> {
  const { rows, more } = cut(await readEvents(db, { rootId, seq: after, ...filter }, limit + 1), limit);
  const seq = rows.at(-1)?.seq ?? after;
  return shown(rows, { seq: more ? seq : Math.max(seq, last), more });
}

/** The same, as soon as there is something on it; an empty one when the time is over, the server stops, or nobody listens any more. */
async function awaitedPage(
  deps: ApiDeps,
  tails: TailHub,
  { call, asked }: { readonly call: EventsCall; readonly asked: Asked },
): Promise<EventsPage> {
  const { limit, filter } = asked;
  const request = { ...asked, keyId: call.caller.keyId };
  const { waiter, close } = await tails.wait(request, call.response, call.query.wait * 1000);
  try {
    let page = await pageOf(deps, asked);
    while (page.data.length === 0) {
      const rows = await waiter.behind(page.seq, TAIL_PAGE);
      if (rows.length === 0) return page;
      const passing = cut(
        rows.filter((row) => passes(filter, row)),
        limit,
      );
      const seq = (passing.more ? passing.rows : rows).at(-1)?.seq ?? page.seq;
      page = shown(passing.rows, { seq, more: passing.more || rows.length === TAIL_PAGE });
    }
    return page;
  } finally {
    close();
  }
}

function shown(rows: readonly EventRow[], { seq, more }: { seq: number; more: boolean }): EventsPage {
  return { data: rows.map(showEvent), nextCursor: more ? String(seq) : null, seq };
}

function wantsStream(request: Request): boolean {
  return request.method === 'GET' && (request.headers.accept ?? '').toLowerCase().includes(EVENT_STREAM);
}

/** With where in the request it stands. */
function afterOf(
  request: Request,
  { cursor, after }: z.infer<typeof EventsQuery>,
): { readonly after: number; readonly field: string } {
  const said = { 'last-event-id': request.get('last-event-id'), cursor, after };
  const [field, text] = Object.entries(said).find(([, each]) => each) ?? ['after', '0'];
  if (/^\d{1,15}$/.test(String(text))) return { after: Number(text), field };
  throw badRequest(
    'invalid_after',
    `The last sequence number seen is ${JSON.stringify(String(text).slice(0, 40))}, expected a whole number from 0.`,
    field,
  );
}
