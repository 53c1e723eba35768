/** `GET /metrics`: of all teams together, so for those who run this Capybara. */
import type { Request } from 'express';
import type { Caller } from '../store/keys.ts';
import { isOperator } from '../store/teams.ts';
import type { ApiDeps } from './deps.ts';
import { type Metrics, PROMETHEUS_TEXT } from './metrics.ts';
import { ApiProblem } from './problem.ts';
import { type Route, route } from './route.ts';

export function metricsRoutes(deps: Pick<ApiDeps, 'db' | 'metricsOpen'>, metrics: Metrics): Route[] {
  return [
    route({
      method: 'get',
      path: '/metrics',
      scope: 'admin',
      openTo: (request) => deps.metricsOpen || isFromThisMachine(request),
      summary:
        'What a Prometheus scrapes, of all teams together: with a key of the team that runs this Capybara; without one from the same machine, or where metrics.open says so.',
      success: { status: 200, description: 'The text format of Prometheus, 0.0.4.', media: ['text/plain'] },
      problems: { 403: ['not_operator'] },
      handle: async ({ response }) => {
        const caller = response.locals.caller as Caller | undefined;
        if (caller !== undefined && !(await isOperator(deps.db, caller.teamId))) throw notOperator();
        const text = await metrics.text();
        response.set({ 'content-type': PROMETHEUS_TEXT, 'cache-control': 'no-store' }).send(text);
        return undefined;
      },
    }),
  ];
}

function notOperator(): ApiProblem {
  return new ApiProblem({
    status: 403,
    code: 'not_operator',
    detail: 'Metrics are of all teams together: they need a key of the team that runs this Capybara.',
  });
}

const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'];
const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/;
/** A page in a browser of this machine may reach this address under its own name; it cannot under one of these. */
const OWN_NAME = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** By itself, and not through a proxy that runs here and speaks for others. */
export function isFromThisMachine({
  socket,
  headers,
}: Pick<Request, 'headers'> & { socket: { remoteAddress?: string | undefined } }): boolean {
  const isHere = LOOPBACK.test(socket.remoteAddress ?? '') && OWN_NAME.test(headers.host ?? '');
  return isHere && !FORWARDED.some((name) => headers[name] !== undefined);
}
