import { describe, expect, test } from 'vitest';
import type { Delivery, Webhook } from '../../src/api/wire-webhooks.ts';
import { testWebhook } from '../../src/cli/webhooks.ts';
import { createClient } from '../../src/client/client.ts';
import { capybara, withScriptedApi } from '../support/commands.ts';
import { AT, problem, type ScriptedApi } from './scripted-api.ts';

let api: ScriptedApi;
withScriptedApi((started) => {
  api = started;
});

const webhooks = (verb: string, ...argv: string[]) => capybara(`webhooks:${verb}`, ...argv);

const ID = `whk_${'7'.repeat(32)}`;
const DELIVERY_ID = `dlv_${'8'.repeat(32)}`;
const page = (...data: unknown[]) => ({ data, nextCursor: null });
const said = (stdout: string) => ({ stdout, stderr: '', code: 0 });

function aWebhook(change: Partial<Webhook> = {}): Webhook {
  return {
    ...{ id: ID, url: 'https://hooks.example/x', events: null, createdBy: 'Ana', signsTasks: true },
    ...{ createdAt: AT, failingSince: null, disabledAt: null, disabledReason: null },
    ...change,
  };
}

function aDelivery(change: Partial<Delivery> = {}): Delivery {
  return {
    ...{ id: DELIVERY_ID, webhookId: ID, taskId: null, type: 'webhook.test', rootId: null, seq: null },
    ...{ status: 'pending', tries: 0, nextTryAt: AT, lastStatus: null, lastAnswer: null },
    ...{ createdAt: AT, lastTryAt: null, endedAt: null },
    ...change,
  };
}

