/** Webhooks as administrators make, look at and change them. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { listen } from '../../src/api/server.ts';
import { Problem } from '../../src/api/wire.ts';
import { CreatedWebhook, Delivery, Webhook } from '../../src/api/wire-webhooks.ts';
import { newId } from '../../src/clock.ts';
import { toPublicId } from '../../src/core/id.ts';
import { MAX_WEBHOOK_URL_LENGTH, MAX_WEBHOOKS } from '../../src/core/webhook.ts';
import { claimDelivery, settleDelivery } from '../../src/store/deliveries.ts';
import { Sealing } from '../../src/store/sealing.ts';
import { askerOf, startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;

beforeAll(async () => {
  it = await startTestApi(() => ({ webhooks: { allow: ['ci.internal', '10.0.0.0/8'], online: true } }));
});
afterEach(async () => {
  await it.db.sql`TRUNCATE webhook_delivery, webhook`;
  await it.db.sql`UPDATE team SET signing_webhook_id = NULL`;
});
afterAll(() => it.close());

const URL = 'https://hooks.example/capybara';
const make = async (body: object = {}) => {
  const { json } = await it.ask('POST', '/v1/webhooks', { body: { url: URL, ...body } });
  return CreatedWebhook.parse(json);
};
const look = async (id: string) => Webhook.parse((await it.ask('GET', `/v1/webhooks/${id}`)).json);
const problem = async (method: string, path: string, body?: object, headers = {}) => {
  const { json } = await it.ask(method, path, { ...(body && { body }), headers });
  const { status, code, detail, field } = Problem.parse(json);
  return { status, code, detail, ...(field === undefined ? {} : { field }) };
};

describe('a webhook', () => {
  test('is made, with its secret told once', async () => {
    const made = await make({ events: ['task.succeeded', 'approval.requested'] });
    const { secret, ...webhook } = made;
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(webhook).toEqual({
      ...{ id: expect.stringMatching(/^whk_[0-9a-f]{32}$/), url: URL, createdBy: 'Ana', signsTasks: true },
      events: ['task.succeeded', 'approval.requested'],
      createdAt: expect.any(String),
      ...{ failingSince: null, disabledAt: null, disabledReason: null },
    });
    const list = await it.ask('GET', '/v1/webhooks');
    expect(list.json).toEqual({ data: [webhook], nextCursor: null });
    expect(await look(made.id)).toEqual(webhook);
    const audit = await it.ask('GET', '/v1/audit');
    for (const { text } of [list, audit]) expect(text).not.toContain(secret.slice('whsec_'.length));
  });

  test('that is asked for once more under its key is there, and its secret is not told again', async () => {
    const headers = { 'idempotency-key': 'one' };
    const body = { url: URL };
    const first = await it.ask('POST', '/v1/webhooks', { body, headers });
    expect(first.status).toBe(201);
    expect(await problem('POST', '/v1/webhooks', body, headers)).toMatchObject({
      ...{ status: 409, code: 'made_already' },
      detail: expect.stringContaining(first.json.id),
    });
    expect(await problem('POST', '/v1/webhooks', { ...body, signsTasks: true }, headers)).toMatchObject({
      ...{ status: 409, code: 'idempotency_conflict' },
    });
    expect((await it.ask('GET', '/v1/webhooks')).json.data).toHaveLength(1);
  });

  test('is refused where its secret could not be kept', async () => {
    const keyless = await listen(createApi({ ...it.deps, sealing: new Sealing([]) }), {
      ...{ host: '127.0.0.1', port: 0 },
    });
    const answer = await askerOf(keyless.url, it.me)('POST', '/v1/webhooks', { body: { url: URL } });
    await keyless.close();
    expect([answer.status, answer.json.code]).toEqual([409, 'no_encryption_key']);
    expect(answer.json.detail).toContain('whoever runs it sets CAPYBARA_ENCRYPTION_KEY');
  });

  test('stands before those that were made earlier, whatever their ids are', async () => {
    const made: string[] = [];
    for (const key of ['a', 'b', 'c', 'd']) {
      const headers = { 'idempotency-key': key };
      made.unshift((await it.ask('POST', '/v1/webhooks', { body: { url: URL }, headers })).json.id);
    }
    const listed: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { json } = await it.ask('GET', `/v1/webhooks?limit=3${cursor && `&cursor=${cursor}`}`);
      listed.push(...json.data.map(({ id }: { id: string }) => id));
      cursor = json.nextCursor;
    }
    expect(listed).toEqual(made);
    const path = `/v1/webhooks/${made[0]}`;
    const tests: string[] = [];
    for (const key of ['a', 'b', 'c', 'd']) {
      const headers = { 'idempotency-key': key };
      tests.unshift((await it.ask('POST', `${path}/test`, { headers })).json.id);
    }
    const { json } = await it.ask('GET', `${path}/deliveries?limit=3`);
    expect(json.data.map(({ id }: { id: string }) => id)).toEqual(tests.slice(0, 3));
    const rest = await it.ask('GET', `${path}/deliveries?cursor=${json.nextCursor}`);
    expect(rest.json.data.map(({ id }: { id: string }) => id)).toEqual(tests.slice(3));
  });

  test('is changed, disabled, enabled and removed', async () => {
    const { id } = await make({ events: ['task.failed'] });
    const change = async (body: object) =>
      Webhook.parse((await it.ask('PATCH', `/v1/webhooks/${id}`, { body })).json);
    expect(await change({ url: 'http://ci.internal/x', events: null })).toMatchObject({
      ...{ url: 'http://ci.internal/x', events: null },
    });
    expect(await change({ enabled: false })).toMatchObject({
      disabledReason: 'person',
      disabledAt: expect.any(String),
    });
    expect(await change({})).toMatchObject({ disabledReason: 'person' });
    expect(await change({ enabled: true })).toMatchObject({ disabledReason: null, disabledAt: null });
    expect((await it.ask('DELETE', `/v1/webhooks/${id}`)).json).toEqual({ id });
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['PATCH', ''],
      ['POST', '/test'],
      ['GET', '/deliveries'],
    ] as const)
      expect(
        await problem(method, `/v1/webhooks/${id}${path}`, method === 'PATCH' ? {} : undefined),
      ).toMatchObject({ status: 404, code: 'not_found', detail: `There is no webhook ${id}.` });
  });

  test.each([
    ['http://127.0.0.1/', '127.0.0.1 belongs to this machine'],
    ['https://2130706433/', '127.0.0.1 belongs to this machine'],
    ['https://[::ffff:192.168.0.1]/', 'webhooks go to public addresses, unless webhooks.allow'],
    ['https://192.168.1.1/', 'belongs to a private network'],
    ['http://93.184.215.14/', 'without encryption: use https'],
    ['ftp://hooks.example/', 'expected https://host/path'],
    ['https://u:p@hooks.example/', 'a user name or a password'],
    ['', 'expected https://host/path'],
  ])('goes not to %j', async (url, why) => {
    for (const [method, path] of [
      ['POST', ''],
      ['PATCH', `/whk_${'0'.repeat(32)}`],
    ] as const)
      expect(await problem(method, `/v1/webhooks${path}`, { url })).toEqual({
        ...{ status: 400, code: 'bad_webhook_url', field: 'url' },
        detail: expect.stringContaining(why),
      });
  });

  test.each([
    [{}, 'url'],
    [{ url: `https://h/${'x'.repeat(MAX_WEBHOOK_URL_LENGTH)}` }, 'url'],
    [{ url: URL, events: [] }, 'events'],
    [{ url: URL, events: ['task.exploded'] }, 'events.0'],
    [{ url: URL, secret: 'mine' }, 'secret'],
  ])('is not made of %.60j', async (body, field) => {
    expect(await problem('POST', '/v1/webhooks', body)).toMatchObject({ code: 'invalid_request', field });
  });

  test('goes to what is allowed, and is one of as many as a team may have', async () => {
    for (const url of ['http://10.1.2.3:8080/', 'http://ci.internal/', ...Array(MAX_WEBHOOKS - 2).fill(URL)])
      expect((await make({ url })).url).toBe(url);
    expect(await problem('POST', '/v1/webhooks', { url: URL })).toMatchObject({
      ...{ status: 409, code: 'too_many_webhooks' },
    });
  });
});

describe('what is on its way', () => {
  /** A worker's try at it, by hand. */
  async function tried(id: string, status: number) {
    const held = { deliveryId: uuid('delivery', id), claim: newId() };
    await claimDelivery(it.db, { ...held, leaseMs: 60_000 });
    const end = status < 300 ? ({ kind: 'delivered' } as const) : ({ kind: 'failed', gone: false } as const);
    await settleDelivery(it.db, held, { ...end, answered: status, said: `Answered ${status}.` });
  }

  test('is seen, by webhook, by status and a page at a time', async () => {
    const { id: webhookId } = await make({ events: ['task.created', 'task.cancelled'] });
    const other = await make({ events: ['session.created'] });
    const task = await it.submit();
    await it.ask('POST', `/v1/tasks/${task.id}/cancel`);
    const path = `/v1/webhooks/${webhookId}/deliveries`;
    const { json } = await it.ask('GET', path);
    const [last, first] = json.data.map((each: unknown) => Delivery.parse(each));
    expect(last).toMatchObject({
      type: 'task.cancelled',
      status: 'pending',
      tries: 0,
      taskId: null,
      webhookId,
    });
    expect(first).toEqual({
      ...{ id: expect.stringMatching(/^dlv_/), webhookId, taskId: null, type: 'task.created', seq: 2 },
      ...{ rootId: task.sessionId, status: 'pending', tries: 0, lastStatus: null, lastAnswer: null },
      ...{ nextTryAt: expect.any(String), createdAt: expect.any(String), lastTryAt: null, endedAt: null },
    });
    const page = await it.ask('GET', `${path}?limit=1`);
    expect(page.json).toMatchObject({ data: [{ id: last.id }], nextCursor: last.id });
    const rest = await it.ask('GET', `${path}?limit=1&cursor=${last.id}`);
    expect(rest.json).toMatchObject({ data: [{ id: first.id }], nextCursor: null });
    await tried(first.id, 500);
    expect((await it.ask('GET', `${path}?status=failed`)).json.data).toMatchObject([
      { id: first.id, lastStatus: 500, lastAnswer: 'Answered 500.', nextTryAt: null, tries: 1 },
    ]);
    expect((await it.ask('GET', `/v1/deliveries/${first.id}`)).json).toMatchObject({ status: 'failed' });
    const types = (await it.ask('GET', '/v1/deliveries')).json.data.map(({ type }: Delivery) => type);
    expect(types).toEqual(['task.cancelled', 'task.created', 'session.created']);
    expect((await look(other.id)).signsTasks).toBe(false);
  });

  test('is sent again, where it still goes somewhere', async () => {
    const { id } = await make();
    const sent = Delivery.parse((await it.ask('POST', `/v1/webhooks/${id}/test`)).json);
    expect(sent).toMatchObject({ type: 'webhook.test', webhookId: id, rootId: null, seq: null });
    await tried(sent.id, 204);
    const replay = () => it.ask('POST', `/v1/deliveries/${sent.id}/replay`);
    expect((await replay()).json).toMatchObject({ id: sent.id, status: 'pending', tries: 0 });
    await it.ask('DELETE', `/v1/webhooks/${id}`);
    expect((await replay()).json).toMatchObject({
      ...{ status: 409, code: 'not_deliverable' },
      detail: `${sent.id} goes nowhere: The webhook was removed.`,
    });
  });

  test('is one test however often it is asked for under one key', async () => {
    const { id } = await make();
    const headers = { 'idempotency-key': 'try' };
    const [one, two] = [1, 2].map(() => it.ask('POST', `/v1/webhooks/${id}/test`, { headers }));
    expect((await one)?.json.id).toBe((await two)?.json.id);
  });

  test.each(['?taskId=x', '?status=lost', '?cursor=x'])('is not listed by %s', async (query) => {
    expect((await problem('GET', `/v1/deliveries${query}`)).status).toBe(400);
  });
});

