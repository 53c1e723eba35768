/** Whether workers of a host hold their leases, by one connection that is closed again. */
import { connect } from './connect.ts';

/**
 * How many workers of `host` hold a lease that has not run out, by Postgres' clock. `host` is that of `WorkerIdentity`. Throws the
 * `UserError`s of `connect`.
 */
export async function countLeases(url: string, host: string): Promise<number> {
  const client = await connect(url);
  try {
    const { rowCount } = await client.query(
      'SELECT FROM worker WHERE host = $1 AND ended_at IS NULL AND lease_expires_at > clock_timestamp()',
      [host],
    );
    return rowCount ?? 0;
  } finally {
    await client.end();
  }
}
