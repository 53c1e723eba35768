/** `GET /v1/sessions/:id/diff | changes | bundle`: what a session has changed in its files. */
import type { Response } from 'express';
import { z } from 'zod';
import { toPublicId } from '../core/id.ts';
import { readLogPoint } from '../store/forks.ts';
import type { WorkspaceRow } from '../store/turns.ts';
import { readAuthorship, readSessionFiles } from '../store/views-files.ts';
import { unfinishedTask } from '../store/views-tasks.ts';
import { bundleSince, changesSince, type Span, versionsSince } from '../workspace/changes.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import { streamOf } from './change-stream.ts';
import type { ApiDeps } from './deps.ts';
import { foundPoint } from './fork-routes.ts';
import { mergePointOf, otherSession } from './merge-point.ts';
import { ApiProblem, conflict, notFound } from './problem.ts';
import { filesAt, refusedRevision } from './revert-routes.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { CHANGES_MEDIA } from './wire.ts';
import { wholeInQuery } from './wire-query.ts';
import { MAX_POSITION } from './wire-takeover.ts';

const ChangesQuery = z
  .strictObject({
    turn: wholeInQuery(0, MAX_POSITION).optional(),
    entry: wholeInQuery(0, MAX_POSITION).optional(),
    into: z.string().optional().meta({ description: 'a session that they are to be merged into' }),
  })
  .refine(({ turn, entry, into }) => [turn, entry, into].filter((each) => each !== undefined).length < 2, {
    message: 'expected one of turn, entry and into',
  });

const BUNDLE_MEDIA = 'application/x-git-bundle';

export function filesRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/sessions/:id/bundle',
      scope: 'read',
      summary:
        'The same as a git bundle, for `git fetch FILE`: one commit of what the session changed, on the commit that its repository was at. ' +
        'Where it began with no git repository, on a commit of the files that it began with.',
      id: 'session',
      success: {
        status: 200,
        description: 'The bundle, with the branch capybara/ses_….',
        media: [BUNDLE_MEDIA],
      },
      problems: { 404: ['not_found'], 409: ['files_elsewhere', 'no_changes'], 422: ['diff_too_long'] },
      handle: (call) => bundle(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/sessions/:id/diff',
      scope: 'read',
      summary:
        'What a session has changed in its files, as a patch for `git apply`: nothing where it changed none.',
      id: 'session',
      success: { status: 200, description: 'The patch; its bytes may be no UTF-8.', media: ['text/x-diff'] },
      problems: { 404: ['not_found'], 409: ['files_elsewhere'], 422: ['diff_too_long'] },
      handle: (call) => diff(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/sessions/:id/changes',
      scope: 'read',
      summary:
        'The same with every changed file whole, before and after: what a three-way merge needs. With turn or entry what would take the ' +
        'files back there, from where they are; with into what that session has not got.',
      id: 'session',
      query: ChangesQuery,
      success: {
        status: 200,
        description:
          'For each file a line of JSON, {"path", "from"?, "before": {"mode", "size"} or null, "after": the same, "found"?}, the bytes before, ' +
          'and the bytes after; at the end the line {"changes": N}. Paths are bytes, one character (U+0000 to U+00FF) for each.',
        media: [CHANGES_MEDIA],
      },
      problems: {
        400: ['turn_unknown', 'entry_unknown'],
        404: ['not_found'],
        409: ['files_elsewhere', 'turn_unfinished', 'task_unfinished', 'nothing_common'],
        422: ['diff_too_long'],
      },
      handle: (call) => changes(deps, call),
    }),
  ];
}

async function bundle(deps: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const files = await filesOf(deps, call);
  const {
    author = '',
    title = '',
    at,
  } = (await readAuthorship(deps.db, { teamId: call.caller.teamId, id: call.id })) ?? {};
  const session = toPublicId('session', call.id);
  const commit = { author, at: at?.getTime() ?? 0, message: title, branch: `capybara/${session}` };
  const found = await whole(() => bundleSince(deps.snapshots.of(files.lineage), files, commit));
  if (found !== 'unchanged') return sendBytes(call.response, BUNDLE_MEDIA, found);
  throw conflict('no_changes', `The session ${session} has changed no files: there is nothing to commit.`);
}

async function diff(deps: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const files = await filesOf(deps, call);
  const patch = await whole(() => changesSince(deps.snapshots.of(files.lineage), files));
  return sendBytes(call.response, 'text/x-diff', patch);
}

type ChangesCall = Call<z.infer<typeof ChangesQuery>, unknown>;

async function changes(deps: ApiDeps, call: ChangesCall): Promise<Reply> {
  const files = await filesOf(deps, call);
  const span = await spanOf(deps, call, files);
  const found = await whole(() => versionsSince(deps.snapshots.of(files.lineage), span));
  return sendBytes(call.response, CHANGES_MEDIA, streamOf(found));
}

async function spanOf(deps: ApiDeps, call: ChangesCall, files: WorkspaceRow): Promise<Span> {
  const { turn, entry, into } = call.query;
  if (into !== undefined) {
    const sessions = { teamId: call.caller.teamId, into: otherSession(into), from: call.id };
    const { base } = await mergePointOf(deps, sessions);
    return { base, head: files.head ?? base };
  }
  return turn === undefined && entry === undefined ? files : wayBack(deps, call, files);
}

/** Refused while a task may still change them. */
async function wayBack(
  deps: ApiDeps,
  { caller, id, query }: ChangesCall,
  files: WorkspaceRow,
): Promise<Span> {
  const point = foundPoint(id, query, await readLogPoint(deps.db, { teamId: caller.teamId, id }, query));
  const taskId = await unfinishedTask(deps.db, id);
  if (taskId !== undefined) throw refusedRevision(id, { outcome: 'unfinished', taskId });
  return { base: files.head, head: filesAt(point) };
}

async function filesOf(
  { db }: ApiDeps,
  { caller, id }: Pick<Call<unknown, unknown>, 'caller' | 'id'>,
): Promise<WorkspaceRow> {
  const files = await readSessionFiles(db, { teamId: caller.teamId, id });
  if (files === undefined) throw notFound(`session ${toPublicId('session', id)}`);
  return files;
}

/** Not `set`, which adds a charset: the bytes are those of the files. */
export function sendBytes(response: Response, media: string, bytes: Uint8Array): undefined {
  response.setHeader('content-type', media).setHeader('content-length', bytes.length);
  response.status(200).end(response.req.method === 'HEAD' ? undefined : Buffer.from(bytes));
}

async function whole<Found>(read: () => Promise<Found | undefined>): Promise<Found> {
  const found = await here(read);
  if (found !== undefined) return found;
  throw new ApiProblem({
    status: 422,
    code: 'diff_too_long',
    detail: 'The changes of this session are too long for one answer: look at single files instead.',
  });
}

/** Throws `ApiProblem` where the snapshots are not on this machine. */
export async function here<Found>(read: () => Promise<Found>): Promise<Found> {
  return read().catch((error: unknown) => {
    if (!(error instanceof SnapshotError) || error.code !== 'missing_snapshot') throw error;
    throw conflict(
      'files_elsewhere',
      'The files of this session are kept on another machine than this API: ask the Capybara that works on it.',
    );
  });
}
