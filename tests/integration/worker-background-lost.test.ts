/** Commands in the background whose worker is lost: nothing of them is left, and the model is told once. */
import { describe, expect, test } from 'vitest';
import { background, backgroundIn, TICKS } from '../support/background.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { SHORT_LEASE, useWorld } from '../support/worker.ts';

describe('a background command', () => {
  // Whichever queue wakes its session's turns: `worker-background` has both.
  const world = useWorld({ kind: 'postgres' });
  const { tools, asking, results, notices, processes, workersOf, asks, nothingRuns, ticks, goesOn } =
    backgroundIn(world);

  test('dies with its killed worker; the files are those last recorded, and the model is told once', async () => {
    const child = await world.startChild({ lease: SHORT_LEASE });
    const task = await world.submit({
      tools,
      script: sequence([
        background(`setsid -w bash -c '${TICKS}'`),
        call('note', { text: 'kept' }),
        call('endless_read', {}),
        call('bash_poll', { id: 'bg_1' }),
        call('look', { text: 'on' }),
        say('Done.'),
      ]),
    });
    await child.hears('started endless_read');
    const [head] = await world.db.sql<{ head: string }>`
      SELECT w.head FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${task.sessionId}`;
    await goesOn(task);
    const before = ticks(task);
    child.kill('SIGKILL');
    await child.ended;
    await nothingRuns(task);
    const peer = await world.startWorker({ lease: SHORT_LEASE });
    // It runs the read again, which never ends: so it is cancelled there.
    await world.hears('started endless_read');
    expect(ticks(task)).toBeLessThan(before);
    const now = await world.db.sql<{ head: string }>`
      SELECT w.head FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${task.sessionId}`;
    expect(now).toEqual([head]);
    await world.cancel(task);
    expect(await processes(task)).toEqual([{ number: 1, end: 'task', here: false }]);
    expect(peer.id).toBe((await workersOf(task)).at(-1));
  });

  test.each([
    ['killed', 'SIGKILL'],
    ['stopped', 'SIGTERM'],
    ['paused for longer than its lease', 'SIGSTOP'],
  ] as const)('of a worker that is %s is told to the model, once', { timeout: 90_000 }, async (_, signal) => {
    const child = await world.startChild({ lease: SHORT_LEASE });
    const task = await world.submit({
      mode: 'safe',
      permissions: { rules: [{ decision: 'ask', tool: 'note' }] },
      tools,
      script: sequence([
        [background(`${TICKS} # one`), background('sleep 1000 # two')],
        call('note', { text: 'asked' }),
        call('look', { text: 'on' }),
        background('sleep 1000 # three'),
        call('bash_poll', { id: 'bg_1' }),
        call('bash_poll', { id: 'bg_3' }),
        say('Done.'),
      ]),
    });
    for (const approval of await world.until('it asks', async () => {
      const open = await world.approvals(task);
      return open.length === 2 && open;
    }))
      await world.answer(approval, 'allowed');
    const [approval = ''] = await world.until('it asks again', async () => {
      const open = await world.approvals(task);
      return open.length === 1 && (await world.task(task.taskId)).status === 'waiting' && open;
    });
    await goesOn(task);
    expect((await processes(task)).map(({ here }) => here)).toEqual([true, true]);
    child.kill(signal);
    if (signal !== 'SIGSTOP') await child.ended;
    await nothingRuns(task);
    await world.startWorker({ lease: SHORT_LEASE, sweep: { everyMs: 50, unclaimedMs: 200 } });
    await world.answer(approval, 'allowed');
    for (const third of await world.until('the third asks', async () => {
      const open = await world.approvals(task);
      return open.length === 1 && open[0] !== approval && open;
    }))
      await world.answer(third, 'allowed');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    if (signal === 'SIGSTOP') {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      await child.ended;
    }
    const told = await notices(task);
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(`- bg_1 (${TICKS} # one) has ended: its worker was lost, and it with it`);
    expect(told[0]).toContain('- bg_2 (sleep 1000 # two) has ended: its worker was lost');
    const said = await results(task);
    expect(said.at(-2)).toContain("There is no background command 'bg_1'; there are bg_3.");
    expect(said.at(-1)).toContain('(bg_3 is still running)');
    expect((await processes(task)).map(({ end }) => end)).toEqual(['lost', 'lost', 'task']);
    await nothingRuns(task);
  });

  test('is lost to a worker that was held for dead and starts over, and the model is told', async () => {
    const worker = await world.startWorker();
    const task = await world.submit({
      ...asking,
      script: sequence([background(TICKS), call('note', { text: 'a' }), say('Done.')]),
    });
    const [approval = ''] = await asks(task);
    await world.db.sql`UPDATE worker SET ended_at = clock_timestamp() WHERE id = ${worker.id}`;
    await nothingRuns(task);
    await world.answer(approval, 'allowed');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await notices(task)).toEqual([expect.stringContaining('- bg_1')]);
    expect((await processes(task)).map(({ end }) => end)).toEqual(['lost']);
  });

  test('in the user’s own directory is ended with its worker, and what it wrote is theirs', async () => {
    const child = await world.startChild({ lease: SHORT_LEASE });
    const task = await world.submit({
      ...asking,
      local: true,
      script: sequence([
        background(TICKS),
        call('note', { text: 'a' }),
        call('note', { text: 'b' }),
        call('bash_poll', { id: 'bg_1' }),
        say('Done.'),
      ]),
    });
    const [first = ''] = await asks(task);
    await world.answer(first, 'allowed');
    const [second = ''] = await world.until('it asks again', async () => {
      const open = await asks(task);
      return open[0] !== first && open;
    });
    await goesOn(task);
    child.kill('SIGKILL');
    await child.ended;
    await nothingRuns(task);
    const ticked = world.read(task, 'ticks');
    await world.startWorker({ lease: SHORT_LEASE });
    await world.answer(second, 'allowed');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await notices(task)).toEqual([expect.stringContaining('- bg_1')]);
    expect(world.read(task, 'ticks')).toBe(ticked);
    expect(world.notes(task)).toEqual(['a', 'b']);
  });
});
