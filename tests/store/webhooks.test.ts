/** Webhooks and their deliveries, as Postgres has them: what makes one, who may try it, and what may come of a try. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { FAILING_MS, MAX_WEBHOOKS } from '../../src/core/webhook.ts';
import {
  addTestDelivery,
  claimDelivery,
  type DeliveryEnd,
  forgetDeliveries,
  queueDeliveries,
  readDeliveries,
  replayDelivery,
  requeueDelivery,
  settleDelivery,
} from '../../src/store/deliveries.ts';
import { cancelTask, createTask } from '../../src/store/tasks.ts';
import { transitionsSchema } from '../../src/store/transitions-schema.ts';
import { canSignForTasks, changeWebhook, createWebhook, readWebhook } from '../../src/store/webhooks.ts';
import { delegated } from '../support/delegations.ts';
import { sealing } from '../support/sealing.ts';
import { addTeam, forgetSessions, parked, submissionOf, submit, useStore } from '../support/store.ts';

const store = useStore();
const LEASE_MS = 60_000;
const OK: DeliveryEnd = { kind: 'delivered', answered: 204, said: 'Answered 204.' };
const LATER: DeliveryEnd = { kind: 'retry', ms: 60_000, answered: 500, said: 'Answered 500.' };
const NEVER: DeliveryEnd = { kind: 'failed', gone: false, answered: null, said: 'refused' };
const GONE: DeliveryEnd = { kind: 'failed', gone: true, answered: 410, said: 'Answered 410.' };

const me = () => ({ teamId: store.teamId, userId: store.userId });

async function add(events: readonly string[] = [], team = me(), signsTasks = false): Promise<string> {
  const id = newId();
  const webhook = {
    ...team,
    id,
    url: 'https://hooks.example/x',
    events,
    secret: randomBytes(32),
    signsTasks,
    requestHash: '00',
  };
  expect(await createWebhook(store.db, webhook, sealing)).toEqual({ outcome: 'created' });
  return id;
}

const all = async (filter = {}) =>
  (await readDeliveries(store.db, { teamId: store.teamId, ...filter }, 200)).rows;
const types = async (filter = {}) => (await all(filter)).map(({ type }) => type).reverse();
const only = async (filter = {}) => {
  const [row, ...more] = await all(filter);
  if (row === undefined || more.length > 0) throw new Error(`found ${more.length + (row ? 1 : 0)}`);
  return row;
};
const claim = (deliveryId: string, by = newId(), leaseMs = LEASE_MS) =>
  claimDelivery(store.db, { deliveryId, claim: by, leaseMs });

/** One delivery, of a cancelled task. */
async function aDelivery() {
  const webhookId = await add(['task.cancelled']);
  const { taskId } = await submit(store);
  await cancelTask(store.db, { ...me(), taskId, nextTurnId: newId() });
  return { ...(await only({ webhookId })), webhookId, taskId };
}

beforeEach(() => forgetSessions(store.db));
afterEach(async () => {
  await store.db.sql`TRUNCATE webhook_delivery, webhook`;
  await store.db.sql`UPDATE team SET signing_webhook_id = NULL`;
});

