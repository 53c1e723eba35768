/** `POST /v1/sessions/:id/merge`: another session's files, three-way, and a notice of its log. */
import { toPublicId } from '../core/id.ts';
import { type MergeOutcome, mergeSession } from '../store/revisions.ts';
import { readTasks } from '../store/views-tasks.ts';
import { fetched } from '../workspace/changes.ts';
import type { Merged, RootDiff } from '../workspace/snapshots/snapshots.ts';
import { type ApiDeps, announce } from './deps.ts';
import { here } from './files-routes.ts';
import { idFor } from './made-id.ts';
import { mergeNotice, TOLD_TASKS } from './merge-notice.ts';
import { type CommonPoint, mergePointOf, otherSession } from './merge-point.ts';
import { conflict, idempotencyConflict } from './problem.ts';
import { refusedRevision } from './revert-routes.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { saidOnce } from './said-once.ts';
import { IdempotencyHeaders } from './task-routes.ts';
import { MergedSession, MergeSession } from './wire.ts';

export function mergeRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/sessions/:id/merge',
      scope: 'submit',
      summary:
        "Take another session's changes into this one's files, three-way from where the two were one, with a notice for its model. A " +
        'conflict is told, and neither side is lost.',
      id: 'session',
      headers: IdempotencyHeaders,
      body: MergeSession,
      success: { status: 201, description: 'Committed.', schema: MergedSession },
      problems: {
        404: ['not_found'],
        409: [
          ...['nothing_common', 'nothing_recorded', 'task_unfinished', 'session_archived', 'session_shared'],
          ...['local_files', 'files_elsewhere', 'files_changed', 'idempotency_conflict'],
        ],
      },
      handle: saidOnce(deps, 'merge', (call) => merge(deps, call)),
    }),
  ];
}

/** How often it is done anew where another merge was faster. */
const TRIES = 3;

type MergeCall = Call<unknown, MergeSession>;

async function merge(deps: ApiDeps, call: MergeCall): Promise<Reply> {
  const { id: sessionId, body } = call;
  const from = otherSession(body.from);
  const id = await idFor(deps, call, `merge ${sessionId}`);
  for (let tries = 0; tries < TRIES; tries += 1) {
    const point = await mergePointOf(deps, { teamId: call.caller.teamId, into: sessionId, from });
    const outcome = await mergeOnce(deps, call, { id, from, point });
    if (outcome.outcome !== 'moved') return replyTo(deps, call, outcome, point);
  }
  throw conflict(
    'files_changed',
    `The files of the session ${toPublicId('session', sessionId)} were changed meanwhile, again and again: try again.`,
  );
}

async function mergeOnce(
  deps: ApiDeps,
  { caller, id: sessionId, body }: MergeCall,
  { id, from, point }: { readonly id: string; readonly from: string; readonly point: CommonPoint },
): Promise<MergeOutcome> {
  const { teamId, userId } = caller;
  const isKept = isLocal(sessionId, point, body);
  const files = await here(() => mergedFiles(deps, point, { sessionId, from, isKept }));
  const { rows } = await readTasks(deps.db, { teamId, sessionId: from }, TOLD_TASKS);
  const since = point.since === null ? 0 : Date.parse(point.since);
  const text = mergeNotice({
    ...{ from: toPublicId('session', from), title: point.from.title, isKept },
    files: files.changed.map(({ change, path }) => `${change} ${path}`),
    conflicts: files.conflicts,
    tasks: rows.filter(({ createdAt }) => createdAt.getTime() > since),
  });
  return mergeSession(deps.db, {
    ...{ teamId, userId, sessionId, id, from, ours: point.into.head },
    ...{ base: files.base, theirs: files.theirs, snapshot: files.snapshot, conflicts: files.conflicts },
    parts: [{ type: 'text', text }],
  });
}

/** Throws `ApiProblem` where the files are a person's own, and nobody says that they have seen to them. */
function isLocal(sessionId: string, { into }: CommonPoint, { files }: MergeSession): boolean {
  if (into.kind !== 'local') return false;
  if (files === 'kept') return true;
  throw conflict(
    'local_files',
    `The files of the session ${toPublicId('session', sessionId)} are a person's own, in a directory of theirs: merge with ` +
      '`capybara sessions merge`, or say "files": "kept" to take only a notice in.',
    'files',
  );
}

interface MergedFiles {
  readonly base: string;
  readonly theirs: string;
  readonly snapshot: string | null;
  readonly conflicts: Merged['conflicts'];
  readonly changed: RootDiff['files'];
}

async function mergedFiles(
  { snapshots }: ApiDeps,
  { base: begun, into, from: { head } }: CommonPoint,
  {
    sessionId,
    from,
    isKept,
  }: { readonly sessionId: string; readonly from: string; readonly isKept: boolean },
): Promise<MergedFiles> {
  const store = snapshots.of(into.lineage);
  const base = await fetched(store, begun);
  const theirs = await fetched(store, head ?? begun);
  const [root] = await store.diff(base, theirs, { renames: true });
  const told = { base, theirs, changed: root?.files ?? [] };
  if (isKept || base === theirs) return { ...told, snapshot: null, conflicts: [] };
  if (into.head === null && into.kind !== 'empty') throw nothingRecorded(sessionId);
  const ours = await fetched(store, into.head);
  const label = toPublicId('session', from).slice(0, LABEL_LENGTH);
  const { id: snapshot, conflicts } = await store.merge({ base, ours, theirs, label });
  await store.push(snapshot);
  return { ...told, snapshot, conflicts };
}

/** Enough of an id to know the session by. */
const LABEL_LENGTH = 16;

function nothingRecorded(sessionId: string) {
  return conflict(
    'nothing_recorded',
    `Nothing was recorded yet of the files of the session ${toPublicId('session', sessionId)}: give it a task first.`,
  );
}

function replyTo(
  deps: ApiDeps,
  { id: sessionId, body }: MergeCall,
  outcome: Exclude<MergeOutcome, { outcome: 'moved' }>,
  { into }: CommonPoint,
): Reply {
  switch (outcome.outcome) {
    case 'merged':
    case 'repeated': {
      announce(deps, outcome);
      if (outcome.from === null || outcome.from !== otherSession(body.from)) throw usedForAnother();
      const merged: MergedSession = {
        sessionId: toPublicId('session', sessionId),
        ...{ from: toPublicId('session', outcome.from), entry: outcome.position },
        files: into.kind === 'local' ? 'kept' : 'merged',
        conflicts: outcome.conflicts.map(({ path, kind, keptAt }) => ({
          ...{ path, kind },
          ...(keptAt !== undefined && { keptAt }),
        })),
      };
      return { status: 201, body: merged };
    }
    default:
      throw refusedRevision(sessionId, outcome);
  }
}

function usedForAnother() {
  return idempotencyConflict('merge');
}
