/** What can be used, what was used, and who works. */
import { z } from 'zod';
import { toPublicId } from '../core/id.ts';
import { showModels } from '../model/shown-models.ts';
import { readWorkers } from '../store/views-approvals.ts';
import type { ApiDeps } from './deps.ts';
import { idCursor, pageReply } from './pages.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { showWorker } from './show.ts';
import { usageRoute } from './usage-route.ts';
import { Models, ModelsQuery, PageQuery, page, Worker } from './wire.ts';

const Paged = z.strictObject(PageQuery.shape);

export function catalogRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/models',
      scope: 'read',
      summary: 'The providers that are configured here, and their models.',
      query: ModelsQuery,
      success: { status: 200, description: 'Providers with their models, and the default.', schema: Models },
      handle: async ({ query }) => ({
        status: 200,
        body: await showModels(deps.models, query.ask === 'true'),
      }),
    }),
    route({
      method: 'get',
      path: '/v1/workers',
      scope: 'read',
      summary: 'The workers that have not ended.',
      query: Paged,
      success: { status: 200, description: 'A page of workers, the newest first.', schema: page(Worker) },
      problems: { 400: ['invalid_cursor'] },
      handle: (call) => workers(deps, call),
    }),
    usageRoute(deps),
  ];
}

async function workers({ db }: ApiDeps, call: Call<z.infer<typeof Paged>, unknown>): Promise<Reply> {
  const { limit, cursor } = call.query;
  return pageReply(await readWorkers(db, idCursor('worker', cursor), limit), {
    show: showWorker,
    cursor: (row) => toPublicId('worker', row.id),
  });
}
