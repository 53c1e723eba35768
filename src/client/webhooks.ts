/** Webhooks, and what is on its way to them. */
import type { z } from 'zod';
import { page } from '../api/wire.ts';
import { Removed } from '../api/wire-admin.ts';
import {
  CreatedWebhook,
  type CreateWebhook,
  Delivery,
  type PatchWebhook,
  Webhook,
} from '../api/wire-webhooks.ts';
import { below, type Http, type Page, type Query, withQuery } from './http.ts';

export interface WebhookCalls {
  webhooks(query?: Query): Promise<Page<Webhook>>;
  webhook(id: string): Promise<Webhook>;
  /** The answer alone tells the secret: a repeat is told that it was made. */
  createWebhook(body: CreateWebhook, key?: string): Promise<CreatedWebhook>;
  changeWebhook(id: string, body: z.infer<typeof PatchWebhook>): Promise<Webhook>;
  removeWebhook(id: string): Promise<z.infer<typeof Removed>>;
  /** Sends a `webhook.test`. */
  testWebhook(id: string, key?: string): Promise<Delivery>;
  webhookDeliveries(id: string, query?: Query): Promise<Page<Delivery>>;
  /** Of all webhooks, and of tasks with URLs of their own. */
  deliveries(query?: Query): Promise<Page<Delivery>>;
  delivery(id: string): Promise<Delivery>;
  replayDelivery(id: string): Promise<Delivery>;
}

export function webhookCalls(http: Http): WebhookCalls {
  return {
    webhooks: (query = {}) => http.get(withQuery('/v1/webhooks', query), page(Webhook)),
    webhook: (id) => http.get(below('webhooks', id), Webhook),
    createWebhook: (body, key) => http.create('/v1/webhooks', CreatedWebhook, { body, key }),
    changeWebhook: (id, body) => http.change(`PATCH ${below('webhooks', id)}`, Webhook, body),
    removeWebhook: (id) => http.delete(below('webhooks', id), Removed),
    testWebhook: (id, key) => http.create(below('webhooks', id, '/test'), Delivery, { body: undefined, key }),
    webhookDeliveries: (id, query = {}) =>
      http.get(withQuery(below('webhooks', id, '/deliveries'), query), page(Delivery)),
    deliveries: (query = {}) => http.get(withQuery('/v1/deliveries', query), page(Delivery)),
    delivery: (id) => http.get(below('deliveries', id), Delivery),
    replayDelivery: (id) => http.change(`POST ${below('deliveries', id, '/replay')}`, Delivery),
  };
}
