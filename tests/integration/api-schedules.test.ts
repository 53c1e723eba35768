/** Schedules as people make, look at and change them, and what an API hands in of them when they are due. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_SCHEDULER, Scheduler } from '../../src/api/scheduler.ts';
import { Problem, Task } from '../../src/api/wire.ts';
import { Schedule } from '../../src/api/wire-schedules.ts';
import { LISTED_PROMPT_LENGTH, MAX_SCHEDULE_NAME_LENGTH } from '../../src/core/schedule.ts';
import { createModels } from '../../src/model/providers.ts';
import { DatabaseUnavailable } from '../../src/store/database.ts';
import { databaseWithPoints } from '../support/points.ts';
import { keyOf } from '../support/store.ts';
import { startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
/** One API of two that look at the same time. */
let schedulers: readonly Scheduler[];

beforeAll(async () => {
  it = await startTestApi(() => ({ schedules: { perTeam: 3, shortestSeconds: 60 }, allowLocal: false }));
  schedulers = [new Scheduler(it.deps), new Scheduler(it.deps)];
});
afterEach(async () => {
  await it.db.sql`TRUNCATE schedule`;
});
afterAll(async () => {
  await Promise.all(schedulers.map((each) => each.close()));
  await it.close();
});

const NIGHTLY = {
  name: 'nightly',
  cron: '0 6 * * 1-5',
  timeZone: 'Europe/Berlin',
  task: { prompt: 'Mend it.' },
};
const make = async (body: object = {}, headers = {}) =>
  Schedule.parse((await it.ask('POST', '/v1/schedules', { body: { ...NIGHTLY, ...body }, headers })).json);
const look = async (id: string) => Schedule.parse((await it.ask('GET', `/v1/schedules/${id}`)).json);
const change = (id: string, body: object, key = it.me.apiKey) =>
  it.ask('PATCH', `/v1/schedules/${id}`, { body, key });
const problem = async (method: string, path: string, body?: object, headers = {}) => {
  const { json } = await it.ask(method, path, { ...(body && { body }), headers });
  const { status, code, detail, field } = Problem.parse(json);
  return { status, code, detail, ...(field === undefined ? {} : { field }) };
};
const tasksOf = async (id: string) =>
  (await it.ask('GET', `/v1/tasks?scheduleId=${id}`)).json.data.map((each: unknown) =>
    Task.parse(each),
  ) as Task[];

/** As if it had been due so long ago, and nobody had been there since. */
async function due(id: string, ago = '1 second') {
  await it.db
    .sql`UPDATE schedule SET due_at = clock_timestamp() - ${ago}::interval WHERE id = ${uuid('schedule', id)}`;
}
/** What it did by itself, as the audit tells of it. */
const audited = async (subject: string | undefined) =>
  (await it.ask('GET', `/v1/audit?subject=${subject}`)).json.data
    .filter(({ action }: { action: string }) => action.startsWith('schedule.'))
    .map(({ userName, keyName, action, status }: Record<string, unknown>) => [
      ...[userName, keyName, action, status],
    ]);
const sweep = () => Promise.all(schedulers.map((each) => each.sweep()));

