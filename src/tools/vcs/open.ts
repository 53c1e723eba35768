import { relative } from 'node:path';
import type { EgressHost } from '../../core/egress.ts';
import { visible } from '../../workspace/file-tree.ts';
import { oneRoot, refusalAt } from '../../workspace/named-roots.ts';
import { findWorkingCopy, type VersionControlName } from '../../workspace/working-copy.ts';
import type { Root, Workspace } from '../../workspace/workspace.ts';
import type { ToolContext } from '../tool.ts';
import { fossil } from './fossil.ts';
import { git } from './git.ts';
import { jujutsu } from './jujutsu.ts';
import { mercurial } from './mercurial.ts';
import { sandboxedPrograms } from './programs.ts';
import { subversion } from './subversion.ts';
import { type Copy, type Vcs, VcsError } from './vcs.ts';

const SYSTEMS: Readonly<Record<VersionControlName, Vcs>> = {
  ...{ git, jj: jujutsu, hg: mercurial },
  ...{ svn: subversion, fossil },
};

export interface VcsWanted {
  /** Of a workspace that has several: its name. Left out: the only one under version control. */
  readonly root?: string | undefined;
  /** It is to change something. */
  readonly acts?: boolean;
  /** Hosts that it may reach. */
  readonly egress?: readonly EgressHost[];
}

export interface OpenedVcs {
  readonly vcs: Vcs;
  readonly copy: Copy;
  /** What paths of the call begin at. */
  readonly workspace: Workspace;
}

/** The version control that the workspace, or a root of it, is under. Throws `VcsError` where there is none. */
export async function openVcs(whole: ToolContext, wanted: VcsWanted = {}): Promise<OpenedVcs> {
  const { root, acts = false, egress = [] } = wanted;
  const workspace = await workspaceOf(whole.workspace, root);
  const refusal = acts ? refusalAt(workspace, workspace.root) : undefined;
  if (refusal !== undefined) throw new VcsError(`Nothing can be changed there: ${refusal}.`);
  const context = { ...whole, workspace };
  const { sandbox } = context;
  const found = await findWorkingCopy(workspace);
  if (found === undefined) throw noVersionControl(root === undefined ? 'The workspace' : `The root ${root}`);
  const vcs = SYSTEMS[found.name];
  const { program, title, env, lookEnv, lookUnconfined, looksAtCopy } = vcs;
  const purpose = `the project is under ${title}`;
  const options = {
    program,
    purpose,
    env,
    lookEnv,
    lookUnconfined,
    egress,
    copied: looksAtCopy && found.directory,
  };
  const below = relative(found.directory, workspace.root);
  const copy: Copy = {
    programs: sandboxedPrograms(context, options),
    root: found.directory,
    prefix: below === '' ? '' : `${below}/`,
    confined: sandbox.confined,
  };
  return { vcs, copy, workspace };
}

function noVersionControl(what: string): VcsError {
  const known = Object.values(SYSTEMS).map(({ title }) => title);
  return new VcsError(`${what} is under no version control; known here are ${known.join(', ')}.`);
}

/** The root that a call means. Throws `VcsError`. */
export async function workspaceOf(workspace: Workspace, name: string | undefined): Promise<Workspace> {
  const { roots, beside = [], kind } = workspace;
  if (roots === undefined) {
    if (name === undefined) return workspace;
    const other = beside.find((each) => each.name === name);
    if (other !== undefined) return oneRoot(workspace, other);
    throw new VcsError(
      `There is no root '${visible(name)}': the workspace is one directory; leave root out.`,
    );
  }
  if (name !== undefined) {
    const named = roots.find((root) => root.name === name);
    if (named !== undefined) return oneRoot(workspace, named);
    throw new VcsError(`There is no root '${visible(name)}'; the roots are ${namesOf(roots)}.`);
  }
  const copies = await Promise.all(roots.map(({ path }) => findWorkingCopy({ root: path, kind })));
  const found = roots.filter((_, index) => copies[index] !== undefined);
  const [only] = found;
  if (only === undefined) throw noVersionControl('None of the roots');
  if (found.length === 1) return oneRoot(workspace, only);
  throw new VcsError(
    `Several roots are under version control; say in root which is meant: ${namesOf(found)}.`,
  );
}

function namesOf(roots: readonly Root[]): string {
  return roots.map(({ name }) => name).join(', ');
}
