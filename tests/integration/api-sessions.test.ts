/** Sessions as a whole over HTTP: named, found, archived, deleted. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DeletedSession, Problem, Session } from '../../src/api/wire.ts';
import { newId } from '../../src/clock.ts';
import { MAX_TITLE_LENGTH } from '../../src/core/title.ts';
import { settleTurn } from '../../src/store/turns.ts';
import { HandWorker, startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
let worker: HandWorker;
/** Done once, before the next tree is asked how far it goes. */
let between: (() => Promise<unknown>) | undefined;
beforeAll(async () => {
  it = await startTestApi(({ db }) => ({
    db: {
      ...db,
      sql: async (strings, ...values) => {
        const now = strings.join().includes('FROM tree') ? between : undefined;
        if (now !== undefined) between = undefined;
        await now?.();
        return db.sql(strings, ...values);
      },
    },
  }));
  worker = await new HandWorker(it.db).register();
});
afterAll(() => it.close());

/** A session whose task is over. */
async function done(prompt = 'Mend it', answer = 'All done.'): Promise<{ id: string; taskId: string }> {
  const { id: taskId, sessionId } = await it.submit({ prompt });
  const held = await worker.claim(uuid('session', sessionId));
  const resultPosition = await worker.answer(held, { parts: [{ type: 'text', text: answer }] });
  const end = { kind: 'finish', status: 'succeeded', resultPosition } as const;
  await settleTurn(it.db, held, { results: [], end, nextTurnId: newId() });
  return { id: sessionId, taskId };
}

const refusal = async (method: string, path: string, body?: unknown, headers = {}) => {
  const { json, status } = await it.ask(method, path, { body, headers });
  const { code, detail, field } = Problem.parse(json);
  return { status, code, detail, ...(field && { field }) };
};

describe('PATCH /v1/sessions/:id', () => {
  test('gives it another title, as long as a title may be', async () => {
    const { id } = await done();
    const title = 't'.repeat(MAX_TITLE_LENGTH);
    const { json } = await it.ask('PATCH', `/v1/sessions/${id}`, { body: { title: ` ${title.slice(2)} ` } });
    expect(Session.parse(json).title).toBe(title.slice(2));
    for (const wrong of [`${title}t`, '', '  ', 'two\nlines', undefined])
      expect(await refusal('PATCH', `/v1/sessions/${id}`, { title: wrong })).toMatchObject({
        ...{ status: 400, code: 'invalid_request', field: 'title' },
      });
  });
});

describe('GET /v1/sessions?q=', () => {
  test('says where each session says it', async () => {
    const { id } = await done('The quokka question\n\nDo they swim?', 'They swim, and the wombat does too.');
    const match = async (q: string) => {
      const { json } = await it.ask('GET', `/v1/sessions?q=${encodeURIComponent(q)}`);
      return json.data.map((one: Session) => [one.id, one.match]);
    };
    expect(await match('wombat')).toEqual([
      [id, { where: 'answered', entry: 2, text: 'They swim, and the wombat does too' }],
    ]);
    expect(await match('quokka swim')).toMatchObject([[id, { where: 'said', entry: null }]]);
    await it.ask('PATCH', `/v1/sessions/${id}`, { body: { title: 'Marsupials' } });
    expect(await match('marsup')).toEqual([[id, { where: 'title', entry: null, text: 'Marsupials' }]]);
    const stranger = await it.addPerson('theirs', 'Bo');
    expect((await it.ask('GET', '/v1/sessions?q=wombat', { key: stranger.apiKey })).json.data).toEqual([]);
  });

  test('comes in pages', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 3; count += 1) ids.unshift((await done('a numbat')).id);
    const first = (await it.ask('GET', '/v1/sessions?q=numbat&limit=2')).json;
    const rest = (await it.ask('GET', `/v1/sessions?q=numbat&limit=2&cursor=${first.nextCursor}`)).json;
    expect([...first.data, ...rest.data].map(({ id }: Session) => id)).toEqual(ids);
    expect(rest.nextCursor).toBeNull();
  });
});

