/** What a task needs of a workspace of several roots. */
import { type ConfiguredRule, rulesUnder } from '../core/permission.ts';
import { checkRepository, readRef } from '../core/repository.ts';
import { type NamedRoot, type RootsSource, type UploadSource, wrongIn } from '../core/workspace.ts';
import type { ApiDeps } from './deps.ts';
import { type NewWorkspace, uploadedTerms, uploadedWorkspace } from './uploaded-files.ts';
import type { RootInput } from './wire.ts';

/** Its files are put together by the worker that begins the session. Throws `ApiProblem`, `UserError`. */
export async function rootsWorkspace(
  deps: ApiDeps,
  teamId: string,
  asked: Readonly<Record<string, RootInput>>,
): Promise<NewWorkspace> {
  const names = Object.keys(asked).sort();
  const roots = await Promise.all(
    names.map((name) =>
      namedRoot(deps, teamId, { name, ...(asked[name] as RootInput) }).catch((error: unknown) => {
        throw wrongIn(name, error);
      }),
    ),
  );
  return { kind: 'roots', path: null, source: { roots } };
}

async function namedRoot(
  deps: ApiDeps,
  teamId: string,
  asked: RootInput & { readonly name: string },
): Promise<NamedRoot> {
  const { name, access } = asked;
  switch (asked.kind) {
    case 'git': {
      const { url } = checkRepository(asked.url, deps.repositories);
      return { name, access, kind: 'git', url, ref: readRef(asked.ref) };
    }
    case 'upload': {
      const {
        lineage = '',
        base: snapshot = '',
        source,
      } = await uploadedWorkspace(deps, { teamId, id: asked.id });
      return { name, access, kind: 'upload', lineage, snapshot, ...(source as UploadSource) };
    }
    case 'empty':
      return { name, access, kind: 'empty' };
  }
}

/** Those of the directories that were sent; of repositories they are read when these are cloned. */
export async function rulesOfRoots(
  deps: ApiDeps,
  { roots }: RootsSource,
): Promise<readonly ConfiguredRule[]> {
  const rules = roots.map(async (root) => {
    if (root.kind !== 'upload') return [];
    const { lineage, snapshot: base } = root;
    const { rules: own } = await uploadedTerms(deps, { lineage, base }).catch((error: unknown) => {
      throw wrongIn(root.name, error);
    });
    return rulesUnder(root.name, own);
  });
  return (await Promise.all(rules)).flat();
}
