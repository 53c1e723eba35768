/**
 * Performs a turn's calls. The order of commits is what accounts for effects (promise 3): a call that changes something
 * begins only after a commit says `started`; what was started by an attempt that is gone never runs again here.
 */
import type { FilePart, SeenFile } from '../core/entry.ts';
import { toPublicId } from '../core/id.ts';
import { truncateForModel } from '../core/truncate.ts';
import { type Call, type CallReport, startsByCommit } from '../core/turn.ts';
import { putOutput, readOutputPage } from '../store/outputs.ts';
import { type CallResult, recordResults } from '../store/turns.ts';
import { READ_OUTPUT } from '../tools/read-output.ts';
import type { OutputRange, ToolImage, ToolOutcome } from '../tools/tool.ts';
import { CallSeen } from '../workspace/seen-files.ts';
import { handBack } from './end-turn.ts';
import { pathsNamed, refusalNow } from './judge-call.ts';
import { LiveText } from './live.ts';
import { whyAway } from './mcp-tools.ts';
import { mergeKept } from './merge-child.ts';
import type { Run } from './run.ts';
import type { Progress } from './run-turn.ts';
import { type Changed, notedOf, noteFiles, recorded } from './session-files.ts';
import { announce, isSafe, type Shell } from './shell.ts';
import { atMost } from './slots.ts';
import { toolSpan } from './spans.ts';

/** Results share a commit, but not for longer than this. */
const FLUSH_MS = 250;
/** A tool that goes on for so long after it was told to stop is left behind: it holds nobody up. */
export const OBEY_MS = 1_000;
/** Of one answer, which may ask for over a hundred: each takes memory and the process's only thread. */
export const READS_AT_ONCE = 8;

/** `calls`: several that merely read, or one that changes something. */
export async function runTools(shell: Shell, run: Run, calls: readonly Call[]): Promise<Progress> {
  const changing = calls.filter((call) => call.effect !== 'read');
  const flush = async () => run.pending.length === 0 || (await commit(shell, run, []));
  if (changing.length > 0 && !(await noteFiles(shell, run, { calls: changing, flush }))) return 'ended';
  const starting = calls.filter((call) => startsByCommit(call, run.managed)).map((call) => call.id);
  if (starting.some((id) => !run.started.has(id)) && !(await commit(shell, run, starting))) return 'ended';
  const slot = atMost(READS_AT_ONCE);
  const finished = await Promise.all(
    calls.map((call) => run.reading.get(call.id) ?? slot(() => runCall(shell, run, call))),
  );
  run.reading.clear();
  close(run, calls, finished);
  if (run.stopped === 'lost') return 'ended';
  if (finished.includes(undefined)) return run.isHandedBack ? handBack(shell, run) : 'go_on';
  const late = run.pending.length > 0 && performance.now() - run.pendingSince > FLUSH_MS;
  return late && !(await commit(shell, run, [])) ? 'ended' : 'go_on';
}

export function close(run: Run, calls: readonly Call[], finished: readonly (CallResult | undefined)[]): void {
  for (const [index, call] of calls.entries()) {
    const result = finished[index];
    if (result !== undefined) run.closed(call, result, performance.now());
  }
}

/**
 * Begins calls that merely read, before a commit has the answer that asked for them. Their results, if each has one within
 * `readGraceMs`; else undefined, and `runTools` waits for what was begun.
 */
export async function readAtOnce(
  shell: Shell,
  run: Run,
  calls: readonly Call[],
): Promise<readonly CallResult[] | undefined> {
  if (calls.length === 0) return [];
  if (shell.readGraceMs === 0) return undefined;
  const slot = atMost(READS_AT_ONCE);
  for (const call of calls)
    run.reading.set(
      call.id,
      slot(() => runCall(shell, run, call)),
    );
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), shell.readGraceMs);
  const all = Promise.all(run.reading.values());
  // What failed fails again in `runTools`, once the answer is committed.
  const finished = await Promise.race([all.catch(() => undefined), late.promise]);
  clearTimeout(timer);
  if (finished === undefined || finished.includes(undefined)) return undefined;
  run.reading.clear();
  return finished.filter((result) => result !== undefined);
}

