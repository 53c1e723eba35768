import type { Command, Sandbox } from '../sandbox/sandbox.ts';
import { userIdentity } from '../workspace/git-identity.ts';
import type { Workspace } from '../workspace/workspace.ts';
import { type HeldFiles, heldFor } from './held-metadata.ts';

export type CommandPlaces = Omit<Command, 'script' | 'timeoutMs' | 'onOutput'>;

/** Where a command of an agent runs: in the root, which it may change, as who works there. */
export async function commandPlaces(workspace: Workspace, sandbox: Sandbox): Promise<CommandPlaces> {
  const { root, shown, scratch } = workspace;
  // A shell shows where it is by the name that it is given, if that leads there.
  const link = shown === root ? {} : { link: { path: shown, to: root } };
  const held = workspace.kind === 'local' && sandbox.confined ? heldFor(root) : NOTHING_HELD;
  const writable = [root, ...held.writable];
  const gitSettings = await identityOf(workspace, sandbox);
  const { readable, absent } = held;
  return { cwd: root, writable, readable, absent, ...link, scratch, env: { PWD: shown }, gitSettings };
}

/** The same, for a command that is only to look. */
export async function lookingPlaces(workspace: Workspace, sandbox: Sandbox): Promise<CommandPlaces> {
  const places = await commandPlaces(workspace, sandbox);
  return { ...places, writable: [], readable: [workspace.root], absent: [] };
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
