/** What load balancers and supervisors ask. */
import { z } from 'zod';
import type { ApiDeps } from './deps.ts';
import { unavailable } from './problem.ts';
import { Readiness } from './readiness.ts';
import { type Route, route } from './route.ts';

const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });

const Ready = z
  .object({
    status: z.literal('ok'),
    checks: z.object({ postgres: z.string(), queue: z.string(), migrations: z.string() }),
  })
  .meta({ id: 'Ready' });

export function healthRoutes(deps: ApiDeps): Route[] {
  const readiness = new Readiness(deps);
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
      summary:
        'Whether this process can serve: Postgres and the queue answer it, and the database is that of its version.',
      success: { status: 200, description: 'It can serve.', schema: Ready },
      problems: { 503: ['not_ready'] },
      handle: async () => {
        const checks = await readiness.check();
        const wrong = Object.entries(checks).filter(([, found]) => found !== 'ok');
        if (wrong.length === 0) return { status: 200, body: { status: 'ok', checks } };
        const said = wrong.map(([name, found]) => `${name}: ${found}`).join('; ');
        throw unavailable('not_ready', `This process cannot serve now: ${said}.`, { checks });
      },
    }),
  ];
}
