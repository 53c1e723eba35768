/** `POST /v1/sessions/:id/fork`: a session of its own that goes on from a point of another, with its files. */
import { existsSync } from 'node:fs';
import { newId } from '../clock.ts';
import { projectTerms } from '../config.ts';
import { toPublicId } from '../core/id.ts';
import {
  forkSession,
  type LogPoint,
  type PointOutcome,
  type PointWanted,
  readLogPoint,
} from '../store/forks.ts';
import { readSession, type SessionRow } from '../store/views-sessions.ts';
import { ROOT_NAME } from '../workspace/history.ts';
import { checkLocalPath } from '../workspace/kinds.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import { type ApiDeps, announce } from './deps.ts';
import { idFor } from './made-id.ts';
import { badRequest, conflict, idempotencyConflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { saidOnce } from './said-once.ts';
import { showSession } from './show.ts';
import { IdempotencyHeaders } from './task-routes.ts';
import { uploadedTerms } from './uploaded-files.ts';
import { ForkSession, Session } from './wire.ts';

export function forkRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/sessions/:id/fork',
      scope: 'submit',
      summary:
        'Branch off at a turn or an entry: a new session whose log begins so, with a copy of the files as they were there.',
      id: 'session',
      headers: IdempotencyHeaders,
      body: ForkSession,
      success: { status: 201, description: 'The new session.', schema: Session },
      problems: {
        400: ['turn_unknown', 'entry_unknown'],
        404: ['not_found'],
        409: ['turn_unfinished', 'files_elsewhere', 'files_not_recorded', 'idempotency_conflict'],
      },
      handle: saidOnce(deps, 'fork', (call) => fork(deps, call)),
    }),
  ];
}

const NOTICE =
  'A person has branched this conversation off here. You go on in a copy: its files are those of this point, in another ' +
  'directory than before, so use paths relative to the workspace. Processes that were started before do not run here, and ' +
  'files that version control ignores may be missing.';

async function fork(deps: ApiDeps, call: Call<unknown, ForkSession>): Promise<Reply> {
  const { caller, id, body } = call;
  const point = foundPoint(id, body, await readLogPoint(deps.db, { teamId: caller.teamId, id }, body));
  const files = await filesAt(deps, point);
  const workspaceId = await idFor(deps, call, `fork ${id}`);
  const outcome = await forkSession(deps.db, {
    teamId: caller.teamId,
    userId: caller.userId,
    id: newId(deps.clock),
    title: body.title ?? point.title,
    ...{ from: point.owner, at: point.position },
    workspace: { id: workspaceId, ...files },
    notice: [{ type: 'text', text: NOTICE }],
  });
  if (outcome.outcome === 'not_found') throw noSession(id);
  if (outcome.outcome === 'forked') announce(deps, { rootId: outcome.sessionId, seq: outcome.seq });
  const session = await readSession(deps.db, { teamId: caller.teamId, id: outcome.sessionId });
  if (session === undefined) throw noSession(outcome.sessionId);
  if (outcome.outcome === 'repeated' && differs(session, body, point)) throw usedForAnother();
  return { status: 201, body: showSession(session) };
}

/** A repeat that names no point means that of the first, wherever the log stands now. */
function differs(session: SessionRow, { turn, entry, title }: ForkSession, { position }: LogPoint): boolean {
  const isElsewhere = (turn !== undefined || entry !== undefined) && session.forkedAt !== position;
  return isElsewhere || (title !== undefined && session.title !== title);
}

function usedForAnother() {
  return idempotencyConflict('fork');
}

/** Throws `ApiProblem` where there is no such point. `id`: the session's UUID. */
export function foundPoint(id: string, { turn, entry }: PointWanted, point: PointOutcome): LogPoint {
  switch (point.outcome) {
    case 'found':
      return point;
    case 'not_found':
      throw noSession(id);
    case 'unfinished':
      throw conflict(
        'turn_unfinished',
        `Turn ${turn} of the session ${toPublicId('session', id)} goes on: wait for its end, or name an earlier one.`,
        'turn',
      );
    case 'unknown': {
      const [what, found, code] =
        turn === undefined ? ['entry', entry, 'entry_unknown'] : ['turn', turn, 'turn_unknown'];
      const { last } = point;
      throw badRequest(
        code,
        `The session ${toPublicId('session', id)} has no ${what} ${found}: expected ${last === 0 ? '0' : `0 to ${last}`}.`,
        `${what}`,
      );
    }
  }
}

/** The files that a fork begins with: Capybara's own copy, whatever they were. */
async function filesAt(deps: ApiDeps, { files }: LogPoint): Promise<Omit<LogPoint['files'], 'path'>> {
  const { path, ...row } = files;
  if (row.kind !== 'local') return row;
  const { lineage, projectServers } = row;
  const head = row.head ?? (await snapshotOf(deps, { path: path ?? '', lineage }));
  const rules = await rulesOf(deps, { path: path ?? '', lineage, head });
  return { kind: 'empty', source: null, rules, projectServers, lineage, base: row.base ?? head, head };
}

/**
 * What binds the agents in a person's directory binds those in its copy, where they may edit the file as they please: as the
 * directory says now; where this API cannot look there, as the copied files do.
 */
async function rulesOf(
  deps: ApiDeps,
  { path, lineage, head }: { readonly path: string; readonly lineage: string; readonly head: string },
): Promise<LogPoint['files']['rules']> {
  const isHere = deps.allowLocal !== false && existsSync(path);
  const { rules } = isHere ? projectTerms(path) : await uploadedTerms(deps, { lineage, base: head });
  return rules.length === 0 ? null : rules;
}

/** A session that has changed nothing yet never recorded what a person's directory holds: that is what is there now. */
async function snapshotOf(
  { snapshots, allowLocal, dataDir }: ApiDeps,
  { path, lineage }: { readonly path: string; readonly lineage: string },
): Promise<string> {
  if (allowLocal === false) {
    throw conflict(
      'files_elsewhere',
      'The files of this session were never recorded, and are on another machine than this API: ask the Capybara that works on it.',
    );
  }
  const root = { name: ROOT_NAME, path: await checkLocalPath(path, { dataDir }), writable: true };
  const store = snapshots.of(lineage);
  try {
    const { id } = await store.take({ roots: [root] });
    await store.push(id);
    return id;
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    throw conflict('files_not_recorded', `The files of this session could not be copied: ${error.message}`);
  }
}

function noSession(id: string) {
  return notFound(`session ${toPublicId('session', id)}`);
}
