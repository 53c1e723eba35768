import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import type { ProcessOrder } from '../../src/verify/process.ts';

const PROCESS = new URL('../../src/verify/process.ts', import.meta.url).href;
/** A program that stops at once, in a process that does not come to its end. */
const PROGRAM = `
  const { runProcess } = await import('${PROCESS}');
  process.once('exit', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
  await runProcess(async () => ({ stop: async () => {} }));`;

test('a program that has stopped is over, whatever the exit of its process would still wait for', async () => {
  const order: ProcessOrder = { clockOffsetMs: 0, sink: '/nowhere' };
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', PROGRAM, 'process', JSON.stringify(order)],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { CAPYBARA_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' },
    },
  );
  const said = createInterface({ input: child.stdout });
  const logged = createInterface({ input: child.stderr });
  const last = once(logged, 'line');
  expect(await once(said, 'line')).toEqual(['ready ']);
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect(JSON.parse(String(await last))).toMatchObject({ message: 'stopped' });
  expect(await ended).toEqual([null, 'SIGKILL']);
});