describe('a task with a URL of its own', () => {
  const webhookUrl = 'https://ci.example/done';

  test('has its end delivered there', async () => {
    await make({ events: ['session.merged'] });
    const task = await it.submit({ webhookUrl });
    await it.submit();
    await it.ask('POST', `/v1/tasks/${task.id}/cancel`);
    expect((await it.ask('GET', `/v1/deliveries?taskId=${task.id}`)).json.data).toMatchObject([
      { type: 'task.cancelled', taskId: task.id, webhookId: null, rootId: task.sessionId },
    ]);
    const none = toPublicId('task', newId());
    expect((await it.ask('GET', `/v1/deliveries?taskId=${none}`)).json.data).toEqual([]);
  });

  test('is not taken where nothing could be signed, nor where nothing may be sent', async () => {
    const body = { prompt: 'x', webhookUrl };
    expect(await problem('POST', '/v1/tasks', body)).toMatchObject({
      ...{ status: 409, code: 'no_webhook_secret' },
      detail: expect.stringContaining('an administrator of your team makes a webhook first'),
    });
    await make();
    expect(await problem('POST', '/v1/tasks', { ...body, webhookUrl: 'http://127.0.0.1/' })).toMatchObject({
      ...{ status: 400, code: 'bad_webhook_url', field: 'webhookUrl' },
    });
  });
});
