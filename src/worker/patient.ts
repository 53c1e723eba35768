/** How long what a worker asks of Postgres waits for it, and what changes when the worker stops. */
import { setMaxListeners } from 'node:events';
import type { Database } from '../store/database.ts';
import type { Patience } from '../store/patience.ts';

/** How long a worker that stops waits for a Postgres that is away, to hand its turns back. */
const STOP_PATIENCE_MS = 2_000;
/** The sweeper says that Postgres is away this often. */
const SWEEP_PATIENCE_MS = 30_000;
/** What a sweep in hand gets to end when the worker stops: what it leaves, others find. */
const SWEEP_GOODBYE_MS = 500;

/** A turn in hand outlasts an outage of Postgres: what was paid for is written when Postgres is back. */
export function patient(db: Database, signal: AbortSignal): Database {
  return hurried(db, { ms: Number.POSITIVE_INFINITY, hurry: { signal, ms: STOP_PATIENCE_MS } });
}

export function sweeping(db: Database, signal: AbortSignal): Database {
  return hurried(db, { ms: SWEEP_PATIENCE_MS, hurry: { signal, ms: SWEEP_GOODBYE_MS } });
}

function hurried(db: Database, patience: Required<Omit<Patience, 'totalMs'>>): Database {
  // Each statement in hand listens to it.
  setMaxListeners(0, patience.hurry.signal);
  return db.within(patience);
}
