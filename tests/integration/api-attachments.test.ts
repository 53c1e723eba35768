import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Entry, MAX_ATTACHED_BODY_BYTES, page } from '../../src/api/wire.ts';
import { ATTACHMENT_LIMITS } from '../../src/core/attachments.ts';
import { pngOf } from '../support/images.ts';
import { pdfOf } from '../support/pdf.ts';
import { HandWorker, startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
beforeAll(async () => {
  it = await startTestApi();
});
afterAll(() => it.close());

const attached = (name: string, bytes: Buffer | string) => ({
  name,
  data: Buffer.from(bytes).toString('base64'),
});
const post = (attachments: unknown, more: { headers?: Record<string, string> } = {}) =>
  it.ask('POST', '/v1/tasks', { body: { prompt: 'Look', attachments }, ...more });
const hashOf = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');
const png = pngOf();
const pdf = pdfOf(['One page']);

describe('attachments', () => {
  test('of a task and of a message stand in the log by their hashes, each kind by its bytes', async () => {
    const worker = await new HandWorker(it.db).register();
    const files = [attached('a.txt', png), attached('b', pdf), attached('c.png', 'words')];
    const { status, json } = await post(files);
    expect(status).toBe(201);
    const held = await worker.claim(uuid('session', json.sessionId));
    const said = await it.ask('POST', `/v1/sessions/${json.sessionId}/messages`, {
      body: { text: 'And this', attachments: [attached('d.txt', 'words')] },
      headers: { 'idempotency-key': 'k1' },
    });
    expect(said.status).toBe(201);
    await worker.answer(held);
    const entries = page(Entry).parse(
      (await it.ask('GET', `/v1/sessions/${json.sessionId}/entries`)).json,
    ).data;
    expect(entries[0]?.parts).toEqual([
      { type: 'text', text: 'Look' },
      {
        ...{ type: 'file', mediaType: 'image/png', name: 'a.txt', bytes: png.length, hash: hashOf(png) },
        ...{ width: 2, height: 1, outputId: null },
      },
      ...[
        {
          type: 'file',
          mediaType: 'application/pdf',
          name: 'b',
          bytes: pdf.length,
          hash: hashOf(pdf),
          outputId: null,
        },
        {
          type: 'file',
          mediaType: 'text/plain',
          name: 'c.png',
          bytes: 5,
          hash: hashOf('words'),
          outputId: null,
        },
      ],
    ]);
    const stored = await it.db.sql`SELECT size FROM output ORDER BY size`;
    expect(stored.map(({ size }) => size)).toEqual([5, png.length, pdf.length].toSorted((a, b) => a - b));
  });

  test('are part of what an Idempotency-Key stands for', async () => {
    const { json } = await it.ask('POST', '/v1/tasks', { body: { prompt: 'Wait' } });
    const say = (text: string, name = 'd.txt') =>
      it.ask('POST', `/v1/sessions/${json.sessionId}/messages`, {
        body: { text: 'this', attachments: [attached(name, text)] },
        headers: { 'idempotency-key': 'k2' },
      });
    expect([(await say('one')).status, (await say('one')).status, (await say('two')).status]).toEqual([
      ...[201, 201, 409],
    ]);
    expect((await say('one', 'e.txt')).json.code).toBe('idempotency_conflict');
    const task = (text: string) => post([attached('a', text)], { headers: { 'idempotency-key': 'k3' } });
    expect([(await task('one')).status, (await task('one')).status, (await task('two')).status]).toEqual([
      ...[201, 201, 409],
    ]);
  });

  test.each([
    ['what is no base64', { name: 'a', data: 'x?==' }, 'its data is no base64'],
    ['what is cut', { name: 'a', data: 'abc' }, 'its data is no base64'],
    ['nothing', attached('a', ''), 'it is empty'],
    ['an archive', attached('a.zip', 'PK\u0003\u0004'.padEnd(30, '\0')), 'it is a ZIP archive'],
    ['bytes', attached('a', Buffer.from([1, 0, 2])), 'neither an image, a PDF nor a text in UTF-8'],
    ['an image that is damaged', attached('a.png', png.subarray(0, -6)), 'models do not take it'],
  ])('are refused where one is %s', async (_what, file, why) => {
    const { status, json } = await post([file]);
    expect([status, json.code]).toEqual([400, 'bad_attachment']);
    expect(json.detail).toContain(why);
  });

  test('are as many, as long in name, and as large as is allowed', async () => {
    const { files, name, text, total, pdf: largest } = ATTACHMENT_LIMITS;
    const many = (count: number) => Array.from({ length: count }, (_, index) => attached(`${index}`, 'x'));
    expect((await post(many(files))).status).toBe(201);
    expect((await post(many(files + 1))).status).toBe(400);
    expect((await post([attached('n'.repeat(name), 'x')])).status).toBe(201);
    expect((await post([attached('n'.repeat(name + 1), 'x')])).status).toBe(400);
    expect((await post([attached('a\n', 'x')])).status).toBe(400);
    expect((await post([attached('a', 'x'.repeat(text))])).status).toBe(201);
    expect((await post([attached('a', 'x'.repeat(text + 1))])).status).toBe(413);
    const large = (bytes: number) => Buffer.concat([pdf, Buffer.alloc(bytes - pdf.length, ' ')]);
    expect((await post([attached('a.pdf', large(Math.min(total, largest)))])).status).toBe(201);
    const over = await post([attached('a.pdf', large(total - 1)), attached('b', 'xx')]);
    expect([over.status, over.json.detail]).toEqual([413, expect.stringContaining(`at most ${total}`)]);
    const body = await it.ask('POST', '/v1/tasks', { raw: ' '.repeat(MAX_ATTACHED_BODY_BYTES + 1) });
    expect([body.status, body.json.detail]).toEqual([
      413,
      expect.stringContaining(`${MAX_ATTACHED_BODY_BYTES}`),
    ]);
  });
});
