/** What the API says will wake a session's tasks, in data and in words. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { MAX_TASKS } from '../../src/api/why-routes.ts';
import { MAX_QUESTIONS, sentenceOf } from '../../src/api/why-sentence.ts';
import { Why, type WhyTask } from '../../src/api/wire.ts';
import { newId } from '../../src/clock.ts';
import { toPublicId } from '../../src/core/id.ts';
import { handBackTurn, parkTurn, retryTurn, settleTurn } from '../../src/store/turns.ts';
import { takeOverTurn } from '../../src/store/workers.ts';
import { aCall, HandWorker, startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
let worker: HandWorker;

beforeAll(async () => {
  it = await startTestApi();
});
afterAll(() => it.close());
beforeEach(async () => {
  worker = await new HandWorker(it.db).register();
});
afterEach(() => endWorkers());

const execute = (sql: string) => it.db.pool.query(sql);
const endWorkers = () => execute('UPDATE worker SET ended_at = clock_timestamp() WHERE ended_at IS NULL');

async function why(sessionId: string): Promise<Why> {
  const { status, json } = await it.ask('GET', `/v1/sessions/${sessionId}/why`);
  expect(status).toBe(200);
  return Why.parse(json);
}

/** The session's one unfinished task. Its sentence has `N s` for any number of seconds. */
async function only(sessionId: string): Promise<WhyTask> {
  const { tasks, sentence, more } = await why(sessionId);
  expect([sentence, more, tasks.length]).toEqual(['1 task is unfinished.', false, 1]);
  const [task] = tasks as [WhyTask];
  return { ...task, sentence: withoutSeconds(task.sentence) };
}

const withoutSeconds = (text: string) => text.replaceAll(/\d+(\.\d)? s\b/g, 'N s');
const saying = async (sessionId: string) => (await only(sessionId)).sentence;
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const seconds = expect.any(Number);

/** Parked, with a question for each of these tools. Returns the approvals' ids. */
async function asking(sessionId: string, tools: readonly string[]): Promise<string[]> {
  const held = await worker.claim(uuid('session', sessionId));
  const calls = tools.map((name, ordinal) =>
    aCall({ ordinal, callId: `c${ordinal}`, name, status: 'awaiting_approval', approvalId: newId() }),
  );
  const parts = calls.map(({ callId, name }) => ({ type: 'tool' as const, callId, name, arguments: '{}' }));
  await worker.answer(held, { parts, calls });
  await parkTurn(it.db, held, []);
  return calls.map(({ approvalId }) => toPublicId('approval', approvalId ?? ''));
}

const NO_WORKER =
  'but no worker is live: start one with `capybara up` on your own machine, `capybara worker` on a server.';

