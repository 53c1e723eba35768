/** What load balancers and supervisors ask. */
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '../core/errors.ts';
import { DatabaseUnavailable } from '../store/database.ts';
import type { ApiDeps } from './deps.ts';
import { type Route, route } from './route.ts';

/** How long Postgres may take to answer before this process says that it is not ready. */
export const READY_MS = 2_000;

const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });

export function healthRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/healthz',
      summary: 'Whether this process lives. Asks nobody else.',
      success: { status: 200, description: 'It lives.', schema: Health },
      handle: async () => ({ status: 200, body: { status: 'ok' } }),
    }),
    route({
      method: 'get',
      path: '/readyz',
      summary: 'Whether this process can serve: Postgres answers it.',
      success: { status: 200, description: 'It can serve.', schema: Health },
      problems: { 503: ['database_unavailable'] },
      handle: async () => {
        await askPostgres(deps);
        return { status: 200, body: { status: 'ok' } };
      },
    }),
  ];
}

async function askPostgres({ db, log }: ApiDeps): Promise<void> {
  const waited = new AbortController();
  const late = delay(READY_MS, undefined, { signal: waited.signal }).then(() => {
    throw new Error(`no answer within ${READY_MS} ms`);
  });
  try {
    await Promise.race([db.pool.query('SELECT 1'), late]);
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'not ready: Postgres does not answer');
    throw new DatabaseUnavailable(error);
  } finally {
    waited.abort();
    late.catch(() => {});
  }
}
