/** One attempt at a turn, while this process holds it. */
import type { ContextLimits } from '../core/context-size.ts';
import type { Entry, NewEntry } from '../core/entry.ts';
import { narrowed, type Profile } from '../core/profile.ts';
import { type Call, isClosed, type TurnLimits, type TurnLog } from '../core/turn.ts';
import type { FoundRoots, FoundSource, ProjectServers, Source } from '../core/workspace.ts';
import type { MissingServer } from '../mcp/client/bridge.ts';
import type { BackgroundProcesses } from '../sandbox/background.ts';
import type { CallResult, ClaimedTurn, Held, RecordedAnswer, Wake } from '../store/turns.ts';
import type { Registry } from '../tools/registry.ts';
import { NO_SPAN, type Span } from '../tracing/tracing.ts';
import type { Checkout } from '../workspace/checkouts.ts';
import { misfitOf } from './misfit.ts';

/**
 * Why a run stops early.
 *
 * - `cancel`, `deadline`: the task ends; everything is aborted at once.
 * - `pause`: the turn is handed back at once, and goes on when the task is resumed.
 * - `drain`: this worker stops; the turn goes on elsewhere. A call that changes something gets `drainGraceMs` to end.
 * - `lost`: another attempt has the turn; nothing may be written.
 */
export type StopReason = 'cancel' | 'deadline' | 'pause' | 'drain' | 'lost';

/** The files that a session begins with, and what their repositories say. */
export interface Provisioned {
  readonly snapshot: string;
  readonly found: FoundSource | FoundRoots;
}

export interface RunState {
  /** What `Lease.unbroken` was before the turn was claimed. */
  readonly unbroken: string;
  readonly turn: ClaimedTurn;
  readonly profile: Profile;
  /** The session's log up to now; the run adds to it. */
  readonly entries: Entry[];
  readonly calls: readonly Call[];
  /** The session's commands that go on in the background. */
  readonly background: BackgroundProcesses;
  /** What its agent can call that comes with Capybara. */
  readonly tools: Registry;
}

function foundIn({ workspace: { source } }: ClaimedTurn): FoundSource | FoundRoots | undefined {
  return source !== null && 'found' in source ? source.found : undefined;
}

export class Run {
  readonly held: Held;
  readonly background: BackgroundProcesses;
  /** Calls whose start this attempt has committed: the only ones it may run that change something. */
  readonly started = new Set<string>();
  /** While it equals the lease's, nobody can have taken the turn over. */
  unbroken: string;
  /** Calls that this attempt judged, and nobody had to be asked about. */
  readonly judgedAllowed = new Set<string>();
  /** Calls that were handed to their tool. */
  readonly begun = new Set<string>();
  /** Results that no commit has yet. */
  pending: CallResult[] = [];
  pendingSince = 0;
  /** Whom the turn's request goes to, in full. */
  model: string;
  /** The request has taken a share of what its provider's key allows. */
  hasShare = false;
  answerPosition: number | null;
  /** The session's next turn, where this worker goes on with it by itself. */
  next: Wake | undefined;
  /** The commit that ends the attempt is under way. It alone says whether the turn was lost meanwhile: once it is done, others find the turn no longer held. */
  isLeaving = false;
  /** What the request may have, where the log is long enough for that to matter. */
  context: ContextLimits | undefined;
  /** All that its agent can call; those of MCP servers since `bringTools`. */
  tools: Registry;
  /** Tools of which the model is told once it has found them. */
  searched: ReadonlySet<string> = new Set();
  /** Ends what may still write to the files. */
  onLeave: () => Promise<void> = async () => {};
  /** MCP servers of its agent whose tools are not there. */
  missing: readonly MissingServer[] = [];
  /** What this attempt is in a trace. */
  span: Span = NO_SPAN;
  /** See `TurnLimits.misfit`. */
  readonly misfit: TurnLimits['misfit'];
  /** Reads that were begun before the answer's commit, by their call: none runs twice for that. */
  readonly reading = new Map<string, Promise<CallResult | undefined>>();
  /** The answer, where nothing is left to do but to settle: it shares that commit. */
  #uncommitted: RecordedAnswer | undefined;
  #turn: ClaimedTurn;
  #profile: Profile;
  #workspace: Promise<Checkout> | undefined;
  readonly #entries: Entry[];
  /** How many entries of the log Postgres had told when the run began. */
  readonly told: number;
  #calls: readonly Call[];
  #stopped: StopReason | undefined;
  readonly #abort = new AbortController();
  readonly #abortChanges = new AbortController();

