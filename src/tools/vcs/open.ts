import { relative } from 'node:path';
import type { EgressHost } from '../../core/egress.ts';
import { findWorkingCopy, type VersionControlName } from '../../workspace/working-copy.ts';
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

/** The version control that the workspace is under. Throws `VcsError` where there is none. `egress`: hosts that it may reach. */
export async function openVcs(
  context: ToolContext,
  egress: readonly EgressHost[] = [],
): Promise<{ readonly vcs: Vcs; readonly copy: Copy }> {
  const { workspace, sandbox } = context;
  const found = await findWorkingCopy(workspace);
  if (found === undefined) {
    const known = Object.values(SYSTEMS).map(({ title }) => title);
    throw new VcsError(`The workspace is under no version control; known here are ${known.join(', ')}.`);
  }
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
  return { vcs, copy };
}