describe('an archived session', () => {
  test('is left out of lists, takes nothing, can be forked, and comes back', async () => {
    const { id } = await done();
    const listed = async (query = '') =>
      (await it.ask('GET', `/v1/sessions?limit=1${query}`)).json.data[0].id === id;
    expect(await listed()).toBe(true);
    const { json } = await it.ask('POST', `/v1/sessions/${id}/archive`);
    expect(Session.parse(json).archivedAt).not.toBeNull();
    expect([await listed(), await listed('&archived=true'), await listed('&archived=false')]).toEqual([
      ...[false, true, false],
    ]);
    const archived = { status: 409, code: 'session_archived' };
    expect(await refusal('POST', '/v1/tasks', { prompt: 'x', sessionId: id })).toMatchObject(archived);
    expect(await refusal('POST', `/v1/sessions/${id}/messages`, { text: 'x' })).toMatchObject(archived);
    expect(await refusal('POST', `/v1/sessions/${id}/revert`, { entry: 1 })).toMatchObject(archived);
    expect((await it.ask('POST', `/v1/sessions/${id}/fork`, { body: {} })).status).toBe(201);
    await it.ask('POST', `/v1/sessions/${id}/unarchive`);
    const task = await it.submit({ sessionId: id });
    expect(await refusal('POST', `/v1/sessions/${id}/archive`)).toEqual({
      status: 409,
      code: 'task_unfinished',
      detail: `The session ${id} has a task that is not finished: cancel ${task.id} first, or wait for it.`,
    });
  });
});

describe('DELETE /v1/sessions/:id', () => {
  test('removes it for good, and its tail says so last', async () => {
    const { id, taskId } = await done('a secret pangolin');
    const stream = await fetch(`${it.url}/v1/sessions/${id}/events`, {
      headers: { authorization: `Bearer ${it.me.apiKey}`, accept: 'text/event-stream' },
    });
    const { json: events } = await it.ask('GET', `/v1/sessions/${id}/events?limit=200`);
    const waiting = it.ask('GET', `/v1/sessions/${id}/events?wait=20&after=${events.data.at(-1).seq}`);
    await expect
      .poll(async () => (await it.ask('GET', '/metrics', { key: null })).text)
      .toContain('capybara_long_polls 1');
    const { status, json } = await it.ask('DELETE', `/v1/sessions/${id}`);
    expect([status, DeletedSession.parse(json)]).toEqual([200, { id, deleted: true }]);
    const last = (await stream.text()).trim().split('\n\n').at(-1) ?? '';
    expect(last).toMatch(/^event: stream\.ended\n/);
    expect(JSON.parse(last.replace(/^.*\ndata: /s, ''))).toMatchObject({
      ...{ status: 404, code: 'session_deleted', detail: 'The session was deleted.' },
    });
    expect((await waiting).json).toMatchObject({ status: 404, code: 'session_deleted' });
    const gone = { status: 404, code: 'not_found', detail: `There is no session ${id}.` };
    expect(await refusal('DELETE', `/v1/sessions/${id}`)).toEqual(gone);
    for (const path of ['', '/entries', '/events', '/tool-calls', '/tree', '/why', '/diff'])
      expect([path, (await it.ask('GET', `/v1/sessions/${id}${path}`)).status]).toEqual([path, 404]);
    expect((await it.ask('GET', `/v1/tasks/${taskId}`)).status).toBe(404);
    expect((await it.ask('GET', '/v1/sessions?q=pangolin')).json.data).toEqual([]);
    const audit = (await it.ask('GET', `/v1/audit?subject=${id}`)).json.data;
    expect(audit.map(({ action }: { action: string }) => action)).toContain('DELETE /v1/sessions/:id');
  });

  test('is what whoever asks for its events is told of, however far they have read', async () => {
    const { id } = await done();
    between = () => it.ask('DELETE', `/v1/sessions/${id}`);
    expect(await refusal('GET', `/v1/sessions/${id}/events?after=2`)).toEqual({
      status: 404,
      code: 'not_found',
      detail: `There is no session ${id}.`,
    });
  });

  test('is refused with what to do first', async () => {
    const running = await it.submit();
    expect(await refusal('DELETE', `/v1/sessions/${running.sessionId}`)).toEqual({
      status: 409,
      code: 'task_unfinished',
      detail: `The session ${running.sessionId} has a task that is not finished: cancel ${running.id} first, or wait for it.`,
    });
    const { id } = await done();
    const fork = (await it.ask('POST', `/v1/sessions/${id}/fork`, { body: {} })).json.id;
    expect(await refusal('DELETE', `/v1/sessions/${id}`)).toEqual({
      status: 409,
      code: 'session_forked',
      detail: `The log of the session ${fork} begins with that of ${id}: delete that fork first.`,
    });
  });

  test('makes no new task of a request that comes again', async () => {
    const again = { body: { prompt: 'once' }, headers: { 'idempotency-key': 'k1' } };
    const { sessionId } = (await it.ask('POST', '/v1/tasks', again)).json;
    await worker.finish(uuid('session', sessionId));
    await it.ask('DELETE', `/v1/sessions/${sessionId}`);
    expect(await refusal('POST', '/v1/tasks', again.body, again.headers)).toEqual({
      status: 409,
      code: 'task_deleted',
      field: 'idempotency-key',
      detail:
        'The task that this Idempotency-Key made was deleted with its session: send a new key for a new task.',
    });
  });
});
