import type { Command, Sandbox } from '../sandbox/sandbox.ts';
import { userIdentity } from '../workspace/git-identity.ts';
import type { Workspace } from '../workspace/workspace.ts';
import { type HeldFiles, heldFor } from './held-metadata.ts';

export type CommandPlaces = Omit<Command, 'script' | 'timeoutMs' | 'onOutput'>;

/** Where a command of an agent runs: in the root, which it may change, as who works there. Of several roots it may change some. */
export async function commandPlaces(workspace: Workspace, sandbox: Sandbox): Promise<CommandPlaces> {
  const { root, shown, scratch, roots, beside = [] } = workspace.whole ?? workspace;
  // A shell shows where it is by the name that it is given, if that leads there.
  const link = shown === root ? {} : { link: { path: shown, to: root } };
  const gitSettings = await identityOf(workspace, sandbox);
  const places = { cwd: workspace.root, env: { PWD: workspace.shown }, ...link, scratch, gitSettings };
  if (roots !== undefined) {
    const writable = roots.filter(({ access }) => access === 'write').map(({ path }) => path);
    return { ...places, writable, around: root };
  }
  const held = workspace.kind === 'local' && sandbox.confined ? heldFor(root) : NOTHING_HELD;
  const readable = [...held.readable, ...beside.map(({ path }) => path)];
  return { ...places, writable: [root, ...held.writable], readable, absent: held.absent };
}

/** The same, for a command that is only to look. */
export async function lookingPlaces(workspace: Workspace, sandbox: Sandbox): Promise<CommandPlaces> {
  const { around: _, ...places } = await commandPlaces(workspace, sandbox);
  const { root, beside = [] } = workspace.whole ?? workspace;
  return { ...places, writable: [], readable: [root, ...beside.map(({ path }) => path)], absent: [] };
}

const NOTHING_HELD: HeldFiles = { writable: [], readable: [], absent: [] };

const identities = new WeakMap<Workspace, ReturnType<typeof userIdentity>>();

/** In the user's own directory commits are theirs; a confined command does not see who they are. */
async function identityOf(
  workspace: Workspace,
  { confined }: Sandbox,
): Promise<Readonly<Record<string, string>>> {
  if (workspace.kind !== 'local' || !confined) return {};
  const identity = identities.get(workspace) ?? userIdentity(workspace.root);
  identities.set(workspace, identity);
  return identity;
}
