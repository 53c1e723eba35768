/** How the processes of agents are found and ended: a way for each kind of system. */

/** Of each process that was seen to belong, by its pid: when it began, so that a pid that is given out anew is known for another's. */
export type Family = Map<number, number>;

export interface Belonging {
  /** `NAME=value`, random enough to occur in no other environment. */
  readonly marker: string;
  /** A limit of file locks that no other process has: the soft one is the call's, the hard one the worker's. */
  readonly lockLimit: number;
  readonly groups: readonly number[];
  /** Where descent counts, which keeps it up: those that were seen to belong. */
  readonly family?: Family;
}

/** One way to find and end the processes of agents. */
export interface Finder {
  /** The pids there are, for `except`; none where to name them saves nothing. */
  list(): string[];
  /**
   * Sends the signal (0: none) to every process that belongs, and says whether there was one that still runs (a zombie does not).
   * `except` names pids that are known not to belong: reading them all takes milliseconds.
   */
  signalAll(whose: Belonging, signal: NodeJS.Signals | 0, except?: ReadonlySet<string>): boolean;
  /** Bytes that those who belong have written to disks; 0 where nobody can tell. */
  bytesWritten(whose: Belonging): number;
  /** Between looks at what is ending. */
  readonly pollMs: number;
  /** Between looks while nothing ends; undefined: whoever belongs is known at any time. */
  readonly watchMs?: number;
}

/** False where there is nobody left to take the signal, or it may not be sent. */
export function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