describe('a schedule', () => {
  test('is made, listed and shown', async () => {
    const schedule = await make();
    expect(schedule).toEqual({
      ...{ ...NIGHTLY, id: expect.stringMatching(/^sch_[0-9a-f]{32}$/), every: null, overlap: 'skip' },
      ...{ enabled: true, actsFor: 'Ana', createdAt: expect.any(String) },
      nextDueAt: expect.stringMatching(/T0[45]:00:00.000Z$/),
      ...{ lastTaskId: null, lastError: null, lastSkippedAt: null, disabledAt: null, disabledReason: null },
    });
    const other = await make({ name: 'hourly', cron: undefined, every: 3_600, enabled: false });
    expect(other).toMatchObject({ every: 3_600, cron: null, nextDueAt: null, disabledReason: 'person' });
    const { json } = await it.ask('GET', '/v1/schedules?limit=1');
    expect(json).toEqual({ data: [other], nextCursor: other.id });
    const rest = await it.ask('GET', `/v1/schedules?limit=1&cursor=${other.id}`);
    expect(rest.json).toEqual({ data: [schedule], nextCursor: null });
    expect((await it.ask('GET', '/v1/schedules?name=nightly')).json.data).toEqual([schedule]);
    expect(await look(schedule.id)).toEqual(schedule);
  });

  test('has its prompt cut short in lists, and whole by its id', async () => {
    const length = LISTED_PROMPT_LENGTH;
    const [most, more] = ['é'.repeat(length), 'é'.repeat(length + 1)];
    await make({ task: { prompt: most } });
    const { id } = await make({ name: 'long', task: { prompt: more, model: 'openai/m' } });
    const { data } = (await it.ask('GET', '/v1/schedules')).json;
    const tasks = data.map((each: Schedule) => each.task);
    expect(tasks).toEqual([{ prompt: `${most}…`, model: 'openai/m' }, { prompt: most }]);
    expect((await look(id)).task.prompt).toBe(more);
  });

  test('shows the address of its webhook only to those who may hand in tasks, or see webhooks', async () => {
    const webhookUrl = 'https://hooks.example/path?token=hush';
    await it.db.sql`UPDATE team SET signing_webhook_id = id WHERE id = ${it.me.teamId}`;
    const { id, task } = await make({ task: { prompt: 'x', webhookUrl } });
    expect(task.webhookUrl).toBe(webhookUrl);
    for (const [scopes, shown] of [
      [['read'], 'https://hooks.example'],
      [['read', 'submit'], webhookUrl],
      [['read', 'admin'], webhookUrl],
    ] as const) {
      const { apiKey: key } = await keyOf(it.db, { ...it.me, name: scopes.join('-'), scopes });
      const { json: one } = await it.ask('GET', `/v1/schedules/${id}`, { key });
      const { json: list } = await it.ask('GET', '/v1/schedules', { key });
      expect([one.task.webhookUrl, list.data[0].task.webhookUrl]).toEqual([shown, shown]);
    }
  });

  test('is made once under one key', async () => {
    const headers = { 'idempotency-key': 'one' };
    const first = await make({}, headers);
    await it.ask('DELETE', `/v1/schedules/${first.id}`);
    expect(await make({}, headers)).toEqual(first);
    expect(await problem('POST', '/v1/schedules', { ...NIGHTLY, cron: '0 7 * * *' }, headers)).toMatchObject({
      ...{ status: 409, code: 'idempotency_conflict' },
    });
  });

  test('is the same for a day, also where its answer was lost and it was removed, and another one after', async () => {
    const headers = { 'idempotency-key': 'day' };
    const { id } = await make({}, headers);
    await it.ask('DELETE', `/v1/schedules/${id}`);
    await it.db.sql`DELETE FROM idempotency_key WHERE key LIKE ${'schedule %\nday'}`;
    expect(await make({}, headers)).toMatchObject({ id });
    await it.db.sql`UPDATE idempotency_key SET created_at = created_at - interval '24 hours'`;
    const next = await make({ cron: '0 7 * * *' }, headers);
    expect(next.id).not.toBe(id);
    expect(await make({ cron: '0 7 * * *' }, headers)).toEqual(next);
  });

  test('has a name of its own, and is one of as many as a team may have', async () => {
    await make();
    expect(await problem('POST', '/v1/schedules', NIGHTLY)).toEqual({
      ...{ status: 409, code: 'name_taken', field: 'name' },
      detail: 'There is a schedule of the name "nightly": choose another, or remove that one.',
    });
    const { id } = await make({ name: 'other' });
    expect((await change(id, { name: 'nightly' })).json).toMatchObject({ status: 409, code: 'name_taken' });
    await make({ name: 'third' });
    expect(await problem('POST', '/v1/schedules', { ...NIGHTLY, name: 'more' })).toMatchObject({
      ...{ status: 409, code: 'too_many_schedules' },
      detail: expect.stringContaining('the 3 schedules that it may have'),
    });
  });

  test('is changed, disabled, enabled and removed', async () => {
    const { id, nextDueAt } = await make();
    const changed = async (body: object) => Schedule.parse((await change(id, body)).json);
    expect(await changed({ overlap: 'queue', task: { prompt: 'y', mode: 'plan' } })).toMatchObject({
      ...{ overlap: 'queue', task: { prompt: 'y', mode: 'plan' }, nextDueAt, cron: '0 6 * * 1-5' },
    });
    expect((await changed({ timeZone: 'UTC' })).nextDueAt).toMatch(/T06:00:00.000Z$/);
    expect(await changed({ every: 600 })).toMatchObject({ cron: null, every: 600 });
    expect(await changed({ enabled: false })).toMatchObject({ enabled: false, nextDueAt: null });
    expect(await changed({ cron: '0 7 * * *' })).toMatchObject({
      enabled: false,
      nextDueAt: null,
      every: null,
    });
    expect((await changed({ enabled: true })).nextDueAt).toMatch(/T07:00:00.000Z$/);
    expect((await it.ask('DELETE', `/v1/schedules/${id}`)).json).toEqual({ id });
    expect(await problem('GET', `/v1/schedules/${id}`)).toMatchObject({
      detail: `There is no schedule ${id}.`,
    });
    expect((await it.ask('GET', '/v1/schedules')).json.data).toEqual([]);
  });

  test.each([
    [{ cron: undefined }, 'bad_schedule', 'cron'],
    [{ every: 60 }, 'bad_schedule', 'every'],
    [{ cron: '0 0 30 2 *' }, 'bad_schedule', 'cron'],
    [{ cron: undefined, every: 59 }, 'bad_schedule', 'every'],
    [{ timeZone: 'Middle/Earth' }, 'bad_schedule', 'timeZone'],
    [{ name: '' }, 'invalid_request', 'name'],
    [{ name: 'sch_1' }, 'invalid_request', 'name'],
    [{ name: 'last' }, 'invalid_request', 'name'],
    [{ name: 'x'.repeat(MAX_SCHEDULE_NAME_LENGTH + 1) }, 'invalid_request', 'name'],
    [{ overlap: 'wait' }, 'invalid_request', 'overlap'],
    [{ task: {} }, 'invalid_request', 'task.prompt'],
    [{ task: { prompt: ' ' } }, 'empty_prompt', 'task.prompt'],
    [{ task: { prompt: 'x', agent: 'nobody' } }, 'unknown_agent', 'task.agent'],
    [{ task: { prompt: 'x', model: 'nobody/m' } }, 'unknown_model', 'task.model'],
    [{ task: { prompt: 'x', attachments: [] } }, 'invalid_request', 'task.attachments'],
    [{ task: { prompt: 'x', sessionId: `ses_${'0'.repeat(32)}` } }, 'not_found', 'task.sessionId'],
    [{ task: { prompt: 'x', workspace: { kind: 'local', path: '/' } } }, 'local_workspace', 'task.workspace'],
    [{ task: { prompt: 'x', workspace: { kind: 'upload', id: 'ws_1' } } }, 'bad_workspace', 'task.workspace'],
    [
      {
        task: { prompt: 'x', workspace: { kind: 'roots', roots: { a: { kind: 'upload', id: 'ws_1' } } } },
      },
      'bad_workspace',
      'task.workspace',
    ],
  ])('is not made with %j', async (wrong, code, field) => {
    const body = { ...NIGHTLY, ...wrong };
    expect(await problem('POST', '/v1/schedules', body)).toMatchObject({ code, field });
    expect((await it.ask('GET', '/v1/schedules')).json.data).toEqual([]);
  });

  test('makes a task when somebody asks, once under one key, and none beside one that has not ended', async () => {
    const { id, nextDueAt } = await make();
    const run = (key: string) =>
      it.ask('POST', `/v1/schedules/${id}/run`, { headers: { 'idempotency-key': key } });
    const first = await run('a');
    expect(first.status).toBe(201);
    const task = Task.parse(first.json);
    expect(task).toMatchObject({ prompt: 'Mend it.', createdBy: 'Ana', status: 'queued' });
    expect((await run('a')).json.id).toBe(task.id);
    expect((await run('b')).json).toMatchObject({
      status: 409,
      code: 'schedule_busy',
      detail: expect.stringContaining(task.id),
    });
    await it.ask('POST', `/v1/tasks/${task.id}/cancel`);
    expect((await run('b')).status).toBe(201);
    expect(await tasksOf(id)).toHaveLength(2);
    expect((await look(id)).nextDueAt).toBe(nextDueAt);
    expect(await problem('GET', '/v1/tasks?scheduleId=x')).toMatchObject({
      status: 400,
      field: 'scheduleId',
    });
  });
});

