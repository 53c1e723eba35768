import { z } from 'zod';
import { toPublicId } from '../core/id.ts';
import { searchSessions } from '../store/search.ts';
import {
  findSession,
  readEntryPage,
  readSession,
  readSessions,
  readToolCalls,
  type SessionRow,
} from '../store/views-sessions.ts';
import { readTodos } from '../store/views-todos.ts';
import type { ApiDeps } from './deps.ts';
import { idCursor, numberCursor, pageReply } from './pages.ts';
import { notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { showEntry, showFound, showSession, showToolCall } from './show.ts';
import { Entry, PageQuery, page, Session, SessionDetails, ToolCall } from './wire.ts';

/** Longest text to search for, in characters. */
export const MAX_SEARCH_LENGTH = 200;

const Paged = z.strictObject(PageQuery.shape);
const SessionsQuery = z.strictObject({
  ...PageQuery.shape,
  q: z.string().max(MAX_SEARCH_LENGTH).optional().meta({
    description:
      'full text: all of these words in something a person said, in an answer, or in the title, in any case; "in quotes" as they stand, or, -not',
  }),
  archived: z
    .enum(['true', 'false'])
    .optional()
    .meta({ description: 'true: archived ones too, which are left out else' }),
});

export function sessionRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/sessions',
      scope: 'read',
      summary: "List or search the team's sessions, the newest first.",
      query: SessionsQuery,
      success: { status: 200, description: 'A page of sessions.', schema: page(Session) },
      problems: { 400: ['invalid_cursor'] },
      handle: (call) => list(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/sessions/:id',
      scope: 'read',
      summary: 'One session.',
      id: 'session',
      success: { status: 200, description: 'The session.', schema: SessionDetails },
      problems: { 404: ['not_found'] },
      handle: (call) => one(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/sessions/:id/entries',
      scope: 'read',
      summary: "A session's log: what its model may see.",
      id: 'session',
      query: Paged,
      success: { status: 200, description: 'A page of entries, the oldest first.', schema: page(Entry) },
      problems: { 400: ['invalid_cursor'], 404: ['not_found'] },
      handle: (call) => entries(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/sessions/:id/tool-calls',
      scope: 'read',
      summary: "A session's execution log.",
      id: 'session',
      query: Paged,
      success: {
        status: 200,
        description: 'A page of tool calls, in the order in which they were asked for.',
        schema: page(ToolCall),
      },
      problems: { 400: ['invalid_cursor'], 404: ['not_found'] },
      handle: (call) => toolCalls(deps, call),
    }),
  ];
}

async function list({ db }: ApiDeps, call: Call<z.infer<typeof SessionsQuery>, unknown>): Promise<Reply> {
  const { limit, cursor, q: text = '', archived } = call.query;
  const withArchived = archived === 'true';
  const filter = { teamId: call.caller.teamId, before: idCursor('session', cursor), withArchived };
  const idOf = ({ id }: SessionRow) => toPublicId('session', id);
  if (text.trim() === '')
    return pageReply(await readSessions(db, filter, limit), { show: showSession, cursor: idOf });
  return pageReply(await searchSessions(db, filter, { text, limit }), { show: showFound, cursor: idOf });
}

async function one({ db }: ApiDeps, { caller, id }: Call<unknown, unknown>): Promise<Reply> {
  const session = await readSession(db, { teamId: caller.teamId, id });
  if (session === undefined) throw noSession(id);
  const todos = (await readTodos(db, [id])).get(id) ?? [];
  const body: SessionDetails = { ...showSession(session), todos: [...todos] };
  return { status: 200, body };
}

async function entries(deps: ApiDeps, call: Call<z.infer<typeof Paged>, unknown>): Promise<Reply> {
  const { id: sessionId } = await sessionOf(deps, call);
  const [position = 0] = numberCursor(1, call.query.cursor);
  const rows = await readEntryPage(deps.db, { sessionId, position }, call.query.limit);
  return pageReply(rows, { show: showEntry, cursor: (row) => String(row.position) });
}

async function toolCalls(deps: ApiDeps, call: Call<z.infer<typeof Paged>, unknown>): Promise<Reply> {
  const { id: sessionId } = await sessionOf(deps, call);
  const [task = 0, turn = 0, ordinal = 0] = numberCursor(3, call.query.cursor);
  const rows = await readToolCalls(deps.db, { sessionId, place: { task, turn, ordinal } }, call.query.limit);
  return pageReply(rows, {
    show: showToolCall,
    cursor: (row) => `${row.taskOrdinal}.${row.turn}.${row.ordinal}`,
  });
}

/** Throws `ApiProblem` (404) where the caller's team has no such session. */
export async function sessionOf(
  { db }: ApiDeps,
  { caller, id }: Pick<Call<unknown, unknown>, 'caller' | 'id'>,
): Promise<{ readonly id: string; readonly rootId: string }> {
  const session = await findSession(db, { teamId: caller.teamId, id });
  if (session === undefined) throw noSession(id);
  return session;
}

export function noSession(id: string) {
  return notFound(`session ${toPublicId('session', id)}`);
}
