/** `GET /v1/sessions/:id/diff`: what a session has changed in its files. */
import { toPublicId } from '../core/id.ts';
import { readSessionFiles } from '../store/views-files.ts';
import { changesSince } from '../workspace/changes.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import type { ApiDeps } from './deps.ts';
import { ApiProblem, conflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';

export function filesRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/sessions/:id/diff',
      summary:
        'What a session has changed in its files, as a patch for `git apply`: nothing where it changed none.',
      id: 'session',
      success: { status: 200, description: 'The patch; its bytes may be no UTF-8.', media: ['text/x-diff'] },
      problems: { 404: ['not_found'], 409: ['files_elsewhere'], 422: ['diff_too_long'] },
      handle: (call) => diff(deps, call),
    }),
  ];
}

async function diff({ db, snapshots }: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const { caller, id, response } = call;
  const files = await readSessionFiles(db, { teamId: caller.teamId, id });
  if (files === undefined) throw notFound(`session ${toPublicId('session', id)}`);
  const patch = await patchOf(() => changesSince(snapshots.of(files.lineage), files));
  // Not `set`, which adds a charset: the bytes are those of the files.
  response.setHeader('content-type', 'text/x-diff').setHeader('content-length', patch.length);
  response.status(200).end(call.response.req.method === 'HEAD' ? undefined : Buffer.from(patch));
  return undefined;
}

async function patchOf(read: () => Promise<Uint8Array | undefined>): Promise<Uint8Array> {
  const patch = await read().catch((error: unknown) => {
    if (!(error instanceof SnapshotError) || error.code !== 'missing_snapshot') throw error;
    throw conflict(
      'files_elsewhere',
      'The files of this session are kept on another machine than this API: ask the Capybara that works on it.',
    );
  });
  if (patch !== undefined) return patch;
  throw new ApiProblem({
    status: 422,
    code: 'diff_too_long',
    detail: 'The changes of this session are too long for one patch: look at single files instead.',
  });
}
