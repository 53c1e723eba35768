/** What people do to a session as a whole: name it, archive it, delete it. */
import { toPublicId } from '../core/id.ts';
import { archiveSession, deleteSession, type RefusedTree, renameSession } from '../store/sessions.ts';
import { readSession } from '../store/views-sessions.ts';
import { type ApiDeps, announce } from './deps.ts';
import { type ApiProblem, conflict } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { noSession } from './session-routes.ts';
import { showSession } from './show.ts';
import { DeletedSession, PatchSession, Session } from './wire.ts';

export function wholeSessionRoutes(deps: ApiDeps): Route[] {
  const session = { id: 'session', scope: 'submit' } as const;
  const refusals = { 404: ['not_found'], 409: ['task_unfinished', 'session_not_root'] };
  return [
    route({
      ...{ method: 'patch', path: '/v1/sessions/:id', ...session },
      summary: 'Give a session another title.',
      body: PatchSession,
      success: { status: 200, description: 'The session.', schema: Session },
      problems: { 404: ['not_found'] },
      handle: (call) => rename(deps, call),
    }),
    route({
      ...{ method: 'post', path: '/v1/sessions/:id/archive', ...session },
      summary:
        'Archive a session with all that was delegated below it: it takes no tasks and no messages, and lists leave it out. It can be read and forked.',
      success: { status: 200, description: 'The session.', schema: Session },
      problems: refusals,
      handle: (call) => archive(deps, call, true),
    }),
    route({
      ...{ method: 'post', path: '/v1/sessions/:id/unarchive', ...session },
      summary: 'Take a session out of the archive: it goes on as before.',
      success: { status: 200, description: 'The session.', schema: Session },
      problems: refusals,
      handle: (call) => archive(deps, call, false),
    }),
    route({
      ...{ method: 'delete', path: '/v1/sessions/:id', ...session },
      summary:
        'Delete a session with all that was delegated below it, for good: logs, calls, outputs, events, files. What was used stays counted, and who ' +
        'did what stays in the audit trail. The files of a `local` workspace are their owner’s and stay.',
      success: { status: 200, description: 'It is gone.', schema: DeletedSession },
      problems: { ...refusals, 409: [...refusals[409], 'session_forked'] },
      handle: (call) => remove(deps, call),
    }),
  ];
}

async function rename(deps: ApiDeps, { caller, id, body }: Call<unknown, PatchSession>): Promise<Reply> {
  const of = { teamId: caller.teamId, sessionId: id };
  const outcome = await renameSession(deps.db, { ...of, title: body.title.trim() });
  if (outcome.outcome === 'not_found') throw noSession(id);
  announce(deps, outcome);
  return shown(deps, of);
}

async function archive(
  deps: ApiDeps,
  { caller, id }: Call<unknown, unknown>,
  isArchived: boolean,
): Promise<Reply> {
  const of = { teamId: caller.teamId, sessionId: id };
  const outcome = await archiveSession(deps.db, { ...of, isArchived });
  if (outcome.outcome !== 'done') throw refused(id, outcome, isArchived ? 'archive' : 'unarchive');
  announce(deps, outcome);
  return shown(deps, of);
}

async function remove(deps: ApiDeps, { caller, id }: Call<unknown, unknown>): Promise<Reply> {
  const outcome = await deleteSession(deps.db, { teamId: caller.teamId, sessionId: id });
  const session = toPublicId('session', id);
  if (outcome.outcome === 'forked') {
    throw conflict(
      'session_forked',
      `The log of the session ${toPublicId('session', outcome.sessionId)} begins with that of ${session}: delete that fork first.`,
    );
  }
  if (outcome.outcome !== 'deleted') throw refused(id, outcome, 'delete');
  const body: DeletedSession = { id: session, deleted: true };
  return { status: 200, body };
}

async function shown(
  { db }: ApiDeps,
  of: { readonly teamId: string; readonly sessionId: string },
): Promise<Reply> {
  const session = await readSession(db, { teamId: of.teamId, id: of.sessionId });
  if (session === undefined) throw noSession(of.sessionId);
  return { status: 200, body: showSession(session) };
}

function refused(id: string, outcome: RefusedTree, verb: string): ApiProblem {
  const session = toPublicId('session', id);
  switch (outcome.outcome) {
    case 'not_found':
      return noSession(id);
    case 'child':
      return conflict(
        'session_not_root',
        `The session ${session} was delegated to: ${verb} the one it belongs to, ${toPublicId('session', outcome.rootId)}.`,
      );
    case 'unfinished':
      return conflict(
        'task_unfinished',
        `${outcome.sessionId === id ? `The session ${session}` : `What ${session} has delegated`} has a task that is not finished: cancel ${toPublicId('task', outcome.taskId)} first, or wait for it.`,
      );
  }
}
