/** `POST /v1/sessions/:id/revert`: a session's log and files go back to an earlier point of it. */
import { toPublicId } from '../core/id.ts';
import { type LogPoint, readLogPoint } from '../store/forks.ts';
import { type RefusedRevision, type RevertOutcome, revertSession } from '../store/revisions.ts';
import { NOTHING } from '../workspace/history.ts';
import { type ApiDeps, announce } from './deps.ts';
import { foundPoint } from './fork-routes.ts';
import { idFor } from './made-id.ts';
import { type ApiProblem, conflict, idempotencyConflict, notFound, sharedFiles } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { saidOnce } from './said-once.ts';
import { IdempotencyHeaders } from './task-routes.ts';
import { Reverted, RevertSession } from './wire.ts';

export function revertRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/sessions/:id/revert',
      scope: 'submit',
      summary:
        'Take a session back to the end of a turn, or to an entry: its model no longer sees what came after, and its files are as they ' +
        'were there. The log keeps all of it, so that one can go forward again.',
      id: 'session',
      headers: IdempotencyHeaders,
      body: RevertSession,
      success: { status: 201, description: 'Committed.', schema: Reverted },
      problems: {
        400: ['turn_unknown', 'entry_unknown'],
        404: ['not_found'],
        409: [
          'turn_unfinished',
          'task_unfinished',
          'session_archived',
          'session_shared',
          'local_files',
          'idempotency_conflict',
        ],
      },
      handle: saidOnce(deps, 'revert', (call) => revert(deps, call)),
    }),
  ];
}

const NOTICE =
  'A person has taken this conversation back to this point: what came after it is left out, and the files of the workspace are ' +
  'as they were here, but for what the person changed in them. What was done elsewhere (other services, processes, published ' +
  'commits) was not undone.';

const NOTICE_LEFT =
  'A person has taken this conversation back to this point: what came after it is left out. The files of the workspace stay as they ' +
  'are now, with all that was done in them since: read a file before you go on with it.';

async function revert(deps: ApiDeps, call: Call<unknown, RevertSession>): Promise<Reply> {
  const { caller, id: sessionId, body } = call;
  const { teamId, userId } = caller;
  const point = foundPoint(sessionId, body, await readLogPoint(deps.db, { teamId, id: sessionId }, body));
  const isLocal = point.files.kind === 'local';
  if (isLocal && body.files === undefined) throw localFiles(sessionId);
  const isLeft = body.files === 'left';
  const outcome = await revertSession(deps.db, {
    ...{ teamId, userId, sessionId, to: point.position, snapshot: filesAt(point), left: isLeft },
    id: await idFor(deps, call, `revert ${sessionId}`),
    parts: [{ type: 'text', text: isLeft ? NOTICE_LEFT : NOTICE }],
  });
  const { rootId, seq, to, position } = done(sessionId, outcome);
  announce(deps, { rootId, seq });
  if (to !== point.position) throw usedForAnother();
  const reverted: Reverted = {
    ...{ sessionId: toPublicId('session', sessionId), to, entry: position },
    files: isLeft ? 'left' : isLocal ? 'kept' : 'put_back',
  };
  return { status: 201, body: reverted };
}

/** An empty workspace that has changed since it began goes back to nothing. */
export function filesAt({ files }: LogPoint): string | null {
  return files.head ?? (files.kind === 'empty' ? NOTHING : null);
}

function done(sessionId: string, outcome: RevertOutcome) {
  switch (outcome.outcome) {
    case 'reverted':
    case 'repeated':
      return outcome;
    default:
      throw refusedRevision(sessionId, outcome);
  }
}

/** Why a session cannot be taken back, or given another's work, now. */
export function refusedRevision(sessionId: string, refused: RefusedRevision): ApiProblem {
  const session = toPublicId('session', sessionId);
  switch (refused.outcome) {
    case 'not_found':
      return notFound(`session ${session}`);
    case 'archived':
      return conflict(
        'session_archived',
        `The session ${session} is archived and stays as it is: unarchive it first.`,
      );
    case 'shared':
      return sharedFiles(session);
    case 'unfinished': {
      const task = toPublicId('task', refused.taskId);
      return conflict(
        'task_unfinished',
        `The session ${session} has a task that is not finished: wait for ${task}, or cancel it.`,
      );
    }
  }
}

function localFiles(sessionId: string): ApiProblem {
  return conflict(
    'local_files',
    `The files of the session ${toPublicId('session', sessionId)} are a person's own, in a directory of theirs: put them back with ` +
      '`capybara revert`, or say "files": "left" to take only the log back.',
    'files',
  );
}

function usedForAnother(): ApiProblem {
  return idempotencyConflict('revert');
}