describe('what is due', () => {
  test('makes one task, though two look, and though it was due for days', async () => {
    const { id } = await make({ cron: undefined, every: 3_600 });
    await due(id, '5 days');
    await sweep();
    const [task, ...more] = await tasksOf(id);
    expect(more).toEqual([]);
    expect(task).toMatchObject({ prompt: 'Mend it.', createdBy: 'Ana', status: 'queued' });
    expect(await audited(task?.id)).toEqual([['Ana', 'test', 'schedule.fired', 201]]);
    const { lastTaskId, nextDueAt } = await look(id);
    expect(lastTaskId).toBe(task?.id);
    const ahead = Date.parse(nextDueAt ?? '') - Date.now();
    expect(ahead).toBeGreaterThan(3_590_000);
    expect(ahead).toBeLessThanOrEqual(3_600_000);
    await sweep();
    expect(await tasksOf(id)).toHaveLength(1);
  });

  test.each(['before', 'after'])(
    'makes one task, though the API that hands it in is killed %s the commit, or comes back to life',
    async (when) => {
      const { id } = await make();
      await due(id);
      const killed = Promise.withResolvers<void>();
      const revived = Promise.withResolvers<void>();
      const db = databaseWithPoints(it.db, async (point) => {
        if (point !== `${when} fire_schedule`) return;
        killed.resolve();
        await revived.promise;
      });
      const swept = new Scheduler({ ...it.deps, db }).sweep();
      await killed.promise;
      await sweep();
      expect(await tasksOf(id)).toHaveLength(1);
      const was = await look(id);
      revived.resolve();
      await swept;
      expect(await tasksOf(id)).toHaveLength(1);
      expect(await look(id)).toEqual(was);
    },
  );

  test('is the next task of its session, or one of a new session each time', async () => {
    const { sessionId } = await it.submit();
    const same = await make({ name: 'same', overlap: 'queue', task: { prompt: 'x', sessionId } });
    const fresh = await make({ name: 'new', overlap: 'queue' });
    for (let count = 0; count < 2; count += 1) {
      for (const { id } of [same, fresh]) await due(id);
      await sweep();
    }
    const sessions = async (id: string) => new Set((await tasksOf(id)).map((task) => task.sessionId));
    expect([...(await sessions(same.id))]).toEqual([sessionId]);
    expect((await sessions(fresh.id)).size).toBe(2);
  });

  test('is passed over where one of it has not ended', async () => {
    const { id } = await make();
    for (let count = 0; count < 2; count += 1) {
      await due(id);
      await sweep();
    }
    expect(await tasksOf(id)).toHaveLength(1);
    expect(await look(id)).toMatchObject({
      lastSkippedAt: expect.any(String),
      lastError: null,
      enabled: true,
    });
  });

  test('says why it made none, and is due again', async () => {
    const { id } = await make({ task: { prompt: 'x', model: 'openai/m' } });
    await due(id);
    const models = createModels({}, {});
    await new Scheduler({ ...it.deps, models }).sweep();
    const { lastError, enabled, nextDueAt } = await look(id);
    expect(lastError).toMatchObject({ code: 'no_provider', message: expect.any(String) });
    expect([enabled, nextDueAt]).toEqual([true, expect.any(String)]);
    await due(id);
    await sweep();
    expect(await look(id)).toMatchObject({ lastError: null, lastTaskId: expect.any(String) });
  });

  test('stays due where that is no fault of its own, and keeps no other from it', async () => {
    const ill = await make({ name: 'ill', task: { prompt: 'x', model: 'openai/ill' } });
    const well = await make();
    await due(ill.id, '2 minutes');
    await due(well.id, '1 minute');
    const models: typeof it.deps.models = {
      ...it.deps.models,
      resolve: (name) => {
        if (name === 'openai/ill') throw new DatabaseUnavailable(new Error('away'));
        return it.deps.models.resolve(name);
      },
    };
    const scheduler = new Scheduler({ ...it.deps, models }, { batch: 1 });
    await scheduler.sweep();
    await scheduler.sweep();
    expect(await tasksOf(ill.id)).toEqual([]);
    expect(await tasksOf(well.id)).toHaveLength(1);
    await sweep();
    expect(await tasksOf(ill.id)).toHaveLength(1);
  });

  test('is passed over where a bug keeps it from making one, so that its owner sees it', async () => {
    const { id } = await make({ task: { prompt: 'x', model: 'openai/ill' } });
    await due(id);
    const models: typeof it.deps.models = {
      ...it.deps.models,
      resolve: () => {
        throw new TypeError('nobody expected this');
      },
    };
    const scheduler = new Scheduler({ ...it.deps, models }, { restMs: 0 });
    const { nextDueAt } = await look(id);
    for (let tries = 1; tries < DEFAULT_SCHEDULER.tries; tries += 1) await scheduler.sweep();
    expect(await look(id)).toMatchObject({ nextDueAt, lastError: null });
    await scheduler.sweep();
    expect(await look(id)).toMatchObject({
      ...{ enabled: true, nextDueAt: expect.stringMatching(/T0[45]:00:00.000Z$/) },
      lastError: { code: 'internal', message: expect.stringContaining(uuid('schedule', id)) },
    });
    await due(id);
    await sweep();
    expect(await look(id)).toMatchObject({ lastError: null, lastTaskId: expect.any(String) });
  });

  test.each([
    ['that never comes', '0 0 30 2 *', 'UTC'],
    ['in a time zone that is gone', '0 0 * * *', 'Middle/Earth'],
  ])('is disabled where it is due again at a time %s', async (_, cron, timeZone) => {
    const { id } = await make();
    await it.db.sql`UPDATE schedule SET cron = ${cron}, time_zone = ${timeZone}`;
    await due(id);
    const scheduler = new Scheduler(it.deps, { restMs: 0, tries: 2 });
    for (let tries = 0; tries < 2; tries += 1) await scheduler.sweep();
    expect(await look(id)).toMatchObject({
      ...{ enabled: false, disabledReason: 'never_due', nextDueAt: null, lastError: { code: 'internal' } },
    });
    expect(await audited(id)).toEqual([['Ana', 'test', 'schedule.disabled', 200]]);
  });

  test('is disabled where its session takes no more', async () => {
    const { id: taskId, sessionId } = await it.submit();
    await it.ask('POST', `/v1/tasks/${taskId}/cancel`);
    const { id } = await make({ task: { prompt: 'x', sessionId } });
    await it.ask('POST', `/v1/sessions/${sessionId}/archive`);
    await due(id);
    await sweep();
    expect(await look(id)).toMatchObject({
      ...{ enabled: false, disabledReason: 'session', nextDueAt: null },
      lastError: { code: 'session_archived', message: expect.stringContaining(sessionId) },
    });
    expect(await audited(id)).toEqual([['Ana', 'test', 'schedule.disabled', 200]]);
    const refused = [await change(id, { enabled: true }), await it.ask('POST', `/v1/schedules/${id}/run`)];
    for (const { json } of refused)
      expect(json).toMatchObject({ code: 'session_archived', field: 'task.sessionId' });
  });

  test('is disabled where its maker has left, until somebody else enables it', async () => {
    const bo = await it.addPerson('ours', 'Bo');
    const { json } = await it.ask('POST', '/v1/schedules', { body: NIGHTLY, key: bo.apiKey });
    const { id } = Schedule.parse(json);
    expect((await look(id)).actsFor).toBe('Bo');
    await it.ask('DELETE', `/v1/users/usr_${bo.userId.replaceAll('-', '')}`);
    await due(id);
    await sweep();
    expect(await look(id)).toMatchObject({ disabledReason: 'revoked', nextDueAt: null });
    expect(await audited(id)).toEqual([['Bo', 'test', 'schedule.disabled', 200]]);
    expect(await tasksOf(id)).toEqual([]);
    await change(id, { enabled: true });
    await due(id);
    await sweep();
    expect(await tasksOf(id)).toMatchObject([{ createdBy: 'Ana', scheduleId: id }]);
  });

  test('is handed in by an API that runs, which then stops', async () => {
    const { id } = await make();
    await due(id);
    const scheduler = new Scheduler(it.deps, { everyMs: 10 });
    scheduler.start();
    await expect.poll(() => tasksOf(id), { interval: 20 }).toHaveLength(1);
    await scheduler.close();
  });
});
