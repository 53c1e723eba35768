/** What a supervisor asks of a worker, which listens nowhere. */
import { UserError } from '../core/errors.ts';
import { countLeases } from '../store/worker-health.ts';
import { thisProcess } from './identity.ts';

/**
 * Resolves where a worker runs here (in this container, where it is in one) and its lease is in force: it lives, is not wedged, and
 * reaches Postgres.
 *
 * @throws UserError `no_worker` (exit code 3), and those of `connect`.
 */
export async function checkWorker(databaseUrl: string): Promise<void> {
  if ((await countLeases(databaseUrl, thisProcess().host)) > 0) return;
  throw new UserError(
    'no_worker',
    'No worker here holds a lease: none runs, or it does not reach Postgres.',
    3,
  );
}