export function reportCalls(run: Run, reports: readonly CallReport[]): Progress {
  for (const { call, status, text } of reports) {
    run.closed(call, { id: call.id, status, parts: [{ type: 'text', text }] }, performance.now());
  }
  return run.stopped === 'lost' ? 'ended' : 'go_on';
}

/** Commits the results so far and the start of `start`. False: the turn is somebody else's. */
export async function commit(shell: Shell, run: Run, start: readonly string[]): Promise<boolean> {
  await run.shareFiles();
  const outcome = await recordResults(shell.db, run.held, { results: run.takePending(), start });
  if (outcome.outcome === 'fenced') return false;
  for (const id of start) run.started.add(id);
  await announce(shell, run.turn.rootId, outcome);
  return true;
}

/** Undefined: the run stopped before this call had an outcome that counts, and it may simply run again. */
async function runCall(shell: Shell, run: Run, call: Call): Promise<CallResult | undefined> {
  const began = performance.now();
  const outcome = call.effect === 'read' ? await read(shell, run, call) : await change(shell, run, call);
  if (outcome === undefined) return undefined;
  const durationMs = Math.round(performance.now() - began);
  const { status, text, images = [], seen: _, ignored: __, todos: ___, ...files } = outcome;
  const { parts, ...whole } = await shown(shell, run, { call, whole: text });
  const shownImages = await Promise.all(images.map((image) => stored(shell, run, image)));
  const noted = notedOf(shell, run, outcome);
  return { id: call.id, status, durationMs, ...noted, ...files, ...whole, parts: [...parts, ...shownImages] };
}

async function read(shell: Shell, run: Run, call: Call): Promise<Changed | undefined> {
  // One that waited for others to end must not begin in a run that is over.
  if (run.signal.aborted) return undefined;
  const { outcome, seen } = await execute(shell, run, { call, signal: run.signal });
  return run.signal.aborted ? undefined : { ...closed(outcome), seen };
}

async function change(shell: Shell, run: Run, call: Call): Promise<Changed | undefined> {
  const isCommitted = startsByCommit(call, run.managed);
  if (!(await isSafe(shell, run))) {
    // Committed as started, but it did not begin: known, unlike one whose worker was lost.
    return run.stopped === 'lost' || !isCommitted
      ? undefined
      : { status: 'interrupted', text: `Not run: ${why(run)}.` };
  }
  if (run.tools.effectOf(call.name, shell.sandbox.confined) === 'external' && call.effect !== 'external')
    return UNCONFINED;
  const checkout = await run.workspace(shell.openWorkspace);
  checkout.disturb();
  const signal = isCommitted ? run.changesSignal : run.signal;
  const { outcome, seen } = await execute(shell, run, { call, signal });
  if (outcome === LEFT_BEHIND) checkout.abandon();
  if (outcome.moved !== undefined && !signal.aborted) return { ...closed(outcome), ...outcome.moved };
  const written = await pathsNamed(shell, call, checkout);
  if (!signal.aborted) return recorded(run, checkout, { ...closed(outcome), seen, written });
  // It runs again, from the files as they were.
  if (!isCommitted && (run.isHandedBack || run.stopped === 'lost')) return undefined;
  const text = `${outcome.text}\n[interrupted: ${why(run)}]`;
  return recorded(run, checkout, { ...closed(outcome), status: 'interrupted', text, seen, written });
}

function why({ stopped = 'drain' }: Run): string {
  return WHY[stopped];
}

function closed({ images, isError, ...outcome }: ToolOutcome): Changed {
  if (isError) return { ...outcome, status: 'failed' };
  return { ...outcome, status: 'succeeded', ...(images === undefined ? {} : { images }) };
}