describe('a task is woken', () => {
  test('by the next worker with a free slot', async () => {
    const { id, sessionId } = await it.submit();
    expect(await only(sessionId)).toEqual({
      taskId: id,
      sessionId,
      status: 'queued',
      kind: 'queued',
      evidence: { turn: 1, since: time, waitedSeconds: seconds, liveWorkers: 1, pinnedTo: null },
      via: [],
      sentence: 'Turn 1 has waited N s for a worker: the next with a free slot takes it, and 1 is live.',
    });
    await new HandWorker(it.db).register();
    expect(await saying(sessionId)).toMatch(/, and 2 are live\.$/);
    await endWorkers();
    expect(await saying(sessionId)).toBe(`Turn 1 has waited N s for a worker, ${NO_WORKER}`);
    await execute(`UPDATE turn SET created_at = now() - interval '25 days 3 h 20 min'`);
    expect(await saying(sessionId)).toContain('has waited 25 days 3 h for');
  });

  test('by the worker that has its turn', async () => {
    const { id, sessionId } = await it.submit();
    const held = await worker.claim(uuid('session', sessionId));
    const named = `The worker ${toPublicId('worker', worker.id)}`;
    await execute(`UPDATE worker SET lease_expires_at = now() + interval '30 s' WHERE id = '${worker.id}'`);
    expect(await only(sessionId)).toEqual({
      ...{ taskId: id, sessionId, status: 'running', kind: 'lease', via: [] },
      evidence: {
        ...{ turn: 1, liveWorkers: 1, startedAt: time, workerId: toPublicId('worker', worker.id) },
        ...{ leaseSecondsLeft: seconds, cancelRequested: false },
      },
      sentence: `${named} is at turn 1 and goes on; if it dies, its lease ends in N s and another one takes over.`,
    });
    await it.ask('POST', `/v1/tasks/${id}/cancel`);
    expect(await saying(sessionId)).toMatch(/ was told to cancel turn 1; if it dies, /);
    await execute(`UPDATE worker SET lease_expires_at = now() - interval '5 s' WHERE id = '${worker.id}'`);
    expect(await saying(sessionId)).toBe(`${named} was lost N s ago at turn 1, ${NO_WORKER}`);
    await new HandWorker(it.db).register();
    expect(await saying(sessionId)).toMatch(
      / was lost N s ago at turn 1: another one takes over in a second\.$/,
    );
    await handBackTurn(it.db, held, { results: [], spent: true, nextTurnId: newId() });
  });

  test('by a time, after a request that failed', async () => {
    const { id, sessionId } = await it.submit();
    const held = await worker.claim(uuid('session', sessionId));
    const failure = { code: 'rate_limited', message: 'The provider asks to wait.' };
    await retryTurn(it.db, held, { delayMs: 50_000, failure, spent: false, nextTurnId: newId() });
    const said = 'the last try failed: The provider asks to wait (rate_limited)';
    expect(await only(sessionId)).toEqual({
      ...{ taskId: id, sessionId, status: 'waiting', kind: 'due', via: [] },
      evidence: { turn: 1, liveWorkers: 1, dueAt: time, dueInSeconds: seconds, failure },
      sentence: `Turn 1 is tried again in N s; ${said}.`,
    });
    await endWorkers();
    expect(await saying(sessionId)).toBe(`Turn 1 is tried again in N s; ${said}, ${NO_WORKER}`);
    await execute(`UPDATE turn SET due_at = now() - interval '1 s' WHERE status = 'ready'`);
    expect(await saying(sessionId)).toBe(`Turn 1 is tried again now; ${said}, ${NO_WORKER}`);
  });

  test('by a time, after its worker was lost', async () => {
    const { sessionId } = await it.submit();
    const take = { backoffMs: [20_000], nextTurnId: newId(), own: true };
    await takeOverTurn(it.db, await worker.claim(uuid('session', sessionId)), take);
    expect(await only(sessionId)).toMatchObject({
      evidence: { failure: { code: 'worker_lost', message: 'its worker was lost' } },
      sentence: 'Turn 1 is tried again in N s; the last try failed: its worker was lost (worker_lost).',
    });
    await execute(`UPDATE turn SET takeovers = 3 WHERE status = 'ready'`);
    expect(await saying(sessionId)).toContain(': its worker was lost 3 times in a row (worker_lost).');
  });

  test('at once, where its turn may begin', async () => {
    const { sessionId } = await it.submit();
    await execute(`UPDATE turn SET status = 'ready' WHERE session_id = '${uuid('session', sessionId)}'`);
    expect(await only(sessionId)).toMatchObject({
      ...{ kind: 'admission', evidence: { turn: 1, liveWorkers: 1 } },
      sentence: 'Turn 1 may begin: a worker takes it up in a second.',
    });
    await endWorkers();
    expect(await saying(sessionId)).toBe(`Turn 1 may begin, ${NO_WORKER}`);
  });

  test('by a person, with the command to type', async () => {
    const { id, sessionId } = await it.submit();
    const [approvalId = ''] = await asking(sessionId, ['bash']);
    expect(await only(sessionId)).toEqual({
      ...{ taskId: id, sessionId, status: 'waiting', kind: 'calls', via: [] },
      evidence: {
        ...{ turn: 1, children: 0 },
        approvals: [{ id: approvalId, tool: 'bash', arguments: '{}', askedAt: time, expiresAt: null }],
      },
      sentence: `A person must allow or deny bash: \`capybara approvals allow ${approvalId}\` (or deny).`,
    });
  });

  test('by a person, with the time from which nobody needs to answer any more', async () => {
    const { sessionId } = await it.submit();
    const [approvalId = ''] = await asking(sessionId, ['bash']);
    await execute(
      `UPDATE approval SET expires_at = clock_timestamp() + interval '2 h' WHERE id = '${uuid('approval', approvalId)}'`,
    );
    expect(await only(sessionId)).toMatchObject({
      evidence: { approvals: [{ id: approvalId, expiresAt: time }] },
      sentence: expect.stringMatching(/ \(or deny\)\. Without an answer it is denied in (2 h|119|1 h 59)/),
    });
  });

  test('by a person with several answers, of which a sentence tells a few', async () => {
    const tools = ['a', 'b', 'c', 'd', 'e'];
    const { sessionId } = await it.submit();
    const ids = await asking(sessionId, tools);
    const told = tools.map((tool, index) => `${tool}: \`capybara approvals allow ${ids[index]}\` (or deny)`);
    const some = told.slice(0, MAX_QUESTIONS).join(', ');
    expect(await saying(sessionId)).toBe(
      `A person must allow or deny ${some}, and 2 more, which \`capybara approvals list\` shows.`,
    );
    const body = { decision: 'allow' };
    for (const id of ids.slice(0, 2)) await it.ask('POST', `/v1/approvals/${id}`, { body });
    expect(await saying(sessionId)).toBe(`A person must allow or deny ${told.slice(2).join(', ')}.`);
  });

  test('by the end of the tasks before it', async () => {
    const { id: first, sessionId } = await it.submit();
    await asking(sessionId, ['bash']);
    const second = await it.submit({ sessionId });
    await it.submit({ sessionId });
    const { tasks, sentence } = await why(sessionId);
    expect(sentence).toBe('3 tasks are unfinished.');
    expect(tasks).toMatchObject([
      { taskId: first, kind: 'calls' },
      {
        ...{ taskId: second.id, kind: 'earlier', evidence: { ahead: 1 } },
        via: [{ taskId: first, kind: 'calls' }],
        sentence: `It begins when the task before it has ended: ${first}.`,
      },
      { sentence: `It begins when the 2 tasks before it have ended, of which ${first} is the first.` },
    ]);
  });
});

