/**
 * Commands that go on in the background keep their session at their worker, turn after turn; when they end with it, nothing of
 * them is left, and the model is told once.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import type { Database } from '../../src/store/database.ts';
import { background, backgroundIn, TICKS } from '../support/background.ts';
import { bubblewrap, pidsIn } from '../support/bubblewrap.ts';
import { call, error, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { queueKinds, useWorld } from '../support/worker.ts';

const kinds = await queueKinds('background commands on Redis');
/** Hints alone are quick enough: what a sweep would find comes later than any test waits. */
const NO_SWEEP = { everyMs: 50, unclaimedMs: 60_000 };
describe.each(kinds)('on $kind, a background command', (kind) => {
  const world = useWorld(kind);
  /** What the queue has no part in. */
  const once = test.runIf(kind.kind === 'postgres');
  const {
    tools,
    asking,
    results,
    notices,
    processes,
    workersOf,
    attempts,
    asks,
    recorded,
    allOf,
    nothingRuns,
    goesOn,
  } = backgroundIn(world);

  test('keeps all turns of its session at its worker, and ends with its task, its files recorded', async () => {
    const workers = [
      await world.startWorker({ sweep: NO_SWEEP }),
      await world.startWorker({ sweep: NO_SWEEP }),
    ];
    const asked = Array.from({ length: 8 }, (_, index) => call('look', { text: `${index}` }));
    const task = await world.submit({
      tools,
      script: sequence([
        background(`echo up; ${TICKS}`),
        ...asked,
        call('bash_poll', { id: 'bg_1', wait: 1 }),
        say('Done.'),
      ]),
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    await nothingRuns(task);
    const [first, ...others] = await workersOf(task);
    expect(workers.map(({ id }) => id)).toContain(first);
    const told = JSON.stringify([await attempts(task), await processes(task)]);
    expect(new Set(others), told).toEqual(new Set([first]));
    expect(others, told).toHaveLength(10);
    expect((await results(task)).join('\n')).toContain('up\n');
    const kept = [{ number: 1, end: 'task', here: true }];
    expect(await processes(task), `${told}\n${JSON.stringify(await results(task))}`).toEqual(kept);
    // What it wrote to its end is there for whoever is next.
    const before = world.read(task, 'ticks');
    const next = await world.submit({ sessionId: task.sessionId, tools, script: () => say('Again.') });
    await world.taskEnds(next);
    expect(world.read(task, 'ticks')).toBe(before);
  });

  once('goes on where a sweep comes between a commit that ends a turn and its answer', async () => {
    let swept = () => {};
    const sweep = () => new Promise<void>((resolve) => (swept = resolve));
    const slow = (db: Database): Database => ({
      ...db,
      within: (ms) => slow(db.within(ms)),
      async transition(name, ...args) {
        const outcome = await db.transition(name, ...args);
        // Of two, the second has begun after the commit.
        if (name === 'settle_turn') await sweep().then(sweep);
        return outcome as never;
      },
      async sql(strings, ...values) {
        const rows = await db.sql(strings, ...values);
        if (strings.join('').includes('AS held')) swept();
        return rows as never;
      },
    });
    await world.startWorker({ db: slow(world.db), sweep: NO_SWEEP });
    const script = sequence([
      background(`echo up; ${TICKS}`),
      call('look', { text: 'on' }),
      call('bash_poll', { id: 'bg_1', wait: 1 }),
      say('Done.'),
    ]);
    const task = await world.submit({ tools, script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await notices(task)).toEqual([]);
    expect(await processes(task)).toEqual([{ number: 1, end: 'task', here: true }]);
  });

  once('is typed into in one turn, polled in another and killed in a third', async () => {
    await world.startWorker();
    const task = await world.submit({
      tools,
      script: sequence([
        background('while read -r line; do echo "<$line>" | tee -a typed; done'),
        call('bash_input', { id: 'bg_1', text: 'a\nb\n' }),
        call('bash', { command: 'until grep -q b typed; do sleep 0.02; done' }),
        call('bash_poll', { id: 'bg_1' }),
        call('bash_kill', { id: 'bg_1' }),
        call('bash_poll', { id: 'bg_1' }),
        say('Done.'),
      ]),
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const said = await results(task);
    expect(said.join('\n')).toContain('<a>\n<b>\n');
    expect(said.at(-2)).toContain('(bg_1 has ended: it was killed)');
    expect(said.at(-1)).toContain("There is no background command 'bg_1'; there are none.");
    expect(await processes(task)).toEqual([{ number: 1, end: 'kill', here: true }]);
    expect(world.read(task, 'typed')).toBe('<a>\n<b>\n');
  });

  once(
    'that ends by itself between turns is told with the poll that asks, and holds its session no more',
    async () => {
      await world.startWorker();
      const task = await world.submit({
        tools,
        script: sequence([
          background('until [ -e go ]; do sleep 0.02; done; echo made > made; echo over; exit 3'),
          call('bash', { command: 'touch go' }),
          call('bash_poll', { id: 'bg_1', wait: 20 }),
          call('bash_poll', { id: 'bg_1', wait: 20 }),
          call('bash', { command: 'cat made' }),
          say('Done.'),
        ]),
      });
      await world.taskEnds(task);
      // First: it says why it ended where it did not by itself.
      expect(await notices(task)).toEqual([]);
      const said = await results(task);
      expect(said.join('\n')).toContain('over\n');
      expect(said.join('\n')).toContain('(bg_1 has ended: exit code 3)');
      expect(said.at(-1)).toBe('made\n');
      expect((await processes(task)).map(({ end }) => end)).toEqual(['exit 3']);
    },
  );

  once('of a task that is cancelled while it waits for a person ends with it', async () => {
    await world.startWorker();
    const task = await world.submit({
      ...asking,
      script: sequence([background(TICKS), call('note', { text: 'a' })]),
    });
    await asks(task);
    await goesOn(task);
    await world.cancel(task);
    await nothingRuns(task);
    expect((await processes(task)).map(({ end }) => end)).toEqual(['task']);
    const next = await world.submit({ sessionId: task.sessionId, tools, script: () => say('Again.') });
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
  });

  once.each(['endless_read', 'endless_change'])(
    'ends first where its task is cancelled in %s, and then its files are recorded',
    async (name) => {
      await world.startWorker();
      const task = await world.submit({ tools, script: sequence([background(TICKS), call(name, {})]) });
      await world.hears(`started ${name}`);
      await goesOn(task);
      await world.cancel(task);
      expect(pidsIn(allOf(task))).toEqual([]);
      const ticked = world.read(task, 'ticks');
      const next = await world.submit({ sessionId: task.sessionId, tools, script: () => say('Again.') });
      await world.taskEnds(next);
      expect(world.read(task, 'ticks')).toBe(ticked);
      expect(await recorded(task)).toBe(ticked);
    },
  );

  once('ends when nobody works on its session for long; the model is told, and its files stay', async () => {
    await world.startWorker({ background: { idleMs: 400 } });
    const task = await world.submit({
      ...asking,
      script: sequence([
        background(TICKS),
        // In hand it may take longer than that.
        call('bash_poll', { id: 'bg_1', wait: 1 }),
        call('note', { text: 'a' }),
        say('Done.'),
      ]),
    });
    const [approval = ''] = await asks(task);
    await nothingRuns(task);
    const ticked = world.read(task, 'ticks');
    await world.answer(approval, 'allowed');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect((await results(task))[1]).toContain('(bg_1 is still running)');
    expect(await notices(task)).toEqual([
      expect.stringContaining('since nobody had worked on the session for long'),
    ]);
    expect(await recorded(task)).toBe(ticked);
    expect((await processes(task)).map(({ end }) => end)).toEqual(['idle']);
  });

  test('is found by its session whichever worker hears of the answer', async () => {
    const sweep = { everyMs: 50, unclaimedMs: 60_000 };
    const [one, other] = [await world.startWorker({ sweep }), await world.startWorker({ sweep })];
    const rounds = 6;
    const task = await world.submit({
      ...asking,
      script: sequence([
        background(TICKS),
        ...Array.from({ length: rounds }, (_, index) => call('note', { text: `${index}` })),
        call('bash_poll', { id: 'bg_1' }),
        say('Done.'),
      ]),
    });
    for (let round = 0; round < rounds; round++)
      for (const approval of await asks(task)) await world.answer(approval, 'allowed');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const workers = new Set(await workersOf(task));
    const found = JSON.stringify([await attempts(task), await processes(task), await notices(task)]);
    expect(workers.size, found).toBe(1);
    expect([one.id, other.id]).toContain([...workers][0]);
    expect((await results(task)).at(-1)).toContain('(bg_1 is still running)');
    expect(await notices(task)).toEqual([]);
  });

  test('goes on where a request fails and is tried again, also where another worker finds that it is due', async () => {
    const workers = [await world.startWorker(), await world.startWorker()];
    const task = await world.submit({
      tools,
      script: ({ turn, attempt }) => {
        if (turn === 1) return background(TICKS);
        if (turn === 2 && attempt < 3) return error(500);
        return turn === 2 ? call('bash_poll', { id: 'bg_1' }) : say('Done.');
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(new Set(await workersOf(task)).size).toBe(1);
    expect(workers).toHaveLength(2);
    expect((await results(task)).at(-1)).toContain('(bg_1 is still running)');
  });

  once('is judged as any command, and what is typed into it by the rules for commands', async () => {
    await world.startWorker();
    const task = await world.submit({
      tools,
      permissions: { rules: [{ decision: 'deny', tool: 'bash', pattern: 'git push *' }] },
      script: sequence([
        background('git push origin'),
        background('cat'),
        call('bash_input', { id: 'bg_1', text: 'git push --force\n' }),
        call('bash_input', { id: 'bg_1', text: 'git status\n' }),
        say('Done.'),
      ]),
    });
    await world.taskEnds(task);
    const said = await results(task);
    expect(said[0]).toBe('Denied: The rule bash(git push *) forbids it.');
    expect(said[2]).toBe('Denied: The rule bash(git push *) forbids it.');
    expect(said[3]).toContain('git status\n');
    expect(said[3]).not.toContain('force');
  });

  once('is typed into only where a person says so each time, in mode safe without a sandbox', async () => {
    await world.startWorker();
    const task = await world.submit({
      tools,
      mode: 'safe',
      permissions: { rules: [{ decision: 'allow', tool: 'bash' }] },
      script: sequence([background('cat'), call('bash_input', { id: 'bg_1', text: 'yes\n' }), say('Done.')]),
    });
    const [approval = ''] = await asks(task);
    const [row] = await world.db.sql<{ always: unknown }>`SELECT always FROM approval WHERE id = ${approval}`;
    expect(row).toEqual({ always: null });
    await world.answer(approval, 'allowed');
    await world.taskEnds(task);
    expect((await results(task)).at(-1)).toContain('yes\n');
  });
});

describe.runIf(bubblewrap !== undefined)('confined, a background command', () => {
  const world = useWorld({ kind: 'postgres' });

  test('goes on from turn to turn, and its files are those of one run where its worker was told to stop', async () => {
    const sandboxes = [1, 2].map(() =>
      createBubblewrapSandbox({
        environment: process.env,
        killGraceMs: 100,
        profile: 'local',
        program: bubblewrap ?? '',
      }),
    );
    try {
      const [first, second] = sandboxes as [LeasedSandbox, LeasedSandbox];
      const worker = await world.startWorker({ sandbox: first });
      const task = await world.submit({
        mode: 'safe',
        tools: ['bash', 'bash_poll', 'bash_input', 'stumble', 'endless_read'],
        script: sequence([
          background('while read -r line; do echo "$line" >> typed; echo "<$line>"; done'),
          call('bash_input', { id: 'bg_1', text: 'one\n' }),
          call('endless_read', {}),
          say('Done.'),
        ]),
      });
      await world.hears('started endless_read');
      expect(world.read(task, 'typed')).toBe('one\n');
      await worker.stop();
      expect(pidsIn(join(task.root, '..'))).toEqual([]);
      await world.startWorker({ sandbox: second });
      await world.until('it goes on', async () => (await world.attempts(task)).length > 3);
      await world.cancel(task);
      expect(world.read(task, 'typed')).toBe('one\n');
    } finally {
      await world.stopWorkers();
      await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
    }
  });
});
