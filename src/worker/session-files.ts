/**
 * What becomes of a session's files around a call that changes them (PROTOCOL 16-18). In a managed workspace the recorded
 * snapshot is what a call begins from, as often as it has to begin. In a `local` one nothing of the user's is put back.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ClosedCallStatus, SeenFile } from '../core/entry.ts';
import { messageOf } from '../core/errors.ts';
import type { Call } from '../core/turn.ts';
import type { Log } from '../log.ts';
import type { BackgroundProcess, ProcessNews } from '../sandbox/background-process.ts';
import { endMarked } from '../sandbox/processes.ts';
import type { LeasedSandbox } from '../sandbox/sandbox.ts';
import { type CallResult, recordFiles } from '../store/turns.ts';
import { readLostProcesses } from '../store/workers.ts';
import type { ToolOutcome } from '../tools/tool.ts';
import type { Checkout, CheckoutHost } from '../workspace/checkouts.ts';
import { visible } from '../workspace/file-tree.ts';
import { emptyScratch } from '../workspace/history.ts';
import type { WorkspaceHost } from '../workspace/kinds.ts';
import { sayRoots } from '../workspace/named-roots.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import type { Snapshots } from '../workspace/snapshots/snapshots.ts';
import { isGone, thisProcess } from './identity.ts';
import { pathsNamed } from './judge-call.ts';
import type { Run } from './run.ts';
import { announce, idsOf, type Shell } from './shell.ts';

/** What the checkouts of a worker share. */
export function checkoutHost(
  { snapshots, sandbox, log }: { snapshots: Snapshots; sandbox: Partial<LeasedSandbox>; log: Log },
  host: WorkspaceHost,
): CheckoutHost {
  const { mark } = sandbox;
  const self = { ...thisProcess(), ...(mark === undefined ? {} : { mark }) };
  return {
    ...host,
    ...{ snapshots, self, boot: self.host },
    // What was still there is being killed: the next run may find the place free.
    isGone: (other) => isGone(other, self) && !(other.mark && endMarked(other.mark)),
    onError: (error) => log.warn({ error: messageOf(error) }, 'could not clear up after a workspace'),
  };
}

export interface Changed {
  readonly status: ClosedCallStatus;
  readonly text: string;
  readonly images?: ToolOutcome['images'];
  /** Files that it showed or made. */
  readonly seen?: readonly SeenFile[];
  /** Ignored ones that are there after it. */
  readonly ignored?: readonly string[];
  readonly filledDisk?: true;
  /** Where the files are not what they were. */
  readonly snapshot?: string;
  readonly processes?: ProcessNews;
  readonly merged?: readonly string[];
  readonly todos?: ToolOutcome['todos'];
}

/**
 * Before calls that change files. In a `local` workspace what the user changed since the last one is recorded, so that it is told
 * apart from what they do. In any, ignored files that they name become part of the work as they are now, to be put back so.
 * `flush` commits the results so far, which come before. False: the turn is somebody else's.
 */
export async function noteFiles(
  shell: Shell,
  run: Run,
  { calls, flush }: { readonly calls: readonly Call[]; readonly flush: () => Promise<boolean> },
): Promise<boolean> {
  const checkout = await run.workspace(shell.openWorkspace);
  if (run.background.takeFilled()) await makeRoom(run, checkout);
  const named = await Promise.all(calls.map((call) => pathsNamed(shell, call, checkout)));
  const unheld = await checkout.unheld(named.flat());
  if (run.managed && unheld.length === 0) return true;
  const { snapshot, changed } = await checkout.recordBefore(unheld);
  if (!changed) return true;
  if (!(await flush())) return false;
  await run.shareFiles();
  const outcome = await recordFiles(shell.db, run.held, { snapshot });
  if (outcome.outcome === 'fenced') return false;
  await announce(shell, run.turn.rootId, outcome);
  return true;
}

/** What a call's result keeps: the list that it hands in, and of files nothing that the log says already. */
export function notedOf(
  shell: Shell,
  run: Run,
  { seen = [], ignored, todos }: Pick<Changed, 'seen' | 'ignored' | 'todos'>,
): Pick<CallResult, 'noted'> {
  const known = shell.seen.of(run.turn.sessionId, run).ignored;
  const isNew = ignored !== undefined && !isDeepStrictEqual(ignored, known);
  const noted = { ...(seen.length > 0 && { seen }), ...(isNew && { ignored }), ...(todos && { todos }) };
  return Object.keys(noted).length === 0 ? {} : { noted };
}

/** What commands in the background did to the files since the last snapshot; it goes with the results so far, or by itself. */
export async function noteMotion(shell: Shell, run: Run): Promise<void> {
  const checkout = await run.openedWorkspace();
  if (checkout === undefined) return;
  if (run.background.takeFilled()) await makeRoom(run, checkout);
  if (!checkout.isInMotion) return;
  try {
    const { snapshot, changed, ignored } = await checkout.record();
    const files = { ...notedOf(shell, run, { ignored }), ...(changed ? { snapshot } : {}) };
    if (run.addFiles(files) || !changed) return;
    await checkout.share();
    const outcome = await recordFiles(shell.db, run.held, { snapshot });
    if (outcome.outcome === 'recorded') await announce(shell, run.turn.rootId, outcome);
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    shell.log.warn(
      { ...idsOf(run.turn), error: messageOf(error) },
      'could not record what background commands did',
    );
    await putBack(run, checkout);
  }
}

/** To the newest snapshot, where that may be. Returns the commands that had to be ended for it: those that were changing the files. */
async function putBack({ background }: Run, checkout: Checkout): Promise<readonly BackgroundProcess[]> {
  if (!checkout.managed) return [];
  const running = background.open.filter(({ end }) => end === undefined);
  await background.stop('undo');
  await checkout.undo();
  return running;
}