describe('an event', () => {
  test('is delivered to each webhook of its team that wants its type, and to no other', async () => {
    const every = await add();
    const some = await add(['task.cancelled']);
    const theirs = await add([], await addTeam(store.db));
    const { taskId } = await submit(store);
    await cancelTask(store.db, { ...me(), taskId, nextTurnId: newId() });
    const events = await store.db.sql<{ type: string }>`SELECT type FROM event ORDER BY seq`;
    expect(await types({ webhookId: every })).toEqual(events.map(({ type }) => type));
    expect(await types({ webhookId: some })).toEqual(['task.cancelled']);
    expect(await store.db.sql`SELECT FROM webhook_delivery WHERE webhook_id = ${theirs}`).toEqual([]);
    const { rootId, seq } = await only({ webhookId: some });
    expect(await store.db.sql`SELECT type FROM event WHERE root_id = ${rootId} AND seq = ${seq}`).toEqual([
      { type: 'task.cancelled' },
    ]);
  });

  test('is delivered to none that is disabled or removed', async () => {
    const [off, gone] = [await add(), await add()];
    await changeWebhook(store.db, { ...me(), id: off }, { enabled: false });
    await changeWebhook(store.db, { ...me(), id: gone }, { removed: true });
    await submit(store);
    expect(await all()).toEqual([]);
    await changeWebhook(store.db, { ...me(), id: off }, { enabled: true });
    await submit(store);
    expect(await types()).toContain('task.created');
  });

  test('comes with its delivery, or neither does', async () => {
    await add();
    await store.db
      .sql`ALTER TABLE webhook_delivery ADD CONSTRAINT no_more CHECK (type <> 'task.created') NOT VALID`;
    const { count } =
      (await store.db.sql<{ count: number }>`SELECT count(*)::int AS count FROM event`)[0] ?? {};
    await expect(createTask(store.db, submissionOf(store))).rejects.toThrow('no_more');
    await store.db.sql`ALTER TABLE webhook_delivery DROP CONSTRAINT no_more`;
    expect(await store.db.sql`SELECT count(*)::int AS count FROM event`).toEqual([{ count }]);
    expect(await all()).toEqual([]);
  });

  test('of a task that names a URL is delivered there: its end, and questions below it too', async () => {
    const submission = submissionOf(store);
    const webhookUrl = 'https://ci.example/done';
    await createTask(store.db, { ...submission, task: { ...submission.task, webhookUrl } });
    const taskId = submission.task.id;
    const others = [await submit(store), await parked(store)];
    await cancelTask(store.db, { ...me(), taskId, nextTurnId: newId() });
    for (const other of others)
      await cancelTask(store.db, { ...me(), taskId: other.taskId, nextTurnId: newId() });
    expect(await types()).toEqual(['task.cancelled']);
    expect(await types({ taskId })).toEqual(['task.cancelled']);
  });

  test('below such a task is delivered where it asks a person, not where it ends', async () => {
    const family = await delegated(store, { count: 1 });
    await store.db.sql`UPDATE task SET webhook_url = 'https://ci.example' WHERE id = ${family.taskId}`;
    const [child] = family.children;
    for (const type of ['approval.requested', 'task.failed']) {
      const event = `event_of('${type}', '${child?.sessionId}', '${child?.taskId}', 1)`;
      await store.db.pool.query(
        `BEGIN; SET LOCAL search_path = ${transitionsSchema()}, public; SELECT append_events('${family.sessionId}', ${event}); COMMIT`,
      );
    }
    expect((await all()).map(({ type, taskId }) => [type, taskId])).toEqual([
      ['approval.requested', family.taskId],
    ]);
  });
});

describe('a webhook', () => {
  test('is the last one a team may have, or one too many', async () => {
    for (let count = 0; count < MAX_WEBHOOKS; count += 1) await add();
    const more = {
      ...{ ...me(), url: 'https://x', events: [], secret: randomBytes(32), signsTasks: false },
      requestHash: '00',
    };
    expect(await createWebhook(store.db, { ...more, id: newId() }, sealing)).toEqual({ outcome: 'too_many' });
    const [first] = await store.db.sql<{ id: string }>`SELECT id FROM webhook LIMIT 1`;
    const id = first?.id ?? '';
    expect(await createWebhook(store.db, { ...more, id }, sealing)).toEqual({ outcome: 'repeated' });
    expect(await createWebhook(store.db, { ...more, id, requestHash: '01' }, sealing)).toEqual({
      outcome: 'conflict',
    });
    await changeWebhook(store.db, { ...me(), id }, { removed: true });
    await add();
  });

  test('gives its team the secret for tasks where it is the first, or is meant to', async () => {
    expect(await canSignForTasks(store.db, store.teamId)).toBe(false);
    const signs = async (id: string) => (await readWebhook(store.db, { ...me(), id }))?.signsTasks;
    const first = await add();
    expect(await canSignForTasks(store.db, store.teamId)).toBe(true);
    const second = await add();
    expect([await signs(first), await signs(second)]).toEqual([true, false]);
    const third = await add([], me(), true);
    expect([await signs(first), await signs(third)]).toEqual([false, true]);
    await changeWebhook(store.db, { ...me(), id: third }, { removed: true });
    expect(await canSignForTasks(store.db, store.teamId)).toBe(true);
    const fourth = await add();
    expect([await signs(first), await signs(fourth)]).toEqual([false, true]);
  });

  test('of another team is none', async () => {
    const id = await add();
    const { teamId } = await addTeam(store.db);
    expect(await changeWebhook(store.db, { teamId, id }, { removed: true })).toEqual({
      outcome: 'not_found',
    });
    expect(await readWebhook(store.db, { teamId, id })).toBeUndefined();
    await addTestDelivery(store.db, { teamId, id: newId(), webhookId: id });
    expect(await all()).toEqual([]);
  });

  test('that is changed keeps what nobody spoke of', async () => {
    const id = await add(['task.failed']);
    await changeWebhook(store.db, { ...me(), id }, { url: 'https://other.example/' });
    expect(await readWebhook(store.db, { ...me(), id })).toMatchObject({
      url: 'https://other.example/',
      events: ['task.failed'],
      disabledAt: null,
    });
    await changeWebhook(store.db, { ...me(), id }, { events: [], enabled: false });
    expect(await readWebhook(store.db, { ...me(), id })).toMatchObject({
      url: 'https://other.example/',
      events: [],
      disabledReason: 'person',
    });
  });
});