describe('a session with nothing unfinished says how its last task ended:', () => {
  async function ended(sessionId: string): Promise<string> {
    const { tasks, sentence } = await why(sessionId);
    expect(tasks).toEqual([]);
    return withoutSeconds(sentence);
  }

  test('well', async () => {
    const { id, sessionId } = await it.submit();
    await worker.finish(uuid('session', sessionId));
    expect(await ended(sessionId)).toBe(`Nothing is unfinished: the last task, ${id}, succeeded N s ago.`);
  });

  test('by a cancel, a day ago', async () => {
    await it.submit();
    const { id, sessionId } = await it.submit();
    await it.ask('POST', `/v1/tasks/${id}/cancel`);
    await execute(`UPDATE task SET ended_at = ended_at - interval '1 day'`);
    expect(await ended(sessionId)).toBe(
      `Nothing is unfinished: the last task, ${id}, was cancelled 24 h 0 min ago.`,
    );
  });

  test('by a failure', async () => {
    const { id, sessionId } = await it.submit();
    const held = await worker.claim(uuid('session', sessionId));
    const end = { kind: 'finish', status: 'failed', code: 'refused', message: 'It refused.' } as const;
    await settleTurn(it.db, held, { results: [], end, nextTurnId: newId() });
    expect(await ended(sessionId)).toBe(
      `Nothing is unfinished: the last task, ${id}, failed N s ago: It refused (refused).`,
    );
  });

  test('nothing of that, where it never had one', async () => {
    const { id, sessionId } = await it.submit();
    await execute(`DELETE FROM turn WHERE task_id = '${uuid('task', id)}'`);
    await execute(`DELETE FROM message WHERE task_id = '${uuid('task', id)}'`);
    await execute(`DELETE FROM task WHERE id = '${uuid('task', id)}'`);
    expect(await ended(sessionId)).toBe('Nothing is unfinished.');
  });
});