  constructor(state: RunState) {
    this.unbroken = state.unbroken;
    this.#turn = state.turn;
    this.held = { turnId: state.turn.id, attemptId: state.turn.attemptId };
    this.#profile = narrowed(state.profile, foundIn(state.turn)?.rules ?? []);
    this.background = state.background;
    this.tools = state.tools;
    this.model = state.profile.model;
    this.answerPosition = state.turn.answerPosition;
    this.#entries = state.entries;
    this.told = state.entries.length;
    this.#calls = state.calls;
    this.misfit = misfitOf(state.turn.delegation.resultSchema);
  }

  get turn(): ClaimedTurn {
    return this.#turn;
  }

  /** MCP servers of the project, as it was when the session began. */
  get projectServers(): ProjectServers {
    const found = foundIn(this.#turn);
    return (found && 'servers' in found && found.servers) || (this.#turn.workspace.projectServers ?? {});
  }

  /** What the task was submitted with, narrowed by the rules of the repository that it works on. */
  get profile(): Profile {
    return this.#profile;
  }

  /** A commit says what the files of the workspace are to begin with. */
  provisioned({ snapshot, found }: Provisioned): void {
    const { workspace } = this.#turn;
    const source = workspace.source && ({ ...workspace.source, found } as Source);
    this.#turn = {
      ...{ ...this.#turn, retries: 0, takeovers: 0 },
      workspace: { ...workspace, source, base: workspace.base ?? snapshot, head: snapshot },
    };
    this.#profile = narrowed(this.#profile, found.rules);
  }

  /** Aborts model requests and calls that merely read, as soon as the run stops for whatever reason. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Aborts calls that change something. */
  get changesSignal(): AbortSignal {
    return this.#abortChanges.signal;
  }

  get stopped(): StopReason | undefined {
    return this.#stopped;
  }

  /** Another attempt goes on with the turn. */
  get isHandedBack(): boolean {
    return this.#stopped === 'drain' || this.#stopped === 'pause';
  }

  /** The first reason counts, except that a lost turn is lost whatever else was asked. */
  stop(reason: StopReason, drainGraceMs = 0): void {
    if (this.isLeaving && reason === 'lost') return;
    if (this.#stopped === undefined || reason === 'lost') this.#stopped = reason;
    this.#abort.abort(new Error(`stopped: ${reason}`));
    const abortChanges = () => this.#abortChanges.abort(new Error(`stopped: ${reason}`));
    if (reason === 'drain' && drainGraceMs > 0) setTimeout(abortChanges, drainGraceMs).unref();
    else abortChanges();
  }

  /** Nothing that the run began outlives it, also where an error ended it. */
  async close(): Promise<void> {
    this.#abort.abort(new Error('the run has ended'));
    this.#abortChanges.abort(new Error('the run has ended'));
    await this.leaveWorkspace();
  }

  log(): TurnLog {
    const stop =
      this.#stopped === 'cancel' ? 'cancelled' : this.#stopped === 'deadline' ? 'limit_seconds' : undefined;
    return {
      entries: this.#entries,
      answerPosition: this.answerPosition,
      calls: this.#calls,
      ...(this.turn.kind === 'compaction' ? { overflowed: true } : {}),
      ...(stop === undefined ? {} : { stop }),
    };
  }

  limits(): TurnLimits {
    const { number, uncounted, turnLimit } = this.turn;
    return {
      ...{ turn: number - uncounted, turnLimit },
      ...(this.context === undefined ? {} : { context: this.context }),
      ...(this.misfit === undefined ? {} : { misfit: this.misfit }),
    };
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Capybara puts the workspace's files back before it runs an interrupted call again. */
  get managed(): boolean {
    return this.turn.workspace.kind !== 'local';
  }

  /** Opened once, when something first needs it. */
  workspace(open: (turn: ClaimedTurn) => Promise<Checkout>): Promise<Checkout> {
    this.#workspace ??= open(this.turn);
    return this.#workspace;
  }

  /** The files, where something has opened them. */
  async openedWorkspace(): Promise<Checkout | undefined> {
    return this.#workspace?.catch(() => undefined);
  }

  /** Before a commit that names snapshots. */
  async shareFiles(): Promise<void> {
    await (await this.openedWorkspace())?.share();
  }

  /** As `shareFiles`, and before the commit after which another run may work on the files. `keeps`: somebody keeps them for it. */
  async leaveWorkspace(keeps: (checkout: Checkout) => boolean = () => false): Promise<void> {
    await this.onLeave();
    const opened = this.#workspace;
    this.#workspace = undefined;
    const checkout = await opened?.catch(() => undefined);
    try {
      await checkout?.share();
    } finally {
      if (checkout !== undefined && !keeps(checkout)) checkout.release();
    }
  }

  /** The answer is in the log; from here on the calls are what is left to do. */
  answered(entries: readonly NewEntry[], calls: readonly Call[]): void {
    this.#append(entries);
    this.answerPosition = this.#entries.length;
    this.#calls = calls;
  }

  /** As above, but no commit has the answer: the one that settles the turn will. */
  answeredUncommitted(entries: readonly NewEntry[], calls: readonly Call[], answer: RecordedAnswer): void {
    this.answered(entries, calls);
    this.#uncommitted = answer;
  }

  takeUncommitted(): { readonly answer?: RecordedAnswer } {
    const answer = this.#uncommitted;
    this.#uncommitted = undefined;
    return answer === undefined ? {} : { answer };
  }

  /** The call is done; its result waits for a commit, but what comes next may be decided on it. */
  closed(call: Call, result: CallResult, now: number): void {
    if (this.pending.length === 0) this.pendingSince = now;
    this.pending.push(result);
    this.#calls = this.#calls.map((other) =>
      other.id === call.id ? { ...other, status: result.status } : other,
    );
    const { parts, status, noted } = result;
    const entry = { kind: 'tool_result' as const, callId: call.callId, parts, status };
    this.#append([noted === undefined ? entry : { ...entry, noted }]);
  }

  get calls(): readonly Call[] {
    return this.#calls;
  }

  /** Another attempt has committed the call's start, and it is known to have done nothing: it runs in this one. */
  begins(call: Call): void {
    this.started.add(call.id);
    this.reread(this.#calls);
  }

  /** Calls whose start is committed but that never began: what became of them is known. */
  notBegun(): Call[] {
    return this.#calls.filter(
      (call) => this.started.has(call.id) && !this.begun.has(call.id) && !isClosed(call.status),
    );
  }

  /** These calls have delegated, and wait for it. */
  delegated(ids: readonly string[]): void {
    this.#calls = this.#calls.map((call) =>
      ids.includes(call.id) ? { ...call, status: 'started', child: 'open' } : call,
    );
  }

  /** The calls as they stand in Postgres now, where a person's answer, or a child's end, may have changed them. */
  reread(calls: readonly Call[]): void {
    this.#calls = calls.map((call) =>
      this.started.has(call.id) && call.status === 'started' ? { ...call, status: 'requested' } : call,
    );
  }

  /** What is newest of the files goes with the last result that no commit has yet. False: there is none. */
  addFiles({ noted, ...files }: Pick<CallResult, 'snapshot' | 'noted'>): boolean {
    const last = this.pending.at(-1);
    if (last === undefined) return false;
    const both = noted === undefined ? {} : { noted: { ...last.noted, ...noted } };
    this.pending = [...this.pending.slice(0, -1), { ...last, ...files, ...both }];
    return true;
  }

  /** Hands the results over to the commit that will carry them. */
  takePending(): CallResult[] {
    const results = this.pending;
    this.pending = [];
    return results;
  }

  #append(entries: readonly NewEntry[]): void {
    for (const entry of entries) {
      this.#entries.push({ ...entry, position: this.#entries.length + 1 } as Entry);
    }
  }
}
