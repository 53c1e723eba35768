/** What a task needs of a directory that was sent: the files that its session begins with, and the terms in them. */
import type { ProjectTerms } from '../config/layers.ts';
import { MAX_SETTINGS_BYTES, PROJECT_CONFIG, projectTermsIn } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { fromPublicId } from '../core/id.ts';
import type { TaskSession } from '../store/tasks.ts';
import { useUpload } from '../store/uploads.ts';
import { ROOT_NAME } from '../workspace/history.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import type { ApiDeps } from './deps.ts';
import { conflict, notFound } from './problem.ts';

/** What a session is made with, but for the id. */
export type NewWorkspace = Omit<Extract<TaskSession, { workspace: unknown }>['workspace'], 'id'>;

/** The workspace of a session that begins with an upload of the team. Throws `ApiProblem` where there is none such. */
export async function uploadedWorkspace(
  { db }: ApiDeps,
  { teamId, id }: { readonly teamId: string; readonly id: string },
): Promise<NewWorkspace> {
  const uploadId = fromPublicId('workspace', id);
  const upload = uploadId === undefined ? undefined : await useUpload(db, { teamId, id: uploadId });
  if (upload === undefined) throw notFound(`workspace ${JSON.stringify(id.slice(0, 60))}`, 'workspace');
  const { directory, lineage, snapshot } = upload;
  return {
    ...{ kind: 'upload', path: null, lineage, base: snapshot },
    source: { uploadId: upload.id, directory },
  };
}

/**
 * What the project says as its person sent it, whatever agents made of the file since. Throws `ApiProblem` or `UserError` where that
 * cannot be read: a task does not begin without it.
 */
export async function uploadedTerms(
  { snapshots }: ApiDeps,
  { lineage, base }: { readonly lineage: string; readonly base: string },
): Promise<ProjectTerms> {
  const store = snapshots.of(lineage);
  try {
    await store.fetch(base);
    const file = { root: ROOT_NAME, path: PROJECT_CONFIG, maxBytes: MAX_SETTINGS_BYTES };
    const content = await store.read(base, file);
    return projectTermsIn(PROJECT_CONFIG, Buffer.from(content ?? '').toString('utf8'));
  } catch (error) {
    throw error instanceof SnapshotError ? unreadable(error) : error;
  }
}

function unreadable(error: SnapshotError): Error {
  switch (error.code) {
    case 'no_file':
      return new UserError(
        'config_unreadable',
        `The rules in ${PROJECT_CONFIG} cannot be read. ${error.message}`,
      );
    case 'missing_snapshot':
    case 'not_shared':
      return conflict(
        'files_elsewhere',
        'The files of this workspace are kept on another machine than this API: send the directory again, or ask the Capybara that has it.',
      );
    default:
      return error;
  }
}
