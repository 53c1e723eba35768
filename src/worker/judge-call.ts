/** Judges the calls of an answer: finds out what each names, which takes the workspace and a parser, and asks core. */
import { isAbsolute, relative, resolve } from 'node:path';
import type { Effect } from '../core/entry.ts';
import {
  type Always,
  type CallPart,
  concerns,
  type Judgement,
  judge,
  MAX_ALWAYS_LENGTH,
} from '../core/permission.ts';
import type { Call } from '../core/turn.ts';
import { loadShell, type ShellPart } from '../shell/command-parts.ts';
import { isAlwaysAllowed } from '../store/rules.ts';
import type { Tool } from '../tools/tool.ts';
import { visible } from '../workspace/file-tree.ts';
import { refusalAt, rootAt } from '../workspace/named-roots.ts';
import { isWithin } from '../workspace/paths.ts';
import { type Workspace, WorkspacePathError } from '../workspace/workspace.ts';
import type { Run } from './run.ts';
import type { Shell } from './shell.ts';

/** What a rule for redirections is written for. */
const REDIRECTS_AS = 'write_file';

export type Judged =
  | { readonly decision: 'allow' }
  | { readonly decision: 'deny'; readonly reason: string }
  /** `always`: what a person who answers so allows; none where the call can only be allowed once. */
  | { readonly decision: 'ask'; readonly always?: Always };

/** A call as its tool reads it. */
export interface AskedCall {
  readonly tool: Tool;
  readonly args: Readonly<Record<string, unknown>>;
}

/** `effect`: what the call may change here; `argumentsText`: as the model wrote it. */
export async function judgeCall(
  shell: Shell,
  run: Run,
  asked: { readonly name: string; readonly effect: Effect; readonly argumentsText: string },
): Promise<Judged> {
  const { name } = asked;
  const { mode, permissions = {} } = run.profile;
  if (changesNothing(run, asked.effect) && !concerns(permissions, name)) return ALLOWED;
  const tool = run.tools.tools.find((each) => each.name === name);
  if (tool === undefined) return ALLOWED;
  const args = argumentsOf(tool, asked.argumentsText);
  // It will not run: the registry says why.
  if (args === undefined) return ALLOWED;
  const effect = changesNothing(run, asked.effect, args) ? 'read' : withoutDelegating(asked.effect);
  const workspace = await run.workspace(shell.openWorkspace);
  const parts = await partsOf({ tool, args }, workspace);
  const refusal = effect === 'read' ? undefined : refusedIn(parts, workspace);
  if (refusal !== undefined) return { decision: 'deny', reason: refusal };
  const { confined } = shell.sandbox;
  const managed = workspace.kind !== 'local';
  const judgement = strictest(
    judge({ tool: name, effect, parts, confined, managed }, mode, permissions),
    await judgeTyped(run, { asked: { tool, args }, workspace, confined, managed }),
  );
  if (judgement.decision !== 'ask') return judgement;
  const always = alwaysOf({ tool, args }, parts);
  if (always === undefined) return { decision: 'ask' };
  const { teamId, rootId } = run.turn;
  const path = workspace.kind === 'local' ? run.turn.workspace.path : null;
  const isAllowed = await isAlwaysAllowed(shell.db, { teamId, rootId, path, tool: name, always });
  return isAllowed ? ALLOWED : { decision: 'ask', always };
}

/**
 * What is delegated is judged call by call, where it is done. But whoever is asked before anything of their own is changed is asked
 * before a copy of it is, since what becomes of the copy is merged into it.
 */
function changesNothing(run: Run, effect: Effect, args: AskedCall['args'] = {}): boolean {
  if (effect !== 'delegate') return effect === 'read';
  return run.managed || run.profile.mode !== 'safe' || args.isolation === 'shared';
}

function withoutDelegating(effect: Effect): Exclude<Effect, 'delegate'> {
  return effect === 'delegate' ? 'workspace' : effect;
}

/**
 * Why a call that was judged before may not run after all: a call before it has changed where its path leads. A person's own yes
 * stands, unless a rule forbids. Undefined: it may run.
 */
export async function refusalNow(shell: Shell, run: Run, call: Call): Promise<string | undefined> {
  const { name, effect, arguments: argumentsText } = call;
  if (!concerns(run.profile.permissions ?? {}, name)) return undefined;
  const judged = await judgeCall(shell, run, { name, effect, argumentsText });
  if (judged.decision === 'deny') return judged.reason;
  if (judged.decision === 'allow' || !run.judgedAllowed.has(call.id)) return undefined;
  return 'what it names has changed since it was judged, and a person must now be asked. Call it again.';
}

/** What no yes of a person would let happen is not asked about. */
function refusedIn(parts: readonly CallPart[], workspace: Workspace): string | undefined {
  for (const part of parts) {
    const refusal =
      part.kind === 'file' && part.isInside
        ? refusalAt(workspace, resolve(workspace.root, part.path))
        : undefined;
    if (refusal !== undefined)
      return `'${visible(part.kind === 'file' ? part.path : '')}' cannot be changed: ${refusal}.`;
  }
  return undefined;
}

const ALLOWED: Judged = { decision: 'allow' };
const STRICTNESS: Readonly<Record<Judgement['decision'], number>> = { allow: 0, ask: 1, deny: 2 };

function strictest(one: Judgement, other: Judgement): Judgement {
  return STRICTNESS[other.decision] > STRICTNESS[one.decision] ? other : one;
}

