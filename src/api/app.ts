import cors from 'cors';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { SESSION_HEADER } from '../mcp/server/session-header.ts';
import { adminRoutes } from './admin-routes.ts';
import { agentRoutes } from './agent-routes.ts';
import { approvalRoutes } from './approval-routes.ts';
import { auditRoutes } from './audit-routes.ts';
import { catalogRoutes } from './catalog-routes.ts';
import { compactionRoutes } from './compaction-routes.ts';
import { deliveryRoutes } from './delivery-routes.ts';
import type { ApiDeps } from './deps.ts';
import { documentRoutes } from './document-routes.ts';
import { openEntry } from './entry.ts';
import { eventRoutes } from './event-routes.ts';
import { filesRoutes } from './files-routes.ts';
import { forkRoutes } from './fork-routes.ts';
import { healthRoutes } from './health-routes.ts';
import { mcpRoutes } from './mcp-routes.ts';
import { mcpServerRoutes } from './mcp-server-routes.ts';
import { mcpSignInRoutes } from './mcp-sign-in-routes.ts';
import { mcpTrialRoute } from './mcp-trial-route.ts';
import { mergeRoutes } from './merge-routes.ts';
import { messageRoutes } from './message-routes.ts';
import { Metrics } from './metrics.ts';
import { metricsRoutes } from './metrics-routes.ts';
import { outputRoutes } from './output-routes.ts';
import { pauseRoutes } from './pause-routes.ts';
import { problemHandler, stopping } from './problem.ts';
import { logRequests, REQUEST_ID } from './request-log.ts';
import { traceRequests } from './request-spans.ts';
import { revertRoutes } from './revert-routes.ts';
import { type Route, serve } from './route.ts';
import { ruleRoutes } from './rule-routes.ts';
import { scheduleRoutes } from './schedule-routes.ts';
import { sessionRoutes } from './session-routes.ts';
import { TailHub } from './tails.ts';
import { taskRoutes } from './task-routes.ts';
import { treeRoutes } from './tree-routes.ts';
import { webhookRoutes } from './webhook-routes.ts';
import { wholeSessionRoutes } from './whole-session-routes.ts';
import { whyRoutes } from './why-routes.ts';
import { workspaceRoutes } from './workspace-routes.ts';

export type { ApiDeps } from './deps.ts';

/** The HTTP API, to be given to `listen`. */
export interface Api extends Express {
  /** From now on requests are answered with 503 `stopping`. Ends all event streams: their clients come back elsewhere. */
  stop(): Promise<void>;
}

/** Builds the API of DESIGN §7 on what it is given. Owns nothing of that; starts nothing before the first request. */
export function createApi(deps: ApiDeps): Api {
  const tails = new TailHub(deps);
  const metrics = metricsOf(deps, tails);
  const app = express();
  app.set('etag', false);
  app.set('query parser', 'simple');
  app.use(logRequests(deps.log, (ended) => metrics.count(ended)));
  app.use(traceRequests(deps.tracing));
  app.use(helmet());
  let isStopping = false;
  for (const handler of forBrowsers(deps.corsOrigins)) app.use(handler);
  app.use((_request, _response, next) => next(isStopping ? stopping() : undefined));
  const entry = openEntry(deps);
  serve(app, routesOf(deps, tails, metrics), entry);
  app.use(problemHandler(deps.log));
  const stop = () => {
    isStopping = true;
    return tails.close().finally(() => entry.close());
  };
  return Object.assign(app, { stop });
}

const PREFLIGHT_SECONDS = 600;

/** Pages of these origins may use the API with a key; what has none says nothing of it, and browsers then refuse every page. */
function forBrowsers(origins: readonly string[]): RequestHandler[] {
  if (origins.length === 0) return [];
  const exposedHeaders = ['retry-after', 'ratelimit', 'ratelimit-policy', REQUEST_ID, SESSION_HEADER];
  return [cors({ origin: [...origins], exposedHeaders, maxAge: PREFLIGHT_SECONDS })];
}

function metricsOf(deps: ApiDeps, tails: TailHub): Metrics {
  return new Metrics({ ...deps, readers: tails });
}

/** Every route there is, those that tell of them among them. */
export function routesOf(deps: ApiDeps, tails: TailHub, metrics = metricsOf(deps, tails)): Route[] {
  const all: Route[] = [
    ...taskRoutes(deps),
    ...pauseRoutes(deps),
    ...scheduleRoutes(deps),
    ...sessionRoutes(deps),
    ...wholeSessionRoutes(deps),
    ...treeRoutes(deps),
    ...whyRoutes(deps),
    ...eventRoutes(deps, tails),
    ...messageRoutes(deps),
    ...approvalRoutes(deps),
    ...ruleRoutes(deps),
    ...outputRoutes(deps),
    ...filesRoutes(deps),
    ...workspaceRoutes(deps),
    ...forkRoutes(deps),
    ...revertRoutes(deps),
    ...compactionRoutes(deps),
    ...mergeRoutes(deps),
    ...catalogRoutes(deps),
    ...agentRoutes(deps),
    ...adminRoutes(deps),
    ...auditRoutes(deps),
    ...webhookRoutes(deps),
    ...deliveryRoutes(deps),
    ...mcpRoutes(deps),
    ...mcpServerRoutes(deps),
    ...mcpSignInRoutes(deps),
    mcpTrialRoute(deps),
    ...healthRoutes(deps),
    ...metricsRoutes(deps, metrics),
    ...documentRoutes(() => all),
  ];
  return all;
}
