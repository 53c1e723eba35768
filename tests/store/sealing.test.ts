/** Secrets of webhooks as Postgres keeps them: sealed for their row, by a key that it does not have. */
import { randomBytes } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { toPublicId } from '../../src/core/id.ts';
import { unopenedNotice } from '../../src/embedded/encryption-key.ts';
import { addTestDelivery, claimDelivery, openSecret } from '../../src/store/deliveries.ts';
import { checkSealed, sealAnew } from '../../src/store/sealed-rows.ts';
import { Sealing } from '../../src/store/sealing.ts';
import { changeWebhook, createWebhook } from '../../src/store/webhooks.ts';
import { useStore } from '../support/store.ts';

const store = useStore();
const secret = randomBytes(32);
const [old, next] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')] as const;
const place = { table: 'webhook', id: newId() } as const;

afterEach(async () => {
  await store.db.sql`TRUNCATE webhook_delivery, webhook`;
  await store.db.sql`UPDATE team SET signing_webhook_id = NULL`;
});

async function make(keys: readonly string[] = [old]): Promise<string> {
  const { teamId, userId } = store;
  const id = newId();
  const made = { teamId, userId, id, url: 'https://h.example', events: [], secret };
  const webhook = { ...made, signsTasks: false, requestHash: '00' };
  expect(await createWebhook(store.db, webhook, new Sealing(keys))).toEqual({ outcome: 'created' });
  return id;
}

async function opened(webhookId: string, keys: readonly string[]): Promise<Buffer> {
  const deliveryId = newId();
  await addTestDelivery(store.db, { teamId: store.teamId, id: deliveryId, webhookId });
  const claimed = await claimDelivery(store.db, { deliveryId, claim: newId(), leaseMs: 60_000 });
  if (claimed.outcome !== 'claimed') throw new Error(claimed.outcome);
  return openSecret(claimed, new Sealing(keys));
}

const kept = () => store.db.sql<{ id: string; secret: Buffer }>`SELECT id, secret FROM webhook ORDER BY id`;

test('what is sealed opens in its place alone, whole and unchanged, and is never twice the same', () => {
  const sealing = new Sealing([old]);
  const sealed = sealing.seal(secret, place);
  expect(sealing.open(sealed, place)).toEqual(secret);
  expect(sealing.open(sealing.seal(Buffer.of(), place), place)).toEqual(Buffer.of());
  expect(sealing.seal(secret, place)).not.toEqual(sealed);
  const broken = expect.objectContaining({ code: 'seal_broken', exitCode: 3 });
  const open =
    (bytes: Buffer, at = place) =>
    () =>
      sealing.open(bytes, at);
  expect(open(sealed, { ...place, id: newId() })).toThrow(broken);
  const changed = [0, 9, 21, sealed.length - 1].map((index) => {
    const bytes = Buffer.from(sealed);
    bytes.writeUInt8((bytes[index] ?? 0) ^ 1, index);
    return bytes;
  });
  for (const bytes of [...changed, sealed.subarray(0, 30), sealed.subarray(0, -1), Buffer.of()])
    expect(open(bytes)).toThrow(broken);
  expect(open(Buffer.of())).toThrow(`The secret of the webhook ${toPublicId('webhook', place.id)} does not`);
});

test('another key is told by the id of the one that is missing, and none at all by what to do', () => {
  const { keyId } = new Sealing([old]);
  const sealed = new Sealing([old]).seal(secret, place);
  const wrong = () => new Sealing([next]).open(sealed, place);
  expect(wrong).toThrow(`with a key that is not in CAPYBARA_ENCRYPTION_KEY (its id is ${keyId})`);
  for (const act of [() => new Sealing([]).seal(secret, place), () => new Sealing([]).open(sealed, place)])
    expect(act).toThrow(expect.objectContaining({ code: 'no_encryption_key', exitCode: 3 }));
});

test('the database shows no secret, and its webhook is signed with it all the same', async () => {
  const id = await make();
  const { rows } = await store.db.pool.query<{ row: string }>('SELECT w::text AS row FROM webhook w');
  const dump = rows.map(({ row }) => row).join();
  for (const form of ['hex', 'base64', 'latin1'] as const) expect(dump).not.toContain(secret.toString(form));
  expect(await opened(id, [old])).toEqual(secret);
  expect(await opened(id, [next, old])).toEqual(secret);
  await expect(opened(id, [next])).rejects.toMatchObject({ code: 'wrong_encryption_key' });
});

test('a secret that was moved to another row does not open there', async () => {
  const [one, other] = [await make(), await make()];
  await store.db
    .sql`UPDATE webhook SET secret = (SELECT secret FROM webhook WHERE id = ${one}) WHERE id = ${other}`;
  expect(await opened(one, [old])).toEqual(secret);
  await expect(opened(other, [old])).rejects.toMatchObject({ code: 'seal_broken' });
});

test('a server starts without a key where nothing is sealed, and else only with the right one', async () => {
  const check = (...keys: string[]) => checkSealed(store.db, new Sealing(keys));
  await check();
  const first = await make();
  const second = await make();
  await check(old);
  await check(next, old);
  await expect(check()).rejects.toMatchObject({
    ...{ code: 'no_encryption_key', exitCode: 3 },
    message:
      'The secrets of 2 webhooks are sealed, and CAPYBARA_ENCRYPTION_KEY is not set: set it to what it was when they were made.',
  });
  await expect(check(next)).rejects.toMatchObject({ code: 'wrong_encryption_key', exitCode: 3 });
  // The first one still signs for tasks.
  for (const id of [first, second])
    await changeWebhook(store.db, { teamId: store.teamId, id }, { removed: true });
  await expect(check()).rejects.toThrow('The secret of one webhook is sealed');
});

test('what nothing is signed with any more needs no key', async () => {
  const signer = await make([next]);
  const gone = await make();
  await changeWebhook(store.db, { teamId: store.teamId, id: gone }, { removed: true });
  await checkSealed(store.db, new Sealing([next]));
  expect(await sealAnew(store.url, [next])).toBe(0);
  const secretOf = async (id: string) => (await kept()).find((row) => row.id === id)?.secret;
  expect(await secretOf(gone)).toBeNull();
  await changeWebhook(store.db, { teamId: store.teamId, id: signer }, { removed: true });
  expect(await secretOf(signer)).toBeInstanceOf(Buffer);
  await expect(checkSealed(store.db, new Sealing([old]))).rejects.toMatchObject({
    code: 'wrong_encryption_key',
  });
});

test('an embedded Capybara with another key says what to do, and is well once that is done', async () => {
  const lost = await make();
  expect(await unopenedNotice(store.db, old)).toBeUndefined();
  const notice = await unopenedNotice(store.db, next);
  expect(notice).toContain('has sealed the secret of one webhook: put it back, or remove each with');
  await changeWebhook(store.db, { teamId: store.teamId, id: lost }, { removed: true });
  expect(await unopenedNotice(store.db, next)).toBe(notice);
  await make([next]);
  expect(await unopenedNotice(store.db, next)).toBeUndefined();
  expect((await kept()).find(({ id }) => id === lost)?.secret).toBeNull();
});

test('a new key in front takes over what the old one sealed, once', async () => {
  const ids = [await make(), await make(), await make([next])];
  await expect(sealAnew(store.url, [next])).rejects.toMatchObject({ code: 'wrong_encryption_key' });
  expect(await sealAnew(store.url, [next, old])).toBe(2);
  const after = await kept();
  expect(await sealAnew(store.url, [next, old])).toBe(0);
  expect(await kept()).toEqual(after);
  for (const id of ids) expect(await opened(id, [next])).toEqual(secret);
});
