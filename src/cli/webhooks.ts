/** Webhooks as commands name, try and show them. */
import type { CreatedWebhook, Delivery, Webhook } from '../api/wire-webhooks.ts';
import type { Client, Page, Query } from '../client/client.ts';
import { fromPublicId } from '../core/id.ts';
import { beginningWith, newest, notAnId } from './find.ts';
import { fields, table } from './table.ts';
import { oneLine } from './untrusted-text.ts';

const LINE = 500;

/** The webhook that `id` means: a whole `whk_…`, its beginning, or `last`. Throws `UserError` (exit code 2). */
export async function findWebhook(client: Client, id: string): Promise<Webhook> {
  if (fromPublicId('webhook', id)) return client.webhook(id);
  if (id === 'last') return newest(await client.webhooks({ limit: 1 }), 'There is no webhook yet.');
  if (!/^whk_[0-9a-f]{0,32}$/i.test(id)) throw notAnId(id, 'whk_…');
  return beginningWith(id, (query) => client.webhooks(query), 'None of the webhooks');
}

export async function enableWebhook(client: Client, id: string): Promise<Webhook> {
  return client.changeWebhook((await findWebhook(client, id)).id, { enabled: true });
}

export interface Waiting {
  readonly everyMs: number;
  readonly forMs: number;
  pause(ms: number): Promise<unknown>;
}

/** Sends a `webhook.test`, and tells what came of it; `pending` where nobody has tried it by then. */
export async function testWebhook(client: Client, id: string, waiting: Waiting): Promise<Delivery> {
  let sent = await client.testWebhook((await findWebhook(client, id)).id);
  for (let ms = 0; sent.status === 'pending' && ms < waiting.forMs; ms += waiting.everyMs) {
    await waiting.pause(waiting.everyMs);
    sent = await client.delivery(sent.id);
  }
  return sent;
}

/** Of one webhook, or of all of them and of tasks with URLs of their own. */
export async function deliveries(
  client: Client,
  id: string | undefined,
  query: Query,
): Promise<Page<Delivery>> {
  if (id === undefined) return client.deliveries(query);
  return client.webhookDeliveries((await findWebhook(client, id)).id, query);
}

export async function replayDelivery(client: Client, id: string): Promise<Delivery> {
  return client.replayDelivery(await findDelivery(client, id));
}

async function findDelivery(client: Client, id: string): Promise<string> {
  if (fromPublicId('delivery', id)) return id;
  if (id === 'last') return newest(await client.deliveries({ limit: 1 }), 'There is no delivery yet.').id;
  if (!/^dlv_[0-9a-f]{0,32}$/i.test(id)) throw notAnId(id, 'dlv_…');
  return (await beginningWith(id, (query) => client.deliveries(query))).id;
}

function stateOf({ disabledAt, disabledReason, failingSince }: Webhook): string {
  if (disabledAt !== null) return `disabled (${disabledReason})`;
  return failingSince === null ? 'on' : 'failing';
}

const WHY = {
  person: 'somebody disabled it',
  gone: 'it answered 410',
  failing: 'it took nothing for days',
} as const;

export function webhooksText(list: readonly Webhook[]): string {
  if (list.length === 0) return 'No webhooks.\n';
  const rows = list.map((each) => [
    each.id,
    stateOf(each),
    each.events === null ? 'all' : String(each.events.length),
    each.url,
  ]);
  return table(['ID', 'STATE', 'EVENTS', 'URL'], rows);
}

export function webhookText(webhook: Webhook): string {
  const { disabledAt, disabledReason, failingSince } = webhook;
  const state =
    disabledAt === null || disabledReason === null
      ? failingSince === null
        ? 'on'
        : `failing since ${failingSince}`
      : `disabled at ${disabledAt}: ${WHY[disabledReason]}`;
  const lines = fields([
    ['webhook', webhook.id],
    ['url', oneLine(webhook.url, LINE)],
    ['events', webhook.events?.join(', ') ?? 'all'],
    ['state', state],
    ['signs tasks', webhook.signsTasks ? 'yes' : 'no'],
    ['created', `${webhook.createdAt} by ${oneLine(webhook.createdBy, LINE)}`],
  ]);
  return disabledAt === null ? lines : `${lines}\nTo enable it: capybara webhooks enable ${webhook.id}\n`;
}

export function addedText({ id, url, events, secret }: CreatedWebhook): string {
  const what = events === null ? 'all events' : events.join(', ');
  return (
    `${id} is told of ${what} at ${oneLine(url, LINE)}\n` +
    `Its secret, told this once: ${oneLine(secret, LINE)}\n` +
    `To try it: capybara webhooks test ${id}\n`
  );
}

export function testText({ id, status, lastAnswer }: Delivery): string {
  const said = oneLine(lastAnswer ?? '', LINE);
  if (status === 'delivered') return `${id} was delivered. ${said}\n`;
  if (status === 'failed') return `${id} was not delivered. ${said}\n`;
  return `${id} waits for a worker: see \`capybara webhooks deliveries\`.\n`;
}

export function deliveriesText(list: readonly Delivery[]): string {
  if (list.length === 0) return 'No deliveries.\n';
  const rows = list.map((each) => [
    ...[each.id, each.type, each.status, String(each.tries), each.createdAt],
    each.lastAnswer ?? '-',
  ]);
  return table(['ID', 'EVENT', 'STATUS', 'TRIES', 'CREATED', 'LAST ANSWER'], rows);
}