describe('a bug of Capybara is called one:', () => {
  const endTurns = (sessionId: string) =>
    execute(
      `UPDATE turn SET status = 'cancelled', ended_at = now() WHERE session_id = '${uuid('session', sessionId)}'`,
    );
  const bug = (id: string) =>
    `this is a bug in Capybara; report what \`capybara why ${id} --json\` prints, and cancel the task with \`capybara tasks cancel ${id}\`.`;

  test('nothing will wake the task, nor those that wait for it; cancelling helps', async () => {
    const { id, sessionId } = await it.submit();
    const second = await it.submit({ sessionId });
    await endTurns(sessionId);
    expect((await why(sessionId)).tasks).toMatchObject([
      {
        ...{ taskId: id, kind: 'broken', evidence: { fault: 'none', found: [] }, via: [] },
        sentence: `Nothing will wake it: ${bug(id)}`,
      },
      {
        ...{ taskId: second.id, kind: 'broken', evidence: { fault: 'nowhere', found: ['earlier'] } },
        via: [{ taskId: id, kind: null }],
        sentence: `It waits for ${id}, which nothing will wake: ${bug(second.id)}`,
      },
    ]);
    await it.ask('POST', `/v1/tasks/${id}/cancel`);
    expect(await only(sessionId)).toMatchObject({ taskId: second.id, kind: 'queued' });
  });

  test('several things would wake it', async () => {
    const { id, sessionId } = await it.submit();
    const second = await it.submit({ sessionId });
    await execute(
      `UPDATE turn SET task_id = '${uuid('task', second.id)}' WHERE task_id = '${uuid('task', id)}'`,
    );
    const { tasks } = await why(sessionId);
    expect(tasks[1]).toMatchObject({
      evidence: { fault: 'several', found: ['earlier', 'queued'] },
      sentence: `More than one thing would wake it (earlier and queued): ${bug(second.id)}`,
    });
  });
});

test('tasks that wait for each other are named, though none can today', () => {
  const [taskId, other, sessionId] = [newId(), newId(), newId()];
  const via = [other, taskId, other].map((each) => ({ taskId: each, kind: 'calls' as const }));
  const evidence = { fault: 'cycle', found: ['calls'] } as const;
  const [one, two] = [toPublicId('task', other), toPublicId('task', taskId)];
  expect(sentenceOf({ taskId, sessionId, status: 'waiting', kind: 'broken', via, evidence })).toMatch(
    new RegExp(
      `^It waits for tasks that wait for each other \\(${one}, ${two}\\): this is a bug in Capybara; `,
    ),
  );
});

test('more tasks than one answer tells are said to be more', async () => {
  const { id, sessionId } = await it.submit();
  await execute(`
    INSERT INTO task SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'ordinal', n))).*
      FROM task t, generate_series(2, ${MAX_TASKS}) n WHERE t.id = '${uuid('task', id)}'`);
  const all = await why(sessionId);
  expect([all.tasks.length, all.more]).toEqual([MAX_TASKS, false]);
  await it.submit({ sessionId });
  const { tasks, more, sentence } = await why(sessionId);
  expect([tasks.length, more]).toEqual([MAX_TASKS, true]);
  expect(sentence).toBe(`More than ${MAX_TASKS} tasks are unfinished.`);
});

test('another team’s session is not there, nor one that is none', async () => {
  const { sessionId } = await it.submit();
  const { apiKey: key } = await it.addPerson('theirs', 'Bo');
  for (const [id, asked] of [
    [sessionId, { key }],
    [`ses_${'0'.repeat(32)}`, {}],
    ['ses_1', {}],
  ] as const) {
    const { status, json } = await it.ask('GET', `/v1/sessions/${id}/why`, asked);
    expect([status, json.code]).toEqual([404, 'not_found']);
  }
  expect((await it.ask('GET', `/v1/sessions/${sessionId}/why`, { key: null })).status).toBe(401);
});
