/** What can be used, what was used, and who works. */
import { z } from 'zod';
import { UserError } from '../core/errors.ts';
import { toPublicId } from '../core/id.ts';
import type { Models as ConfiguredModels } from '../model/providers.ts';
import { readWorkers } from '../store/views-approvals.ts';
import { readUsage } from '../store/views-tasks.ts';
import type { ApiDeps } from './deps.ts';
import { idCursor, pageReply } from './pages.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { showWorker } from './show.ts';
import { Models, PageQuery, page, TeamUsage, Worker } from './wire.ts';

const Paged = z.strictObject(PageQuery.shape);

export function catalogRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/models',
      summary: 'The providers that are configured here.',
      success: { status: 200, description: 'Providers, and the default model.', schema: Models },
      handle: async () => ({ status: 200, body: showModels(deps.models) }),
    }),
    route({
      method: 'get',
      path: '/v1/workers',
      summary: 'The workers that have not ended.',
      query: Paged,
      success: { status: 200, description: 'A page of workers, the newest first.', schema: page(Worker) },
      problems: { 400: ['invalid_cursor'] },
      handle: (call) => workers(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/usage',
      summary: 'What the team has used.',
      success: { status: 200, description: 'Tokens and requests per model.', schema: TeamUsage },
      handle: async ({ caller }) => ({
        status: 200,
        body: { byModel: await readUsage(deps.db, caller.teamId) },
      }),
    }),
  ];
}

/** Addresses are left out: an operator may have put a password into one. */
function showModels(models: ConfiguredModels): z.infer<typeof Models> {
  const data = models
    .list()
    .map(({ provider, defaultModel }) => ({ provider, defaultModel: defaultModel ?? null }));
  return { data, default: defaultOf(models) };
}

function defaultOf(models: ConfiguredModels): string | null {
  try {
    return models.resolve().name;
  } catch (error) {
    // No provider, or none that is the default: then each task has to name its model.
    if (error instanceof UserError) return null;
    throw error;
  }
}

async function workers({ db }: ApiDeps, call: Call<z.infer<typeof Paged>, unknown>): Promise<Reply> {
  const { limit, cursor } = call.query;
  return pageReply(await readWorkers(db, idCursor('worker', cursor), limit), {
    show: showWorker,
    cursor: (row) => toPublicId('worker', row.id),
  });
}