describe('webhooks', () => {
  test('list', async () => {
    const off = { disabledAt: AT, disabledReason: 'gone', events: ['task.failed'] } as const;
    const list = page(
      aWebhook(),
      aWebhook({ failingSince: AT, url: 'https://h/\u001b[31mred' }),
      aWebhook({ ...off, events: [...off.events] }),
    );
    api.on('GET /v1/webhooks', () => list);
    expect(await webhooks('list')).toEqual(
      said(
        'ID                                    STATE            EVENTS  URL\n' +
          `${ID}  on               all     https://hooks.example/x\n` +
          `${ID}  failing          all     https://h/red\n` +
          `${ID}  disabled (gone)  1       https://hooks.example/x\n`,
      ),
    );
    expect(JSON.parse((await webhooks('list', '--json')).stdout)).toEqual(JSON.parse(JSON.stringify(list)));
    api.on('GET /v1/webhooks', () => page());
    expect(await webhooks('list')).toEqual(said('No webhooks.\n'));
  });

  test('add tells its secret, once', async () => {
    api.on('POST /v1/webhooks', () => ({ ...aWebhook({ events: ['task.failed'] }), secret: 'whsec_s' }));
    const url = 'https://hooks.example/x';
    expect(await webhooks('add', url, '--event', 'task.failed', '--sign-tasks')).toEqual(
      said(
        `${ID} is told of task.failed at ${url}\n` +
          'Its secret, told this once: whsec_s\n' +
          `To try it: capybara webhooks test ${ID}\n`,
      ),
    );
    expect(api.received[0]?.body).toEqual({ url, events: ['task.failed'], signsTasks: true });
    await webhooks('add', url);
    expect(api.received.at(-1)?.body).toEqual({ url });
    expect(await webhooks('add', url, '--event', 'task.exploded')).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(
        /^--event must be one of session.created, .*; found "task.exploded": see/,
      ),
    });
  });

  test('show, and why it is disabled', async () => {
    const off = { disabledAt: AT, disabledReason: 'failing', signsTasks: false } as const;
    api.on(`GET /v1/webhooks/${ID}`, () => aWebhook({ ...off, events: ['task.failed', 'task.succeeded'] }));
    expect(await webhooks('show', ID)).toEqual(
      said(
        `webhook      ${ID}\n` +
          'url          https://hooks.example/x\n' +
          'events       task.failed, task.succeeded\n' +
          `state        disabled at ${AT}: it took nothing for days\n` +
          'signs tasks  no\n' +
          `created      ${AT} by Ana\n` +
          `\nTo enable it: capybara webhooks enable ${ID}\n`,
      ),
    );
    api.on(`GET /v1/webhooks/${ID}`, () => aWebhook({ failingSince: AT }));
    const { stdout } = await webhooks('show', ID);
    expect(stdout).toContain(`state        failing since ${AT}\n`);
    expect(stdout).not.toContain('enable');
  });

  test('are found by their beginning, or as the last one', async () => {
    api.on('GET /v1/webhooks', () => page(aWebhook(), aWebhook({ id: `whk_${'9'.repeat(32)}` })));
    api.on(`DELETE /v1/webhooks/${ID}`, () => ({ id: ID }));
    expect(await webhooks('remove', 'whk_77')).toEqual(said(`${ID} removed\n`));
    expect(await webhooks('remove', 'last')).toEqual(said(`${ID} removed\n`));
    expect(await webhooks('show', 'whk_')).toMatchObject({
      stderr: '2 ids begin with whk_: give more of the id.\n',
    });
    expect(await webhooks('show', 'task_1')).toEqual({
      ...{ code: 2, stdout: '' },
      stderr: '"task_1" is not an id: expected whk_…, its beginning, or "last".\n',
    });
    api.on('GET /v1/webhooks', () => page());
    expect(await webhooks('remove', 'last')).toMatchObject({ stderr: 'There is no webhook yet.\n' });
  });

  test('enable', async () => {
    api.on(`GET /v1/webhooks/${ID}`, () => aWebhook({ disabledAt: AT, disabledReason: 'person' }));
    api.on(`PATCH /v1/webhooks/${ID}`, () => aWebhook());
    expect(await webhooks('enable', ID)).toEqual(said(`${ID} enabled\n`));
    expect(api.received.at(-1)?.body).toEqual({ enabled: true });
  });

  test.each([
    ['delivered', 'Answered 204.', 0, `${DELIVERY_ID} was delivered. Answered 204.\n`],
    ['failed', 'No\u001b[2J way.', 1, `${DELIVERY_ID} was not delivered. No way.\n`],
  ] as const)('test says that it was %s', async (status, lastAnswer, code, stdout) => {
    api.on(`GET /v1/webhooks/${ID}`, () => aWebhook());
    api.on(`POST /v1/webhooks/${ID}/test`, () => aDelivery());
    api.on(`GET /v1/deliveries/${DELIVERY_ID}`, () => aDelivery({ status, lastAnswer }));
    expect(await webhooks('test', ID)).toEqual({ stdout, stderr: '', code });
  });

  test('test waits only so long for a worker', async () => {
    api.on(`GET /v1/webhooks/${ID}`, () => aWebhook());
    api.on(`POST /v1/webhooks/${ID}/test`, () => aDelivery());
    api.on(`GET /v1/deliveries/${DELIVERY_ID}`, () => aDelivery());
    const pauses: number[] = [];
    const pause = async (ms: number) => pauses.push(ms);
    const client = createClient({ url: api.url });
    expect(await testWebhook(client, ID, { everyMs: 250, forMs: 1_000, pause })).toEqual(aDelivery());
    expect(pauses).toEqual([250, 250, 250, 250]);
  });

  test('deliveries, of one or of all', async () => {
    const list = page(
      aDelivery({ type: 'task.failed', status: 'failed', tries: 10, lastAnswer: 'Answered 500: oops\n' }),
      aDelivery(),
    );
    for (const path of ['/v1/deliveries', `/v1/webhooks/${ID}/deliveries`]) api.on(`GET ${path}`, () => list);
    api.on(`GET /v1/webhooks/${ID}`, () => aWebhook());
    const text =
      'ID                                    EVENT         STATUS   TRIES  CREATED                   LAST ANSWER\n' +
      `${DELIVERY_ID}  task.failed   failed   10     ${AT}  Answered 500: oops\n` +
      `${DELIVERY_ID}  webhook.test  pending  0      ${AT}  -\n`;
    expect(await webhooks('deliveries')).toEqual(said(text));
    expect(await webhooks('deliveries', ID, '--status', 'failed', '--limit', '2')).toEqual(said(text));
    expect(api.received.at(-1)).toMatchObject({
      path: `/v1/webhooks/${ID}/deliveries`,
      query: { status: 'failed', limit: '2' },
    });
    api.on('GET /v1/deliveries', () => page());
    expect(await webhooks('deliveries')).toEqual(said('No deliveries.\n'));
  });

  test('replay', async () => {
    api.on(`POST /v1/deliveries/${DELIVERY_ID}/replay`, () => aDelivery());
    api.on('GET /v1/deliveries', () => page(aDelivery()));
    for (const id of [DELIVERY_ID, 'dlv_8', 'last'])
      expect(await webhooks('replay', id)).toEqual(said(`${DELIVERY_ID} is on its way again\n`));
    expect(await webhooks('replay', ID)).toMatchObject({ code: 2, stderr: expect.stringContaining('dlv_…') });
    api.on(`POST /v1/deliveries/${DELIVERY_ID}/replay`, (_, response) =>
      problem(response, 409, 'not_deliverable', 'It goes nowhere: The webhook was removed.'),
    );
    expect(await webhooks('replay', DELIVERY_ID)).toMatchObject({
      stderr: 'It goes nowhere: The webhook was removed.\n',
    });
  });
});
