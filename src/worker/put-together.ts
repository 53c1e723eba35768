/** A workspace of several roots, from what each of them comes from. */
import { MAX_SETTINGS_BYTES, PROJECT_CONFIG, projectTermsIn } from '../config.ts';
import { type ConfiguredRule, rulesUnder } from '../core/permission.ts';
import {
  type FoundRoots,
  type FoundSource,
  type GitSource,
  type NamedRoot,
  type RootsSource,
  wrongIn,
} from '../core/workspace.ts';
import { RepositoryError } from '../workspace/git/repository-error.ts';
import { ROOT_NAME } from '../workspace/history.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import type { ComposedPart, SnapshotStore, Snapshots } from '../workspace/snapshots/snapshots.ts';

export interface ClonedFiles {
  readonly snapshot: string;
  readonly found: FoundSource;
}

interface Means {
  readonly snapshots: Snapshots;
  /** Of the session's own. */
  readonly store: SnapshotStore;
  readonly clone: (source: Pick<GitSource, 'url' | 'ref'>) => Promise<ClonedFiles>;
}

interface Part extends ComposedPart {
  readonly rules?: readonly ConfiguredRule[];
  readonly commit?: string | null;
}

/** One after the other: what fails, fails before the rest is fetched. */
export async function putTogether(
  { roots }: RootsSource,
  means: Means,
): Promise<{ readonly snapshot: string; readonly found: FoundRoots }> {
  const parts: Part[] = [];
  for (const root of roots) parts.push(await partOf(root, means));
  const composed = parts.map(({ name, snapshot }) =>
    snapshot === undefined ? { name } : { name, snapshot },
  );
  const snapshot = await means.store.compose(composed, ROOT_NAME);
  const commits = parts.flatMap(({ name, commit }) =>
    commit === undefined ? [] : [[name, commit] as const],
  );
  const rules = parts.flatMap(({ name, rules: own = [] }) => rulesUnder(name, own));
  return { snapshot, found: { commits: Object.fromEntries(commits), rules } };
}

async function partOf(root: NamedRoot, { snapshots, store, clone }: Means): Promise<Part> {
  const { name } = root;
  switch (root.kind) {
    case 'git': {
      const { snapshot, found } = await clone(root).catch((error: unknown) => {
        throw wrongIn(name, error);
      });
      return { name, snapshot, ...found };
    }
    case 'upload':
      await brought(root, { snapshots, store });
      return { name, snapshot: root.snapshot, rules: await rulesSent(root, store) };
    case 'empty':
      return { name };
  }
}

/** Read again for the tasks to come: what was sent is forgotten once a session has begun with it. */
async function rulesSent(
  { name, snapshot }: Extract<NamedRoot, { kind: 'upload' }>,
  store: SnapshotStore,
): Promise<readonly ConfiguredRule[]> {
  const file = { root: ROOT_NAME, path: PROJECT_CONFIG, maxBytes: MAX_SETTINGS_BYTES };
  const content = await store.read(snapshot, file);
  try {
    if (content === undefined) return [];
    return projectTermsIn(PROJECT_CONFIG, Buffer.from(content).toString('utf8')).rules;
  } catch (error) {
    throw wrongIn(name, error);
  }
}

async function brought(
  { name, directory, lineage, snapshot }: Extract<NamedRoot, { kind: 'upload' }>,
  { snapshots, store }: Pick<Means, 'snapshots' | 'store'>,
): Promise<void> {
  try {
    await snapshots.of(lineage).fetch(snapshot);
    await store.adopt(snapshot, lineage);
  } catch (error) {
    if (!(error instanceof SnapshotError) || error.code !== 'missing_snapshot') throw error;
    throw new RepositoryError(
      'terminal',
      'files_elsewhere',
      `The files of the root ${name}, sent from ${directory}, are on another machine than this worker: hosts share them where CAPYBARA_SNAPSHOTS says.`,
    );
  }
}
