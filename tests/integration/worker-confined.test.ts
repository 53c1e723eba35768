/**
 * A worker is killed, or stopped for longer than its lease, at some moment of a confined command: the files are those of exactly one
 * run, whatever the command had done by then, and nothing of the first run goes on.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { bubblewrap, openBubblewrap, pidsIn } from '../support/bubblewrap.ts';
import { docker, openDocker } from '../support/docker.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { SHORT_LEASE, type Task, useWorld } from '../support/worker.ts';

const STEPS = 15;
/** Adds, changes, moves and removes, a step after the other; some of it by a process that leaves its session. */
const COMMAND = `
for i in $(seq 1 ${STEPS}); do
  echo "$i" >> log
  mkdir "d$i"; echo "$i" > "d$i/file"; ln -s file "d$i/link"
  [ "$i" = 1 ] || rm -r "d$((i - 1))"
  printf '%s' "$i" > moving.tmp; mv moving.tmp moving
  setsid sh -c "echo away $i >> away" &
  wait
  sleep 0.02
done
chmod +x log`;
/** After how many steps; the last is among them. */
const MOMENTS = [1, 8, STEPS];

const KINDS = [
  ...(bubblewrap === undefined ? [] : [{ name: 'bubblewrap', confined: true as const, moments: MOMENTS }]),
  ...(docker === undefined ? [] : [{ name: 'docker', confined: docker, moments: [8] }]),
];

describe.each(KINDS)('the files of a confined command ($name)', ({ confined, moments }) => {
  const world = useWorld({ kind: 'postgres' });
  let sandbox: LeasedSandbox;
  beforeEach(() => {
    const { leaseMs } = SHORT_LEASE;
    const [directory, profile] = [join(world.dir, 'docker'), 'local'] as const;
    sandbox =
      confined === true
        ? openBubblewrap({ leaseMs })
        : openDocker({ directory, leaseMs, profile, killGraceMs: 100 });
  });
  afterEach(async () => {
    await world.stopWorkers();
    await sandbox.close();
  });

  const submit = () =>
    world.submit({ script: sequence([call('bash', { command: COMMAND, timeout: 60 }), say('Done.')]) });
  const lines = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []);
  const reached = ({ root }: Task, step: number) =>
    world.until(`step ${step}`, async () => lines(join(root, 'log')).length >= step);
  const takeOver = () => world.startWorker({ sandbox, lease: SHORT_LEASE });

  function expectOneRun({ root }: Task): void {
    const numbers = Array.from({ length: STEPS }, (_, index) => `${index + 1}`);
    expect(lines(join(root, 'log'))).toEqual(numbers);
    expect(lines(join(root, 'away'))).toEqual(numbers.map((number) => `away ${number}`));
    expect(readFileSync(join(root, 'moving'), 'utf8')).toBe(`${STEPS}`);
    expect(readdirSync(root).sort()).toEqual(['away', `d${STEPS}`, 'log', 'moving']);
    expect(readlinkSync(join(root, `d${STEPS}`, 'link'))).toBe('file');
  }

  test.each(moments)('whose worker was killed after step %i are those of one run', async (step) => {
    const child = await world.startChild({ lease: SHORT_LEASE }, { confined });
    const task = await submit();
    await reached(task, step);
    child.kill('SIGKILL');
    await takeOver();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.calls(task)).toEqual(['bash succeeded']);
    expectOneRun(task);
  });

  test.each(moments)(
    'whose worker stood still after step %i are those of one run, and stay so',
    async (step) => {
      const child = await world.startChild({ lease: SHORT_LEASE }, { confined });
      const task = await submit();
      await reached(task, step);
      child.kill('SIGSTOP');
      await takeOver();
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expectOneRun(task);
      writeFileSync(join(task.root, 'mark'), 'mine');
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      await child.ended;
      expect(readFileSync(join(task.root, 'mark'), 'utf8')).toBe('mine');
      expect(lines(join(task.root, 'log'))).toHaveLength(STEPS);
      expect(pidsIn(world.dir)).toEqual([]);
    },
  );

  test('are those of one run where its worker was told to stop', async () => {
    const child = await world.startChild({ lease: SHORT_LEASE }, { confined });
    const task = await submit();
    await reached(task, 5);
    child.kill('SIGTERM');
    await takeOver();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expectOneRun(task);
  });
});
