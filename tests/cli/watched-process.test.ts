/** `capybara tail` on a terminal of its own: what only a whole process on a real one shows. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cliProgram } from '../support/cli.ts';
import { PseudoTerminal } from '../support/pseudo-terminal.ts';
import {
  assistant,
  aTask,
  event,
  openStream,
  type ScriptedApi,
  SESSION_ID,
  sendEvents,
  startScriptedApi,
  TASK_ID,
  toolResult,
} from './scripted-api.ts';

let cwd: string;
let api: ScriptedApi;
let terminal: PseudoTerminal;

beforeEach(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'capybara-watched-'));
  api = await startScriptedApi();
  api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
});
afterEach(async () => {
  await terminal.end();
  await api.close();
  rmSync(cwd, { recursive: true, force: true });
});

function start(): void {
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env;
  const tail = `"${process.execPath}" "${cliProgram()}" tail ${TASK_ID}`;
  terminal = new PseudoTerminal({
    command: 'bash',
    args: ['-c', `${tail}; echo "exit $?"; stty -a | grep -oE -e '-?(icanon|isig|echo) '`],
    ...{ cwd, columns: 80, rows: 24 },
    env: {
      ...{ PATH, NODE_COMPILE_CACHE, HOME: cwd, NO_COLOR: '1' },
      ...{ CAPYBARA_DATA_DIR: join(cwd, 'data'), CAPYBARA_URL: api.url },
    },
  });
}

test('words are laid out, a broken stream is told once, a key opens a call, and Ctrl-C leaves the terminal as it was', async () => {
  const result = { ...toolResult(3, 'c1', 'a.txt\nb.txt'), status: 'succeeded' as const };
  const entries = [assistant(2, '# Plan\n\nI **look**.', [['c1', 'bash', '{"command":"ls"}']]), result];
  api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () => ({ data: entries, nextCursor: null }));
  let connections = 0;
  api.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) => {
    connections += 1;
    if (connections === 1) {
      const stream = openStream(response);
      const data = { attemptId: 'a', channel: 'text', offset: 0, text: '# Plan\n\nI **lo' };
      const live = { type: 'message.delta', sessionId: SESSION_ID, taskId: TASK_ID, turn: 1, data };
      sendEvents(stream, [event(1, 'task.started')]);
      stream.write(`data: ${JSON.stringify(live)}\n\n`);
      stream.end();
    } else if (connections < 4) response.destroy();
    else {
      sendEvents(openStream(response), [
        ...[event(2, 'usage.recorded', { input: 1_234, output: 5, usd: '0.02' })],
        ...[
          event(3, 'message.completed', { position: 2 }),
          event(4, 'tool.requested', { callId: 'c1', name: 'bash' }),
        ],
        event(5, 'tool.completed', { callId: 'c1', status: 'succeeded', position: 3 }),
        event(6, 'agent.state_changed', { state: 'thinking' }),
      ]);
    }
  });
  start();
  const seen = await terminal.sees(/✓ bash ls[\s\S]*thinking +o: open · /);
  expect(seen).toContain('\n\nPlan\n');
  expect(seen).toContain('connected again\n\nI look.\n\n✓ bash ls\n\nthinking ');
  expect(seen.split('trying again')).toHaveLength(2);
  expect(seen).toMatch(/turn 1 · 1\.2k in, 5 out · \$0\.02 · \w+$/);
  terminal.type('o');
  await terminal.sees((text) =>
    text.includes('✓ bash ls\n✓ bash ls\n  command │ ls\n  a.txt\n  b.txt\n\nthinking'),
  );
  terminal.type('\u0003');
  expect(await terminal.ended).toBe(0);
  expect(terminal.text).toMatch(/Follow it with: capybara tail\s+task_2+\nexit 130\nisig\s+icanon\s+echo$/);
});
