import type { ShadowGit } from './shadow-git.ts';
import { missingSnapshot } from './snapshot-error.ts';
import type { Manifest } from './snapshot-tree.ts';
import type { Summary } from './walked-files.ts';

/** What a snapshot consists of. Throws `SnapshotError` where it is not here. */
export function readSummary(git: ShadowGit, snapshot: string): Summary {
  const entries = git.entries(snapshot);
  const [files, metadata, manifest] = ['files', 'metadata', 'manifest'].map((name) => entries?.get(name));
  if (files === undefined || metadata === undefined || manifest === undefined)
    throw missingSnapshot(snapshot);
  return { files, metadata, manifest: JSON.parse(git.blob(manifest).toString()) as Manifest };
}
