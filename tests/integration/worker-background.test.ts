/**
 * Commands that go on in the background keep their session at their worker, turn after turn; when they end with it, nothing of
 * them is left, and the model is told once.
 */
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { textOf } from '../../src/core/entry.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import type { Database } from '../../src/store/database.ts';
import { ROOT_NAME } from '../../src/workspace/history.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { bubblewrap, pidsIn } from '../support/bubblewrap.ts';
import { call, error, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { queueKinds, SHORT_LEASE, type Task, useWorld } from '../support/worker.ts';

const kinds = await queueKinds('background commands on Redis');
/** Hints alone are quick enough: what a sweep would find comes later than any test waits. */
const NO_SWEEP = { everyMs: 50, unclaimedMs: 60_000 };
/** A person is asked about notes alone. */
const RULES = [
  { decision: 'allow', tool: '*' },
  { decision: 'ask', tool: 'note' },
] as const;
const background = (command: string) => call('bash', { command, background: true });
/** Ticks into a file that is part of the work, until it is ended. */
const TICKS = 'while :; do echo tick >> ticks; sleep 0.05; done';

describe.each(kinds)('on $kind, a background command', (kind) => {
  const world = useWorld(kind);
  /** What the queue has no part in. */
  const once = test.runIf(kind.kind === 'postgres');
  const tools = [
    'bash',
    'bash_poll',
    'bash_input',
    'bash_kill',
    'look',
    'note',
    'endless_read',
    'endless_change',
  ];

  const results = async (task: Task) =>
    (await world.entries(task)).flatMap((entry) =>
      entry.kind === 'tool_result' ? [textOf(entry.parts)] : [],
    );
  /** What the model was told, beside the project's context. */
  const notices = async (task: Task) =>
    (await world.entries(task))
      .flatMap((entry) => (entry.kind === 'notice' ? [textOf(entry.parts)] : []))
      .slice(1);
  const processes = ({ sessionId }: Task) => world.db.sql<{
    number: number;
    end: string | null;
    here: boolean;
  }>`
    SELECT number, "end", worker_id IS NOT NULL AS here FROM background_process WHERE session_id = ${sessionId} ORDER BY number`;
  /** The workers of the session's attempts, in order. */
  const workersOf = async ({ sessionId }: Task) => {
    const rows = await world.db.sql<{ id: string }>`
      SELECT a.worker_id AS id FROM attempt a JOIN turn u ON u.id = a.turn_id WHERE u.session_id = ${sessionId}
       ORDER BY a.started_at, a.id`;
    return rows.map(({ id }) => id);
  };
  const attempts = ({ sessionId }: Task) => world.db.sql`
    SELECT u.number, u.kind, u.due_at, u.wake, a.worker_id, a.outcome, a.failure, a.started_at, a.ended_at
      FROM attempt a JOIN turn u ON u.id = a.turn_id WHERE u.session_id = ${sessionId} ORDER BY a.started_at`;
  const asking = { tools, mode: 'safe', permissions: { rules: RULES } } as const;
  /** The questions of the task, once it waits for a person. */
  const asks = (task: Task) =>
    world.until('it asks', async () => {
      const open = await world.approvals(task);
      return open.length > 0 && (await world.task(task.taskId)).status === 'waiting' && open;
    });
  /** The file `ticks` of the newest recorded snapshot. */
  const recorded = async ({ sessionId }: Task) => {
    const [row] = await world.db.sql<{ id: string; lineage: string; head: string }>`
      SELECT w.id, w.lineage, w.head FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${sessionId}`;
    const files = mkdtempSync(join(world.dir, 'recorded-'));
    const snapshots = openSnapshots({ directory: join(world.dir, 'data', 'snapshots') });
    const roots = [{ name: ROOT_NAME, path: files, writable: true }];
    await snapshots.of(row?.lineage ?? '').restore({ roots }, row?.head ?? '');
    await snapshots.close();
    return readFileSync(join(files, 'ticks'), 'utf8');
  };
  const allOf = ({ root }: Task) => join(root, '..');
  const nothingRuns = (task: Task) =>
    world.until('nothing runs', async () => pidsIn(allOf(task)).length === 0);
  const ticks = (task: Task) => world.read(task, 'ticks').length;
  const goesOn = async (task: Task) => {
    const before = ticks(task);
    await world.until('the command goes on', async () => ticks(task) > before + 15);
  };

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

  test('that ends by itself between turns is told with the poll that asks, and holds its session no more', async () => {
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
  });

  once(
    'dies with its killed worker; the files are those last recorded, and the model is told once',
    async () => {
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
    },
  );

  once.each([
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

  once('in the user’s own directory is ended with its worker, and what it wrote is theirs', async () => {
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