/** It was allowed as one that a sandbox confines; a worker without one, on the same or another host, must not run it. */
const UNCONFINED: Changed = {
  status: 'failed',
  text: 'Not run: the call was to be confined to the workspace, and the worker that has the turn now has no sandbox. Ask again.',
};

const WHY = {
  cancel: 'the task was cancelled',
  deadline: 'the task reached its time limit',
  pause: 'the task was paused; it was not run again',
  drain: 'the worker that ran it was stopped; it was not run again',
  lost: 'the worker lost the turn',
} as const;

interface Executed {
  readonly outcome: ToolOutcome;
  /** Files that the call showed or made. */
  readonly seen: readonly SeenFile[];
}

function unseen(outcome: ToolOutcome): Executed {
  return { outcome, seen: [] };
}

async function execute(
  shell: Shell,
  run: Run,
  act: { readonly call: Call; readonly signal: AbortSignal },
): Promise<Executed> {
  const { rootId, sessionId, taskId, number } = run.turn;
  const { id, callId, name, arguments: args } = act.call;
  const away = whyAway(run, name);
  if (away !== undefined) return unseen({ text: away, isError: true });
  const live = new LiveText((text) =>
    shell.bus.publish({ type: 'tool_output', rootId, sessionId, taskId, turn: number, callId, text }),
  );
  const workspace = await run.workspace(shell.openWorkspace);
  const seen = new CallSeen(workspace.root, shell.seen.of(sessionId, run));
  const context = {
    workspace,
    sandbox: shell.sandbox,
    background: run.background,
    seen,
    signal: act.signal,
    onOutput: (text: string) => live.add(text),
    readOutput: (outputOf: string, range: OutputRange) =>
      readOutputPage(shell.db, { rootId, callId: outputOf }, range),
    mergeChild: (session: string) => mergeKept(shell, run, session),
  };
  const refusal = await refusalNow(shell, run, act.call);
  if (refusal !== undefined) return unseen({ text: `Denied: ${refusal}`, isError: true });
  run.begun.add(id);
  const span = toolSpan(shell, run, act.call);
  try {
    const outcome = await orLeft(run.tools.execute(name, args, context), act.signal);
    if (outcome.isError) span.fail(act.signal.aborted ? 'interrupted' : 'tool_error');
    return { outcome, seen: seen.noted };
  } finally {
    span.end();
    live.flush();
  }
}

async function orLeft(outcome: Promise<ToolOutcome>, signal: AbortSignal): Promise<ToolOutcome> {
  const left = Promise.withResolvers<ToolOutcome>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    timer = setTimeout(() => left.resolve(LEFT_BEHIND), OBEY_MS);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([outcome, left.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

const LEFT_BEHIND: ToolOutcome = {
  text: 'The tool did not stop when it was told to. It may still go on.',
  isError: true,
};

/** What the model sees of a result, with the whole stored where it sees it cut, and how to read that. */
export async function shown(
  shell: Shell,
  run: Run,
  { call, whole }: { readonly call: Call; readonly whole: string },
): Promise<Pick<CallResult, 'parts' | 'outputHash'>> {
  const howToRead = (offset: number) =>
    `${READ_OUTPUT} shows them: id "${toPublicId('output', call.id)}", offset ${offset}`;
  const limits = run.profile.tools.includes(READ_OUTPUT) ? { howToRead } : {};
  const { text, cut } = truncateForModel(whole, limits);
  const parts = [{ type: 'text' as const, text }];
  return cut ? { parts, outputHash: await putOutput(shell.db, run.turn.sessionId, whole) } : { parts };
}

/** Before the commit of the entry that names it. */
export async function stored(shell: Shell, run: Run, { bytes, ...image }: ToolImage): Promise<FilePart> {
  const hash = await shell.images.put(shell.db, run.turn.sessionId, bytes);
  return { type: 'file', ...image, bytes: bytes.length, hash };
}
