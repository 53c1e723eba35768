/**
 * The background commands of the sessions that a worker has, and the files they work on. Between two turns both stay here: the
 * store sends the session's turns to this worker (`claim_turn`: pinned), and the next one goes on with the very same files.
 *
 * A session is held by one run at a time, from `enter` to `left`. A run that does not come to `left` has not committed how things
 * are: what it leaves is ended.
 */
import { BackgroundProcesses } from '../sandbox/background.ts';
import type { BackgroundLimits, StopReason } from '../sandbox/background-process.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { ClaimedTurn } from '../store/turns.ts';
import type { Checkout } from '../workspace/checkouts.ts';

interface KeptSession {
  readonly processes: BackgroundProcesses;
  /** The attempt that is at it; undefined between turns. */
  holder: string | undefined;
  /** Its files, between turns. */
  checkout: Checkout | undefined;
  idle: NodeJS.Timeout | undefined;
}

export class Background {
  readonly #sandbox: Sandbox;
  readonly #limits: Partial<BackgroundLimits>;
  readonly #sessions = new Map<string, KeptSession>();

  constructor(sandbox: Sandbox, limits: Partial<BackgroundLimits> = {}) {
    this.#sandbox = sandbox;
    this.#limits = limits;
  }

  /** For a run that begins: the session's commands as the store knows them, those that still run among them. */
  async enter(turn: ClaimedTurn): Promise<BackgroundProcesses> {
    const { sessionId, attemptId } = turn;
    const kept = this.#sessions.get(sessionId);
    const isUsable = kept !== undefined && kept.holder === undefined && isAt(kept, turn);
    if (kept !== undefined && !isUsable) await this.#end(sessionId, kept, 'moved');
    const session = isUsable ? kept : this.#fresh();
    clearTimeout(session.idle);
    session.holder = attemptId;
    this.#sessions.set(sessionId, session);
    await session.processes.know(turn.processes ?? [], turn.lastProcess ?? 0);
    return session.processes;
  }

  #fresh(): KeptSession {
    const processes = new BackgroundProcesses(this.#sandbox, this.#limits);
    return { processes, holder: undefined, checkout: undefined, idle: undefined };
  }

  hasFiles({ sessionId, attemptId }: ClaimedTurn): boolean {
    return this.#heldBy(sessionId, attemptId)?.checkout !== undefined;
  }

  /** The files that its commands work on; undefined where there are none in hand. */
  takeFiles({ sessionId, attemptId }: ClaimedTurn): Checkout | undefined {
    const session = this.#heldBy(sessionId, attemptId);
    const checkout = session?.checkout;
    if (session !== undefined) session.checkout = undefined;
    return checkout;
  }

  watchFiles({ sessionId, attemptId }: ClaimedTurn, checkout: Checkout): void {
    const session = this.#heldBy(sessionId, attemptId);
    checkout.watch(() => session?.processes.isRunning === true);
  }

  /** Before the commit that ends a run. False: nothing changes the files, and nobody has to keep them. */
  keepFiles({ sessionId, attemptId }: ClaimedTurn, checkout: Checkout): boolean {
    const session = this.#heldBy(sessionId, attemptId);
    if (session === undefined || !checkout.isInMotion) return false;
    session.checkout = checkout;
    return true;
  }

  /** After that commit: the session waits here for its next turn, for a while. `isOver`: there is none, or it is another worker's. */
  async left({ sessionId, attemptId }: ClaimedTurn, isOver: boolean): Promise<void> {
    const session = this.#heldBy(sessionId, attemptId);
    if (session === undefined) return;
    session.holder = undefined;
    if (isOver || session.processes.open.length === 0) return this.#end(sessionId, session, 'task');
    session.idle = setTimeout(
      () => void session.processes.stop('idle'),
      session.processes.limits.idleMs,
    ).unref();
  }

  /** A run is over. If it did not come to `left`, it was lost, or failed: its commands end. */
  async drop({ sessionId, attemptId }: ClaimedTurn): Promise<void> {
    const session = this.#heldBy(sessionId, attemptId);
    if (session !== undefined) await this.#end(sessionId, session, 'lost');
  }

  /** Sessions that wait here for a turn. */
  get waiting(): ReadonlyMap<string, object> {
    return new Map([...this.#sessions].filter(([, { holder }]) => holder === undefined));
  }

  /** The store says that such a session is not this worker's any more: its task has ended, or a peer went on with it. */
  async forget(sessionId: string, waiting: object): Promise<void> {
    const session = this.#sessions.get(sessionId);
    if (session !== waiting || session.holder !== undefined) return;
    await this.#end(sessionId, session, 'moved');
  }

  /** Ends everything: the worker stops, or was held for dead. */
  async close(why: StopReason): Promise<void> {
    await Promise.all([...this.#sessions].map(([id, session]) => this.#end(id, session, why)));
  }

  #heldBy(sessionId: string, attemptId: string): KeptSession | undefined {
    const session = this.#sessions.get(sessionId);
    return session?.holder === attemptId ? session : undefined;
  }

  async #end(sessionId: string, session: KeptSession, why: StopReason): Promise<void> {
    if (this.#sessions.get(sessionId) === session) this.#sessions.delete(sessionId);
    clearTimeout(session.idle);
    const { checkout } = session;
    session.checkout = undefined;
    await session.processes.stop(why);
    // Only now: whoever has the files next must have them alone.
    checkout?.release();
  }
}

/** Whether the files in hand go on from where the turn begins. */
function isAt({ checkout }: KeptSession, { workspace }: ClaimedTurn): boolean {
  return checkout === undefined || checkout.isAt(workspace.head);
}
