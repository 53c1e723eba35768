import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { expect, test, vi } from 'vitest';

const CHILD = new URL('../../src/verify/child.ts', import.meta.url).href;
/** Starts the proof's model, and says its pid. */
const PARENT = `
  const { startChild } = await import('${CHILD}');
  const child = startChild('./model-process', { env: process.env, onLine: () => {} });
  await child.ready;
  console.log(child.pid);`;

test('a child that stands still dies with the proof that started it, however that dies', async () => {
  const parent = spawn(process.execPath, ['--input-type=module', '-e', PARENT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [pid] = await once(createInterface({ input: parent.stdout }), 'line');
  process.kill(Number(pid), 'SIGSTOP');
  parent.kill('SIGKILL');
  await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), { timeout: 10_000 });
});