interface Typing {
  readonly asked: AskedCall;
  readonly workspace: Workspace;
  readonly confined: boolean;
  readonly managed: boolean;
}

/**
 * What no command may do, none that reaches the network may either; nor what is typed, which may be typed into a shell. What
 * allows the one does not allow the others.
 */
async function judgeTyped(run: Run, { asked, workspace, ...place }: Typing): Promise<Judgement> {
  const { mode, permissions = {} } = run.profile;
  const text = { bash_input: asked.args.text, bash_online: asked.args.command }[asked.tool.name];
  if (typeof text !== 'string' || !concerns(permissions, 'bash')) return ALLOWED;
  const parts = await commandParts(text, workspace);
  // The mode judges the call itself: here, rules alone.
  return judge({ tool: 'bash', effect: 'read', parts, ...place }, mode, permissions);
}

function argumentsOf(tool: Tool, text: string): AskedCall['args'] | undefined {
  let value: unknown = {};
  try {
    if (text.trim() !== '') value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = tool.parameters.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

async function partsOf(asked: AskedCall, workspace: Workspace): Promise<readonly CallPart[]> {
  const command = commandOf(asked);
  if (command !== undefined) return commandParts(command, workspace);
  const paths = pathsOf(asked);
  if (paths === undefined) return [{ kind: 'whole' }];
  return Promise.all(paths.map((path) => filePart(path, workspace)));
}

function commandOf({ tool, args }: AskedCall): string | undefined {
  return /^bash(_online)?$/.test(tool.name) && typeof args.command === 'string' ? args.command : undefined;
}

/** Undefined: it names no files, or nobody knows which. */
function pathsOf({ tool, args }: AskedCall): readonly string[] | undefined {
  if (tool.paths !== undefined) return tool.paths(args);
  if (!('path' in tool.parameters.shape)) return undefined;
  return [typeof args.path === 'string' ? args.path : '.'];
}

/** Files of the workspace that a call names, from its root: none of a command's. */
export async function pathsNamed(
  shell: Shell,
  { name, arguments: text }: Pick<Call, 'name' | 'arguments'>,
  workspace: Workspace,
): Promise<readonly string[]> {
  const tool = shell.tools.tools.find((each) => each.name === name);
  const args = tool && argumentsOf(tool, text);
  const paths = tool && args && pathsOf({ tool, args });
  const parts = await Promise.all((paths ?? []).map((path) => filePart(path, workspace)));
  return parts.flatMap(({ path, isInside }) => (isInside && path !== '.' && !isAbsolute(path) ? [path] : []));
}

let shellLoaded: ReturnType<typeof loadShell> | undefined;

async function commandParts(command: string, workspace: Workspace): Promise<readonly CallPart[]> {
  shellLoaded ??= loadShell();
  const split = await shellLoaded;
  return Promise.all(split(command).map((part) => callPart(part, workspace)));
}

async function callPart(part: ShellPart, workspace: Workspace): Promise<CallPart> {
  if (part.kind !== 'write') return part;
  return { ...(await filePart(part.path, workspace)), tool: REDIRECTS_AS };
}

type FilePart = Extract<CallPart, { kind: 'file' }>;

/** Where a path really leads, symlinks resolved: what a rule must be about. */
async function filePart(path: string, workspace: Workspace): Promise<FilePart> {
  try {
    const real = await workspace.resolve(path);
    const isBeside = workspace.beside?.some(({ path: other }) => isWithin(other, real));
    if (isBeside) return { kind: 'file', path: real, isInside: true };
    const root = rootAt(workspace, real);
    const inRoot = root === undefined ? {} : { inRoot: relative(root.path, real) || '.' };
    return { kind: 'file', path: relative(workspace.root, real) || '.', isInside: true, ...inRoot };
  } catch (error) {
    if (!(error instanceof WorkspacePathError)) throw error;
    return { kind: 'file', path, isInside: false };
  }
}

/** What of a call a person allows for good: all that decides what it does. */
export function alwaysOf(asked: AskedCall, parts: readonly CallPart[]): Always | undefined {
  const always = asked.tool.isAllowedOnce ? undefined : subjectOf(asked, parts);
  if (always === undefined || always.value.length > MAX_ALWAYS_LENGTH) return undefined;
  // The store keeps other characters in their place: what it would compare is not what was shown.
  return CHANGED_WHEN_STORED.test(always.value) || !always.value.isWellFormed() ? undefined : always;
}

/** NUL, as it is and as JSON has it. */
const CHANGED_WHEN_STORED = /\0|\\u(0000|d[89a-f])/i;

function subjectOf({ tool, args }: AskedCall, parts: readonly CallPart[]): Always | undefined {
  if (parts.some((part) => part.kind === 'unparsed')) return undefined;
  const [first] = parts;
  const command = commandOf({ tool, args });
  if (command !== undefined) {
    const { command: _, description: __, timeout: ___, ...more } = args;
    // What else it is told may change what it does.
    return Object.keys(more).length === 0 ? { kind: 'command', value: command } : argumentsAlways(args);
  }
  if (first?.kind === 'file' && parts.length === 1 && first.isInside)
    return { kind: 'path', value: first.path };
  return argumentsAlways(args);
}

/** Its keys in order, so that the same arguments are the same text. */
function argumentsAlways(args: AskedCall['args']): Always {
  const value = JSON.stringify(args, (_key, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
  return { kind: 'arguments', value };
}
