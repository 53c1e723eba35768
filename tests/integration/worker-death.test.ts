import { describe, expect, test } from 'vitest';
import { IDLE_POLL_SECONDS } from '../../src/queue/bullmq.ts';
import { isRunning } from '../support/running.ts';
import { call, hang, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { queueKinds, SHORT_LEASE, type Task, useWorld } from '../support/worker.ts';

const kinds = await queueKinds('the death of a worker on Redis');

/**
 * From the death of a worker to the next request, on the same host: about one sweep, far below a lease. On Redis a dying
 * consumer may take a notification with it, which costs the others an idle poll.
 */
const NOTICED_MS = 3_000 + IDLE_POLL_SECONDS * 1_000;
const LONG_LEASE = { lease: { leaseMs: 60_000 } };

describe.each(kinds)('a worker that is killed, on $kind,', (kind) => {
  const world = useWorld(kind);
  const askedFor = ({ sessionId }: Task, attempt = 1) =>
    world.model.waitForRequest((r) => r.sessionId === sessionId && r.attempt === attempt);
  const requestsOf = ({ sessionId }: Task) => world.model.requestsOf(sessionId);

  test.each([
    ['before the first word of an answer', [hang(), say('Whole.')]],
    ['in the middle of an answer', [say('Half'), hang(), say('Whole.')]],
  ])('%s, is replaced within seconds, and the answer is asked for again', async (_, step) => {
    const child = await world.startChild(LONG_LEASE);
    const task = await world.submit({
      script: ({ attempt }) => (attempt === 1 ? step : say('Whole.')),
    });
    await askedFor(task);
    await world.startWorker(LONG_LEASE);
    child.kill('SIGKILL');
    const began = performance.now();
    await askedFor(task, 2);
    expect(performance.now() - began).toBeLessThan(NOTICED_MS);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.attempts(task)).toEqual(['lost', 'settled']);
    const answers = (await world.entries(task)).filter((entry) => entry.kind === 'assistant');
    expect(answers.map((entry) => entry.parts)).toEqual([[{ type: 'text', text: 'Whole.' }]]);
    // What the first try cost nobody knows: it is booked as if it had used all it had reserved.
    const used = await world.db.sql`
      SELECT outcome FROM usage WHERE task_id = ${task.taskId} ORDER BY created_at`;
    expect(used).toEqual([{ outcome: 'unknown' }, { outcome: 'recorded' }]);
  });

  test('after an answer, during a read, is replaced: the read runs again, the answer is not asked for', async () => {
    const child = await world.startChild();
    const task = await world.submit({ script: sequence([call('endless_read'), say('Done.')]) });
    await child.hears('started endless_read');
    await world.startWorker();
    child.kill('SIGKILL');
    await world.hears('started endless_read');
    expect(requestsOf(task)).toHaveLength(1);
    expect(world.noted(task)).toEqual(['endless_read', 'endless_read']);
    await world.cancel(task);
  });

  test('during a call that changes something, is replaced: it does not run twice, the model is told', async () => {
    const child = await world.startChild();
    const task = await world.submit({ script: sequence([call('endless_change'), say('I see.')]) });
    await child.hears('started endless_change');
    await world.startWorker();
    child.kill('SIGKILL');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.calls(task)).toEqual(['endless_change unknown']);
    expect(world.noted(task)).toEqual(['endless_change']);
    expect(requestsOf(task).map((request) => request.turn)).toEqual([1, 2]);
    expect(requestsOf(task)[1]?.lastToolResults[0]?.text).toMatch(/^Outcome unknown: the worker that ran/);
  });

  test('between two calls, keeps the first, which was committed', async () => {
    const child = await world.startChild();
    const calls = [call('note', { text: 'once' }), call('endless_change'), call('note', { text: 'after' })];
    const task = await world.submit({ script: sequence([calls, say('Done.')]) });
    await child.hears('started endless_change');
    await world.startWorker();
    child.kill('SIGKILL');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.calls(task)).toEqual(['note succeeded', 'endless_change unknown', 'note succeeded']);
    expect(world.noted(task)).toEqual(['once', 'endless_change', 'after']);
  });

  test('leaves no command behind', async () => {
    const child = await world.startChild();
    const command = 'echo $$ > pid; exec sleep 98762';
    const task = await world.submit({ script: sequence([call('bash', { command }), say('Done.')]) });
    const pid = await world.until(
      'the command runs',
      async () => world.read(task, 'pid').trim() || undefined,
    );
    child.kill('SIGKILL');
    await world.until('the command is gone', async () => !isRunning(Number(pid)));
    await world.startWorker();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
  });

  test('each time it takes a turn, does not take the fleet with it: crash_loop', async () => {
    const options = { takeoverBackoffMs: [0, 1] };
    const task = await world.submit({ script: () => call('die') });
    // The first dies before its answer is committed; the second has it committed first, and that is a step.
    for (let deaths = 1; deaths <= 4; deaths++) {
      const child = await world.startChild(options);
      await child.ended;
    }
    await world.startWorker(options);
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'crash_loop',
      error_message: expect.stringContaining('Turn 1 lost its worker 3 times in a row'),
    });
    expect(requestsOf(task)).toHaveLength(2);
    expect(await world.attempts(task)).toEqual(['lost', 'lost', 'lost', 'lost']);
  });
});

describe.each(kinds)('a worker that is stopped past its lease and goes on, on $kind,', (kind) => {
  const world = useWorld(kind);
  const options = { lease: SHORT_LEASE };

  test('cannot write its answer: another one counts', async () => {
    const child = await world.startChild(options);
    const gate = Promise.withResolvers<void>();
    const task = await world.submit({
      script: ({ attempt }) =>
        attempt === 1 ? [say('From the '), hang(gate.promise), say('dead.')] : say('Living.'),
    });
    const first = await world.model.waitForRequest(({ sessionId }) => sessionId === task.sessionId);
    child.kill('SIGSTOP');
    await world.startWorker(options);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    gate.resolve();
    child.kill('SIGCONT');
    await world.until('the first request ends', async () => first.outcome !== 'open');
    expect(await world.attempts(task)).toEqual(['lost', 'settled']);
    const answers = (await world.entries(task)).filter((entry) => entry.kind === 'assistant');
    expect(answers.map((entry) => entry.parts)).toEqual([[{ type: 'text', text: 'Living.' }]]);
    // It is of use again.
    await world.stopInProcess();
    const next = await world.submit();
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
  });

  test('finds its commands dead, and cannot report them', async () => {
    const child = await world.startChild(options);
    const command = 'echo $$ > pid; exec sleep 98763';
    const task = await world.submit({ script: sequence([call('bash', { command }), say('I see.')]) });
    const pid = await world.until(
      'the command runs',
      async () => world.read(task, 'pid').trim() || undefined,
    );
    child.kill('SIGSTOP');
    await world.until('the command is gone', async () => !isRunning(Number(pid)));
    await world.startWorker(options);
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    child.kill('SIGCONT');
    expect(await world.calls(task)).toEqual(['bash unknown']);
    const results = (await world.entries(task)).filter((entry) => entry.kind === 'tool_result');
    expect(results).toHaveLength(1);
  });
});
