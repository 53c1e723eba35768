/** `POST /v1/workspaces`: a directory that a client sends, for sessions to begin with. */
import { fromPublicId, toPublicId } from '../core/id.ts';
import { readUpload, recordUpload, type UploadRow, useUpload } from '../store/uploads.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import { tooLarge, type UploadCode, UploadError } from '../workspace/uploads/upload-error.ts';
import type { ApiDeps } from './deps.ts';
import { idFor } from './made-id.ts';
import { ApiProblem, conflict, idempotencyConflict, notFound, unavailable } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { IdempotencyHeaders, idempotencyKeyOf } from './task-routes.ts';
import { PACK_MEDIA, UploadQuery, Workspace } from './wire.ts';

export function workspaceRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/workspaces',
      scope: 'submit',
      summary: 'Send a directory: a git pack of the objects of its snapshot that `base` does not have.',
      headers: IdempotencyHeaders,
      query: UploadQuery,
      stream: PACK_MEDIA,
      success: { status: 201, description: 'What was sent, kept.', schema: Workspace },
      problems: {
        400: ['upload_malformed', 'upload_incomplete', 'upload_cut_off'],
        404: ['not_found'],
        409: ['idempotency_conflict', 'base_missing'],
        413: ['upload_too_large'],
        503: ['uploads_busy', 'snapshots_unreachable'],
      },
      handle: (call) => upload(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/workspaces/:id',
      scope: 'read',
      summary: 'A directory that was sent.',
      id: 'workspace',
      success: { status: 200, description: 'What was sent.', schema: Workspace },
      problems: { 404: ['not_found'] },
      handle: async ({ caller, id }) => {
        const row = await readUpload(deps.db, { teamId: caller.teamId, id });
        if (row === undefined) throw notFound(`workspace ${toPublicId('workspace', id)}`);
        return { status: 200, body: showUpload(row, await isHeld(deps, row)) };
      },
    }),
  ];
}

async function upload(deps: ApiDeps, call: Call<UploadQuery, unknown>): Promise<Reply> {
  const { caller, query, request } = call;
  const { teamId, userId } = caller;
  const key = idempotencyKeyOf(request.headers['idempotency-key']);
  const id = await idFor(deps, call, 'workspace');
  const earlier = key === undefined ? undefined : await readUpload(deps.db, { teamId, id });
  if (earlier !== undefined) return { status: 201, body: repeated(earlier, query) };

  const base = await baseOf(deps, teamId, query);
  checkLength(deps, Number(request.headers['content-length'] ?? 0));
  const { snapshot, directory } = query;
  // An id that is new names a lineage that nobody else has anything in.
  const lineage = base?.lineage ?? id;
  await taken(deps.uploads.receive(request, { snapshot, lineage, continues: base !== undefined }));
  await share(deps, { lineage, snapshot });
  const row = await recordUpload(deps.db, { id, teamId, userId, directory, lineage, snapshot });
  return { status: 201, body: repeated(row, query) };
}

/** The answer to whoever sent it first, and to each repeat. */
function repeated(row: UploadRow, query: UploadQuery): Workspace {
  if (row.snapshot === query.snapshot && row.directory === query.directory) return showUpload(row, true);
  throw idempotencyConflict('upload');
}

async function baseOf(deps: ApiDeps, teamId: string, { base }: UploadQuery): Promise<UploadRow | undefined> {
  if (base === undefined) return undefined;
  const id = fromPublicId('workspace', base);
  const row = id === undefined ? undefined : await useUpload(deps.db, { teamId, id });
  if (row === undefined) throw notFound(`workspace ${JSON.stringify(base.slice(0, 60))}`, 'base');
  if (await isHeld(deps, row)) return row;
  throw conflict(
    'base_missing',
    `The upload ${base} is not held here any more: send all of the directory.`,
    'base',
  );
}

/** Before the row that names it: a worker on another host may be the first to want it. */
async function share({ snapshots }: ApiDeps, { lineage, snapshot }: Pick<UploadRow, 'lineage' | 'snapshot'>) {
  await snapshots
    .of(lineage)
    .push(snapshot)
    .catch((error: unknown) => {
      if (!(error instanceof SnapshotError) || error.code !== 'not_shared') throw error;
      throw unavailable('snapshots_unreachable', error.message);
    });
}

/** Whether its files are here, or come from where hosts share them. */
async function isHeld({ snapshots }: ApiDeps, { lineage, snapshot }: UploadRow): Promise<boolean> {
  try {
    await snapshots.of(lineage).fetch(snapshot);
    return true;
  } catch (error) {
    if (error instanceof SnapshotError) return false;
    throw error;
  }
}

function checkLength({ uploads }: ApiDeps, length: number): void {
  const { packBytes } = uploads.limits;
  if (length > packBytes) throw problemOf(tooLarge(`has ${length} bytes`, packBytes));
}

async function taken(receiving: Promise<void>): Promise<void> {
  await receiving.catch((error: unknown) => {
    throw error instanceof UploadError ? problemOf(error) : error;
  });
}

const PROBLEMS: Readonly<Record<UploadCode, { readonly status: number; readonly code: string }>> = {
  malformed: { status: 400, code: 'upload_malformed' },
  incomplete: { status: 400, code: 'upload_incomplete' },
  cut_off: { status: 400, code: 'upload_cut_off' },
  too_large: { status: 413, code: 'upload_too_large' },
  busy: { status: 503, code: 'uploads_busy' },
};

function problemOf({ code, message }: UploadError): ApiProblem {
  if (code === 'busy') return unavailable(PROBLEMS.busy.code, message);
  return new ApiProblem({ ...PROBLEMS[code], detail: message });
}

function showUpload(row: UploadRow, held: boolean): Workspace {
  return {
    id: toPublicId('workspace', row.id),
    directory: row.directory,
    snapshot: row.snapshot,
    held,
    createdAt: row.createdAt.toISOString(),
  };
}
