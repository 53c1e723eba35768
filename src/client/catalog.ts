/** What can be used, what was used, and who works. */
import type { z } from 'zod';
import { Agents, Models, page, TeamUsage, Worker } from '../api/wire.ts';
import { type Http, type Page, type Query, withQuery } from './http.ts';

export interface CatalogCalls {
  /** `ask`: "true" where the providers are to say it too. */
  models(query?: Query): Promise<Models>;
  agents(): Promise<Agents>;
  usage(query?: Query): Promise<TeamUsage>;
  workers(query?: Query): Promise<Page<z.infer<typeof Worker>>>;
}

export function catalogCalls(http: Http): CatalogCalls {
  return {
    models: (query = {}) => http.get(withQuery('/v1/models', query), Models),
    agents: () => http.get('/v1/agents', Agents),
    usage: (query = {}) => http.get(withQuery('/v1/usage', query), TeamUsage),
    workers: (query = {}) => http.get(withQuery('/v1/workers', query), page(Worker)),
  };
}
