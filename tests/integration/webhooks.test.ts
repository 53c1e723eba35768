/** Webhooks from the commit of an event to a receiver, by real workers, whatever becomes of either. */
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { toPublicId } from '../../src/core/id.ts';
import {
  addTestDelivery,
  type DeliveryRow,
  readDeliveries,
  replayDelivery,
} from '../../src/store/deliveries.ts';
import { Sealing } from '../../src/store/sealing.ts';
import { createWebhook, readWebhook } from '../../src/store/webhooks.ts';
import { mintSecret, sayWebhookSecret } from '../../src/webhooks/signature.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { sealing } from '../support/sealing.ts';
import { queueKinds, useWorld } from '../support/worker.ts';

const kinds = await queueKinds('webhooks on Redis');
const policy = { allow: ['127.0.0.1'], online: true };
/** Pauses short enough for a test. */
const QUICK = { policy, sealing, backoffMs: [10, 10, 10], timeoutMs: 5_000 };

describe.each(kinds)('on $kind, a webhook', (kind) => {
  const world = useWorld(kind);
  const secret = mintSecret();
  let receiver: Receiver;
  let webhookId: string;

  beforeEach(async () => {
    receiver = await startReceiver();
    webhookId = await add(['task.succeeded']);
  });
  afterEach(async () => {
    await receiver.close();
    await world.stopWorkers();
    await world.db.sql`TRUNCATE webhook_delivery, webhook`;
  });

  async function add(events: readonly string[]): Promise<string> {
    const id = newId();
    const owner = { teamId: world.teamId, userId: await userId() };
    const url = `${receiver.url}/hook`;
    const hook = { ...owner, id, url, events, secret, signsTasks: true, requestHash: '00' };
    await createWebhook(world.db, hook, sealing);
    return id;
  }
  const userId = async () =>
    (await world.db.sql<{ id: string }>`SELECT id FROM "user" WHERE team_id = ${world.teamId}`)[0]?.id ?? '';

  async function aTest(): Promise<string> {
    const id = newId();
    await addTestDelivery(world.db, { teamId: world.teamId, id, webhookId });
    return id;
  }
  const rows = async () => (await readDeliveries(world.db, { teamId: world.teamId }, 50)).rows;
  const until = (what: string, is: (row: DeliveryRow) => boolean) =>
    world.until(what, async () => (await rows()).find(is));
  const delivered = (id?: string) =>
    until('a delivery', (row) => row.status === 'delivered' && (id === undefined || row.id === id));

  test('is told of what it wants, signed, and of nothing that somebody said', async () => {
    await world.startWorker({ deliveries: QUICK });
    const { taskId, sessionId } = await world.submit({ prompt: 'A secret plan.' });
    const row = await delivered();
    await receiver.hears(1);
    const [{ path, headers, body, json } = { path: '', headers: {}, body: '', json: {} }] = receiver.received;
    expect([path, headers['webhook-id']]).toEqual(['/hook', toPublicId('delivery', row.id)]);
    expect(new Webhook(sayWebhookSecret(secret)).verify(body, headers)).toEqual(json);
    const [event] = await world.db.sql<{ seq: string; at: Date }>`
      SELECT seq, at FROM event WHERE task_id = ${taskId} AND type = 'task.succeeded'`;
    const at = event?.at.toISOString();
    expect(json).toEqual({
      type: 'task.succeeded',
      timestamp: at,
      data: {
        ...{ seq: Number(event?.seq), type: 'task.succeeded', at },
        ...{ sessionId: toPublicId('session', sessionId), taskId: toPublicId('task', taskId), data: {} },
      },
    });
    expect(await rows()).toHaveLength(1);
    expect(row).toMatchObject({ tries: 1, answered: 204, said: 'Answered 204.', taskId: null, webhookId });
  });

  test('that answers 500, then too late, is told again, with the same id and another time', async () => {
    receiver.answers(500, 'silent', 503);
    await world.startWorker({ deliveries: { ...QUICK, timeoutMs: 300 } });
    await world.submit();
    expect(await delivered()).toMatchObject({ tries: 4 });
    const { received } = receiver;
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    for (const { body, headers } of received) new Webhook(sayWebhookSecret(secret)).verify(body, headers);
    expect((await readWebhook(world.db, { teamId: world.teamId, id: webhookId }))?.failingSince).toBeNull();
  });

  test('whose secret does not open in one worker is told by another, and tells why meanwhile', async () => {
    const stranger = new Sealing([Buffer.alloc(32, 8).toString('base64')]);
    const worker = await world.startWorker({ deliveries: { ...QUICK, sealing: stranger } });
    const id = await aTest();
    const failed = await until('a try that failed', (row) => row.tries > 0 && row.said !== null);
    expect([failed.answered, failed.said]).toEqual([
      null,
      expect.stringMatching(/^It could not be signed: /),
    ]);
    await worker.stop();
    await replayDelivery(world.db, { teamId: world.teamId, id });
    await world.startWorker({ deliveries: QUICK });
    await delivered(id);
    expect(receiver.received).toHaveLength(1);
  });

  test('that never takes it has it failed after its last try, until somebody replays it', async () => {
    receiver.answers(500, 500, 500, 500);
    await world.startWorker({ deliveries: QUICK });
    await world.submit();
    const { id } = await until('a failure', (row) => row.status === 'failed');
    expect(receiver.received).toHaveLength(4);
    expect((await rows())[0]).toMatchObject({ tries: 4, answered: 500, dueAt: null });
    await replayDelivery(world.db, { teamId: world.teamId, id });
    expect(await delivered(id)).toMatchObject({ tries: 1 });
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  });

  test('that says it is gone is told no more', async () => {
    receiver.answers(410);
    await world.startWorker({ deliveries: QUICK });
    await world.submit();
    await until('a failure', (row) => row.status === 'failed');
    const webhook = await readWebhook(world.db, { teamId: world.teamId, id: webhookId });
    expect(webhook).toMatchObject({ disabledReason: 'gone' });
    const { taskId } = await world.submit();
    await world.until('the end', async () => (await world.task(taskId)).status === 'succeeded');
    expect(await rows()).toHaveLength(1);
  });

  test('whose worker is killed while it is told is told by a peer, once its time is over', async () => {
    receiver.answers('silent');
    const deliveries = { ...QUICK, timeoutMs: 60_000, leaseMs: 1_000 };
    const child = await world.startChild({ deliveries });
    const id = await aTest();
    await receiver.hears(1);
    child.kill('SIGKILL');
    await child.ended;
    await world.startWorker({ deliveries });
    expect(await delivered(id)).toMatchObject({ tries: 2 });
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  });

  test('whose worker stops while it is told is told by a peer at once, and has lost no try', async () => {
    receiver.answers('silent');
    const deliveries = { ...QUICK, timeoutMs: 60_000, leaseMs: 60_000 };
    const worker = await world.startWorker({ deliveries });
    const id = await aTest();
    await receiver.hears(1);
    await worker.stop();
    expect((await rows())[0]).toMatchObject({ status: 'pending', tries: 0, isAtWork: false });
    await world.startWorker({ deliveries });
    expect(await delivered(id)).toMatchObject({ tries: 1 });
  });

  test('whose job the queue has lost is told all the same', async () => {
    const id = await aTest();
    await world.db.sql`UPDATE webhook_delivery SET wake = 1, queued_at = clock_timestamp() WHERE id = ${id}`;
    await world.startWorker({ deliveries: QUICK, sweep: { unclaimedMs: 50 } });
    await delivered(id);
    const [row] = await world.db.sql<{ wake: number }>`SELECT wake FROM webhook_delivery WHERE id = ${id}`;
    expect(row?.wake).toBe(2);
    expect(receiver.received).toHaveLength(1);
  });

  test('of a task is told of its end, signed with the secret of the team', async () => {
    await world.db.sql`UPDATE webhook SET removed_at = clock_timestamp()`;
    const { taskId } = await world.submit({ unwoken: true });
    await world.db.sql`UPDATE task SET webhook_url = ${`${receiver.url}/done`} WHERE id = ${taskId}`;
    await world.startWorker({ deliveries: QUICK });
    const row = await delivered();
    expect(row).toMatchObject({ type: 'task.succeeded', taskId, webhookId: null });
    const [{ path, body, headers } = { path: '', body: '', headers: {} }] = receiver.received;
    expect(path).toBe('/done');
    new Webhook(sayWebhookSecret(secret)).verify(body, headers);
  });

  test('at a private address is told nothing where that is not allowed', async () => {
    await world.startWorker({ deliveries: { sealing, backoffMs: [] } });
    await world.submit();
    expect(await until('a failure', (row) => row.status === 'failed')).toMatchObject({
      answered: null,
      said: expect.stringContaining('127.0.0.1 belongs to this machine'),
    });
    expect(receiver.received).toEqual([]);
  });
});