/** After a call. What cannot be recorded is put back where that may be, and is no success. */
export async function recorded(
  run: Run,
  checkout: Checkout,
  { written, filledDisk, ...outcome }: Omit<Changed, 'snapshot'> & { readonly written: readonly string[] },
): Promise<Changed> {
  if (run.background.takeFilled() || filledDisk) return roomMade(run, checkout, { ...outcome, written });
  try {
    const { snapshot, changed, ignored, refused } = await checkout.record(written);
    const told = refused === undefined ? '' : `\n${sayRefused(refused, checkout)}`;
    return { ...outcome, text: `${outcome.text}${told}`, ignored, ...(changed ? { snapshot } : {}) };
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    const killed = await putBack(run, checkout);
    const fate = checkout.managed
      ? 'They were put back to what they were before the call.'
      : 'They are as it left them.';
    const status = outcome.status === 'succeeded' ? 'failed' : outcome.status;
    const text = `${outcome.text}\n[the files could not be recorded after this call: ${messageOf(error)} ${fate}${forThat(killed)}]`;
    const { seen, ...others } = outcome;
    // What the agent made of them was put back with them.
    const known = checkout.managed || seen === undefined ? {} : { seen };
    return { ...others, ...known, status, text, ...toldOf(outcome, killed) };
  }
}

/** Only what nothing confines can have done that. */
function sayRefused(refused: readonly string[], { roots = [] }: Checkout): string {
  const isRoot = (name: string) => roots.some((root) => root.name === name);
  const [named, others] = [refused.filter(isRoot), refused.filter((name) => !isRoot(name))];
  const parts = [
    ...(named.length === 0 ? [] : [`what was changed of ${named.map(visible).join(', ')} was put back`]),
    ...(others.length === 0
      ? []
      : [`what was made beside the roots was removed: ${others.map(visible).join(', ')}`]),
  ];
  return `[${parts.join('; ')}. Of the roots ${sayRoots(roots)}.]`;
}

/** After a call that was ended because it filled the disk. To record what it wrote would take as much again. */
async function roomMade(
  run: Run,
  checkout: Checkout,
  outcome: Omit<Changed, 'snapshot'> & { readonly written: readonly string[] },
): Promise<Changed> {
  const { written, ...rest } = outcome;
  const killed = await makeRoom(run, checkout);
  const removed = "the session's temporary files and caches were removed";
  if (!checkout.managed) {
    const text = `${rest.text}\n[to make room, ${removed}. The files of the workspace are as the command left them.]`;
    return recorded(run, checkout, { ...rest, text, written });
  }
  const files = 'the files were put back to what they were before the call';
  const status = rest.status === 'succeeded' ? 'failed' : rest.status;
  const text = `${rest.text}\n[to make room, ${files}, and ${removed}.${forThat(killed)}]`;
  // What the agent made of them was put back with them.
  const { seen: _, ...others } = rest;
  return { ...others, status, text, ...toldOf(rest, killed) };
}

/** Returns the commands that had to be ended for it. */
async function makeRoom(run: Run, checkout: Checkout): Promise<readonly BackgroundProcess[]> {
  const killed = await putBack(run, checkout);
  await emptyScratch(checkout.scratch);
  return killed;
}

function forThat(killed: readonly BackgroundProcess[]): string {
  const names = killed.map(({ name }) => name).join(', ');
  return names === '' ? '' : ` For that, ${names} had to be killed.`;
}

function toldOf({ processes }: Pick<Changed, 'processes'>, killed: readonly BackgroundProcess[]) {
  if (killed.length === 0) return {};
  for (const process of killed) process.isTold = true;
  const ended = [...(processes?.ended ?? []), ...killed.map((process) => process.ended())];
  return { processes: { ...processes, ended } };
}

/**
 * The calls of a turn that another attempt has begun, with what can be learnt of those that it left in the middle: one whose
 * files are as they were before runs again, where it is no command and its worker is proven gone; of another the model is
 * told what it left.
 */
export async function afterLoss(shell: Shell, run: Run): Promise<void> {
  const lost = run.calls.find(({ status, effect }) => status === 'started' && effect !== 'read');
  if (lost === undefined) return;
  const isKnown = run.turn.workspace.head !== null;
  const traces = run.managed ? PUT_BACK : isKnown ? await tracesOf(shell, run) : '';
  // What a command did to ignored files, or to its caches, no snapshot tells.
  const isOfFiles = shell.tools.effectOf(lost.name, false) === 'workspace';
  const mayRunAgain = !run.managed && isKnown && traces === '' && isOfFiles && lost.effect === 'workspace';
  if (mayRunAgain && (await nobodyGoesOn(shell, run))) run.begins(lost);
  else run.reread(run.calls.map((call) => (call === lost ? leaving(call, traces) : call)));
}

/** In the user's own directory a worker that stood still, and comes back, may still begin what it had been told to. */
async function nobodyGoesOn(shell: Shell, run: Run): Promise<boolean> {
  const lost = await readLostProcesses(shell.db, run.turn.id);
  return lost.every((other) => isGone(other));
}

const TRACES = 'Files have changed since before the call, by the call or by the user.';
const PUT_BACK = "The workspace's files are as they were before the call.";

function leaving(call: Call, traces: string): Call {
  return traces === '' ? call : { ...call, traces };
}

async function tracesOf(shell: Shell, run: Run): Promise<string> {
  const checkout = await run.workspace(shell.openWorkspace);
  return (await checkout.isUnchanged()) ? '' : TRACES;
}