describe('a delivery', () => {
  test('is claimed by one of two workers, and by a peer once its time is over', async () => {
    const { id } = await aDelivery();
    const [one, other] = [newId(), newId()];
    expect(await claim(id, one)).toMatchObject({ outcome: 'claimed', tries: 1 });
    expect(await claim(id, other)).toEqual({ outcome: 'skipped' });
    await store.db.sql`UPDATE webhook_delivery SET due_at = clock_timestamp()`;
    expect(await claim(id, other)).toMatchObject({ outcome: 'claimed', tries: 2 });
    expect(await settleDelivery(store.db, { deliveryId: id, claim: one }, OK)).toEqual({
      outcome: 'skipped',
    });
    expect(await settleDelivery(store.db, { deliveryId: id, claim: other }, OK)).toEqual({
      outcome: 'settled',
    });
    expect(await only()).toMatchObject({ status: 'delivered', answered: 204, dueAt: null });
  });

  test('of twenty that race for it is begun by one alone', async () => {
    const { id } = await aDelivery();
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => claim(id)));
    expect(outcomes.filter(({ outcome }) => outcome === 'claimed')).toHaveLength(1);
    expect((await only()).tries).toBe(1);
  });

  test('is claimed and settled as if once where either is repeated', async () => {
    const { id } = await aDelivery();
    const by = newId();
    const first = await claim(id, by);
    expect(await claim(id, by)).toEqual(first);
    const held = { deliveryId: id, claim: by };
    expect(await settleDelivery(store.db, held, LATER)).toEqual({ outcome: 'settled' });
    const after = await only();
    expect(await settleDelivery(store.db, held, LATER)).toEqual({ outcome: 'skipped' });
    expect(await only()).toEqual(after);
    expect(after).toMatchObject({ status: 'pending', tries: 1, isAtWork: false, said: 'Answered 500.' });
    expect(await claim(id)).toEqual({ outcome: 'skipped' });
  });

  test('says where it goes, with what it is signed, and its event', async () => {
    const { id, webhookId, taskId, seq } = await aDelivery();
    const [{ secret } = {}] = await store.db.sql<{ secret: Buffer }>`SELECT secret FROM webhook`;
    expect(await claim(id)).toMatchObject({
      ...{
        outcome: 'claimed',
        url: 'https://hooks.example/x',
        secret: secret?.toString('hex'),
        signer: webhookId,
        webhookId,
      },
      event: { seq, type: 'task.cancelled', taskId, turn: null },
    });
  });

  test('that was broken off is due at once, and has lost no try', async () => {
    const { id } = await aDelivery();
    const by = newId();
    await claim(id, by);
    await settleDelivery(store.db, { deliveryId: id, claim: by }, { kind: 'returned' });
    expect(await only()).toMatchObject({ status: 'pending', tries: 0 });
    expect(await claim(id)).toMatchObject({ outcome: 'claimed', tries: 1 });
  });

  test.each([
    [{ enabled: false } as const, 'The webhook was disabled.', 'ended'],
    [{ removed: true } as const, 'The webhook was removed.', 'skipped'],
  ])('to one that is %o meanwhile has failed', async (change, said, outcome) => {
    const { id, webhookId } = await aDelivery();
    await changeWebhook(store.db, { ...me(), id: webhookId }, change);
    expect(await claim(id)).toEqual({ outcome });
    expect(await claim(id)).toEqual({ outcome: 'skipped' });
    expect(await only()).toMatchObject({ status: 'failed', said, tries: 0 });
    expect(await replayDelivery(store.db, { ...me(), id })).toEqual({ outcome: 'refused', why: said });
  });

  test('whose receiver is gone disables its webhook', async () => {
    const { id, webhookId } = await aDelivery();
    const by = newId();
    await claim(id, by);
    const settled = await settleDelivery(store.db, { deliveryId: id, claim: by }, GONE);
    expect(settled).toEqual({ outcome: 'settled', disabled: 'gone' });
    expect(await readWebhook(store.db, { ...me(), id: webhookId })).toMatchObject({ disabledReason: 'gone' });
  });

  test('has failed once its webhook is removed, whenever it would be due; one that is being tried, with that try', async () => {
    const { id, webhookId } = await aDelivery();
    const [by, other] = [newId(), newId()];
    await claim(id, by);
    await settleDelivery(store.db, { deliveryId: id, claim: by }, LATER);
    await addTestDelivery(store.db, { ...me(), id: other, webhookId });
    await claim(other, by);
    await changeWebhook(store.db, { ...me(), id: webhookId }, { removed: true });
    expect(await only({ id })).toMatchObject({
      ...{ status: 'failed', said: 'The webhook was removed.', tries: 1, dueAt: null },
    });
    expect(await only({ id: other })).toMatchObject({ status: 'pending', isAtWork: true });
    await settleDelivery(store.db, { deliveryId: other, claim: by }, LATER);
    expect(await only({ id: other })).toMatchObject({ status: 'failed', said: 'Answered 500.' });
  });

  test('that fails after days of nothing else disables its webhook; one that arrives in between forgives all', async () => {
    const { id, webhookId } = await aDelivery();
    const tried = async (end: DeliveryEnd) => {
      await replayDelivery(store.db, { ...me(), id });
      const by = newId();
      await claim(id, by);
      return settleDelivery(store.db, { deliveryId: id, claim: by }, end);
    };
    const failingFor = (ms: number) =>
      store.db.sql`UPDATE webhook SET failing_since = clock_timestamp() - ${ms} * interval '1 ms'`;
    expect(await tried(LATER)).toEqual({ outcome: 'settled' });
    await failingFor(FAILING_MS - 60_000);
    expect(await tried(NEVER)).toEqual({ outcome: 'settled' });
    await failingFor(FAILING_MS);
    expect(await tried(OK)).toEqual({ outcome: 'settled' });
    expect(await readWebhook(store.db, { ...me(), id: webhookId })).toMatchObject({ failingSince: null });
    expect(await tried(NEVER)).toEqual({ outcome: 'settled' });
    await failingFor(FAILING_MS);
    expect(await tried(LATER)).toEqual({ outcome: 'settled', disabled: 'failing' });
    await changeWebhook(store.db, { ...me(), id: webhookId }, { enabled: true });
    expect(await readWebhook(store.db, { ...me(), id: webhookId })).toMatchObject({
      ...{ failingSince: null, disabledAt: null, disabledReason: null },
    });
  });

  test('that is replayed has all of its tries again, and the same id', async () => {
    const { id } = await aDelivery();
    const by = newId();
    await claim(id, by);
    expect(await replayDelivery(store.db, { ...me(), id })).toEqual({ outcome: 'replayed' });
    expect(await only()).toMatchObject({ tries: 1, isAtWork: true });
    await settleDelivery(store.db, { deliveryId: id, claim: by }, NEVER);
    for (const _ of [1, 2]) {
      expect(await replayDelivery(store.db, { ...me(), id })).toEqual({ outcome: 'replayed' });
      expect(await only()).toMatchObject({ id, status: 'pending', tries: 0, endedAt: null });
    }
    const { teamId } = await addTeam(store.db);
    expect(await replayDelivery(store.db, { teamId, id })).toEqual({ outcome: 'not_found' });
  });

  test('that is a test goes to one that is disabled too, once', async () => {
    const webhookId = await add();
    await changeWebhook(store.db, { ...me(), id: webhookId }, { enabled: false });
    const [id, by] = [newId(), newId()];
    for (const _ of [1, 2]) await addTestDelivery(store.db, { ...me(), id, webhookId });
    expect(await claim(id, by)).toMatchObject({ outcome: 'claimed', type: 'webhook.test', event: null });
    await settleDelivery(store.db, { deliveryId: id, claim: by }, LATER);
    expect(await only()).toMatchObject({ status: 'failed', answered: 500 });
  });

  test('waits where as many of its receiver are being tried as may be; one alone of a receiver that is failing', async () => {
    const webhookId = await add(['task.created']);
    const other = await add(['task.created']);
    for (let count = 0; count < 7; count += 1) await submit(store);
    const waiting = (await all({ webhookId })).map(({ id }) => id);
    const outcomes = async (ids: readonly string[]) => {
      const claimed = [];
      for (const id of ids) claimed.push((await claim(id)).outcome);
      return claimed;
    };
    const taken = Array(5).fill('claimed');
    expect(await outcomes(waiting.slice(0, 6))).toEqual([...taken, 'deferred']);
    const deferred = (await all({ webhookId })).find(({ id }) => id === waiting[5]);
    expect(deferred).toMatchObject({ status: 'pending', tries: 0, isAtWork: false });
    const waits = (deferred?.dueAt?.getTime() ?? 0) - (deferred?.createdAt.getTime() ?? 0);
    expect(waits).toBeGreaterThan(1_000);
    expect(await outcomes((await all({ webhookId: other })).map(({ id }) => id).slice(0, 5))).toEqual(taken);
    await store.db.sql`UPDATE webhook SET failing_since = clock_timestamp() WHERE id = ${webhookId}`;
    await store.db
      .sql`UPDATE webhook_delivery SET claim = NULL, due_at = clock_timestamp() WHERE webhook_id = ${webhookId}`;
    expect(await outcomes(waiting.slice(0, 3))).toEqual(['claimed', 'deferred', 'deferred']);
    const test = newId();
    await addTestDelivery(store.db, { ...me(), id: test, webhookId });
    expect(await outcomes([test])).toEqual(['claimed']);
  });

  test('gets a job when it is due, and the next one where that is lost', async () => {
    const { id } = await aDelivery();
    const queue = (ageMs: number) => queueDeliveries(store.db, { ageMs, limit: 10 });
    expect(await queue(60_000)).toEqual([{ deliveryId: id, wake: 1, isNew: true }]);
    expect(await queue(60_000)).toEqual([]);
    expect(await queue(0)).toEqual([{ deliveryId: id, wake: 1, isNew: false }]);
    expect(await requeueDelivery(store.db, { deliveryId: id, wake: 1 })).toBe(2);
    expect(await requeueDelivery(store.db, { deliveryId: id, wake: 1 })).toBeNull();
    const by = newId();
    await claim(id, by);
    expect(await requeueDelivery(store.db, { deliveryId: id, wake: 2 })).toBeNull();
    expect(await queue(0)).toEqual([]);
    await store.db.sql`UPDATE webhook_delivery SET due_at = clock_timestamp()`;
    expect(await queue(60_000)).toEqual([{ deliveryId: id, wake: 3, isNew: true }]);
  });

  test('is forgotten some time after it has ended, and not before', async () => {
    const { id } = await aDelivery();
    const forget = (olderMs: number) => forgetDeliveries(store.db, { olderMs, limit: 10 });
    expect(await forget(0)).toBe(0);
    const by = newId();
    await claim(id, by);
    await settleDelivery(store.db, { deliveryId: id, claim: by }, OK);
    expect(await forget(60_000)).toBe(0);
    expect(await forget(0)).toBe(1);
  });
});

test('a secret is in no row that is read, and in no event', async () => {
  const { webhookId } = await aDelivery();
  const [{ secret } = {}] = await store.db.sql<{ secret: Buffer }>`SELECT secret FROM webhook`;
  const told = JSON.stringify([await readWebhook(store.db, { ...me(), id: webhookId }), await all()]);
  for (const form of ['base64', 'hex'] as const) expect(told).not.toContain(secret?.toString(form));
});
