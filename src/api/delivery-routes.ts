/** What is on its way to webhooks, and to URLs of tasks; looked at and sent again. */
import { z } from 'zod';
import { fromPublicId, toPublicId } from '../core/id.ts';
import {
  type DeliveryFilter,
  type DeliveryRow,
  readDeliveries,
  readDelivery,
  replayDelivery,
} from '../store/deliveries.ts';
import { readWebhook } from '../store/webhooks.ts';
import type { ApiDeps } from './deps.ts';
import { pageReply, rowCursor } from './pages.ts';
import { badRequest, conflict, notFound } from './problem.ts';
import { type Reply, type Route, route } from './route.ts';
import { PageQuery, page } from './wire.ts';
import { Delivery, DeliveryStatus } from './wire-webhooks.ts';

const DeliveriesQuery = z.strictObject({ ...PageQuery.shape, status: DeliveryStatus.optional() });

const AllDeliveriesQuery = DeliveriesQuery.extend({
  taskId: z.string().optional().meta({ description: 'what goes to the webhookUrl of this task' }),
});

export function deliveryRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/webhooks/:id/deliveries',
      summary: 'What a webhook was told, or is about to be, the newest first.',
      scope: 'admin',
      id: 'webhook',
      query: DeliveriesQuery,
      success: { status: 200, description: 'A page of deliveries.', schema: page(Delivery) },
      problems: { 400: ['invalid_cursor'], 404: ['not_found'] },
      handle: async ({ caller: { teamId }, id, query }) => {
        if ((await readWebhook(deps.db, { teamId, id })) === undefined)
          throw notFound(`webhook ${toPublicId('webhook', id)}`);
        return listed(deps, { teamId, webhookId: id }, query);
      },
    }),
    route({
      method: 'get',
      path: '/v1/deliveries',
      summary: 'What all webhooks of the team, and URLs of its tasks, were told, the newest first.',
      scope: 'admin',
      query: AllDeliveriesQuery,
      success: { status: 200, description: 'A page of deliveries.', schema: page(Delivery) },
      problems: { 400: ['invalid_cursor'] },
      handle: ({ caller: { teamId }, query }) => {
        const { taskId, ...rest } = query;
        return listed(deps, { teamId, taskId: taskFilter(taskId) }, rest);
      },
    }),
    route({
      method: 'get',
      path: '/v1/deliveries/:id',
      summary: 'One delivery.',
      scope: 'admin',
      id: 'delivery',
      success: { status: 200, description: 'The delivery.', schema: Delivery },
      problems: { 404: ['not_found'] },
      handle: async ({ caller: { teamId }, id }) => ({
        status: 200,
        body: showDelivery(await deliveryOf(deps, teamId, id)),
      }),
    }),
    route({
      method: 'post',
      path: '/v1/deliveries/:id/replay',
      summary: 'Send it once more, under the same webhook-id; one that waits is sent now.',
      scope: 'admin',
      id: 'delivery',
      success: { status: 200, description: 'The delivery, on its way.', schema: Delivery },
      problems: { 404: ['not_found'], 409: ['not_deliverable'] },
      handle: ({ caller: { teamId }, id }) => replay(deps, teamId, id),
    }),
  ];
}

async function listed(
  { db }: ApiDeps,
  of: Pick<DeliveryFilter, 'teamId' | 'webhookId' | 'taskId'>,
  { limit, cursor, status }: z.infer<typeof DeliveriesQuery>,
): Promise<Reply> {
  const before = await rowCursor(db, 'delivery', { teamId: of.teamId, cursor });
  const filter = { ...of, status, before };
  return pageReply(await readDeliveries(db, filter, limit), {
    show: showDelivery,
    cursor: ({ id }) => toPublicId('delivery', id),
  });
}

async function replay(deps: ApiDeps, teamId: string, id: string): Promise<Reply> {
  const replayed = await replayDelivery(deps.db, { teamId, id });
  if (replayed.outcome === 'not_found') throw noDelivery(id);
  if (replayed.outcome === 'refused')
    throw conflict('not_deliverable', `${toPublicId('delivery', id)} goes nowhere: ${replayed.why}`);
  return { status: 200, body: showDelivery(await deliveryOf(deps, teamId, id)) };
}

function taskFilter(text: string | undefined): string | undefined {
  const id = text === undefined ? undefined : fromPublicId('task', text);
  if (text !== undefined && id === undefined)
    throw badRequest('invalid_request', 'The query cannot be used at taskId: expected task_….', 'taskId');
  return id;
}

export async function deliveryOf({ db }: ApiDeps, teamId: string, id: string): Promise<DeliveryRow> {
  const delivery = await readDelivery(db, { teamId, id });
  if (delivery === undefined) throw noDelivery(id);
  return delivery;
}

function noDelivery(id: string) {
  return notFound(`delivery ${toPublicId('delivery', id)}`);
}

export function showDelivery(row: DeliveryRow): Delivery {
  return {
    id: toPublicId('delivery', row.id),
    webhookId: row.webhookId === null ? null : toPublicId('webhook', row.webhookId),
    taskId: row.taskId === null ? null : toPublicId('task', row.taskId),
    type: row.type as Delivery['type'],
    rootId: row.rootId === null ? null : toPublicId('session', row.rootId),
    ...{ seq: row.seq, status: row.status, tries: row.tries },
    nextTryAt: row.isAtWork ? null : (row.dueAt?.toISOString() ?? null),
    ...{ lastStatus: row.answered, lastAnswer: row.said, createdAt: row.createdAt.toISOString() },
    lastTryAt: row.triedAt?.toISOString() ?? null,
    endedAt: row.endedAt?.toISOString() ?? null,
  };
}
