/** Following a task that delegates, against a scripted server: what is printed, drawn, asked, and where it ends. */
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Approval, Event } from '../../src/api/wire.ts';
import { type Connection, connect } from '../../src/cli/connection.ts';
import { Interrupts } from '../../src/cli/interrupts.ts';
import { type WatchOptions, watchTask } from '../../src/cli/run-task.ts';
import { createStyle, type Terminal } from '../../src/cli/terminal.ts';
import { loadConfig } from '../../src/config.ts';
import { ScreenModel } from '../support/screen.ts';
import {
  aNode,
  anApproval,
  aSession,
  assistant,
  aTask,
  aTree,
  aWaiting,
  aWhy,
  doneTask,
  event,
  openStream,
  type ScriptedApi,
  SESSION_ID,
  sendEvents,
  startScriptedApi,
  TASK_ID,
} from './scripted-api.ts';

const CHILD = aNode();
const CHILD_TASK = CHILD.task?.id ?? '';
const APPROVAL = anApproval({
  ...{ sessionId: CHILD.sessionId, taskId: CHILD_TASK },
  path: [SESSION_ID, CHILD.sessionId].map((sessionId, at) => ({
    sessionId,
    title: ['do it', 'tests'][at] ?? '',
    agent: null,
  })),
});

let api: ScriptedApi;
let connection: Connection;
let out: string;
let err: string;
let interrupts: Interrupts;
let seq: number;

beforeEach(async () => {
  api = await startScriptedApi();
  const { config } = loadConfig({ env: {}, flags: { url: api.url }, trustWorkingDirectory: false });
  connection = await connect(config, { start: false });
  [out, err, seq] = ['', '', 0];
  interrupts = new Interrupts({ force: () => {}, source: new EventEmitter() });
  api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask());
  api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession());
  api.on(`GET /v1/sessions/${SESSION_ID}/tree`, () => aTree([CHILD], { seq: 1 }));
  api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () => ({
    data: [assistant(2, 'I delegate.')],
    nextCursor: null,
  }));
});
afterEach(async () => {
  interrupts.close();
  await api.close();
});

function own(type: Event['type'], data: Event['data'] = {}): Event {
  seq += 1;
  return event(seq, type, data);
}

function below(type: Event['type'], data: Event['data'] = {}): Event {
  return { ...own(type, data), sessionId: CHILD.sessionId, taskId: CHILD_TASK };
}

function stream(...events: Event[]): void {
  api.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) => sendEvents(openStream(response), events));
}

function approvals(...data: Approval[]): void {
  api.on('GET /v1/approvals', () => ({ data, nextCursor: null }));
}

function watch(change: Partial<WatchOptions> = {}, terminal: Partial<Terminal> = {}): Promise<number> {
  const collecting: Terminal = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    style: createStyle({ isTty: false, noColor: true }),
    gone: new AbortController().signal,
    ...terminal,
  };
  const options = {
    connection,
    terminal: collecting,
    show: 'text' as const,
    json: false,
    interrupts,
    directory: '/',
  };
  return watchTask(aTask(), { ...options, ...change });
}

const call = (status?: string) => ({
  callId: 'c1',
  ordinal: 0,
  name: 'bash',
  ...(status && { status, position: 3 }),
});
const asked = () => [
  below('approval.requested', { approvalId: APPROVAL.id, tool: 'bash', callId: 'c1' }),
  below('task.waiting', { on: 'approval' }),
];
const started = () => [own('task.started'), own('message.completed', { position: 2 }), below('task.started')];

describe('in a pipe', () => {
  test("a child's calls are lines that say whose they are, and its end is not the end", async () => {
    const other = { ...below('tool.requested', call()), sessionId: 'ses_of_another' };
    stream(
      other,
      ...started(),
      ...[below('tool.requested', call()), below('tool.started', call())],
      ...[below('tool.completed', call('succeeded')), below('tool.requested', call())],
      ...[below('tool.completed', call('failed')), below('tool.requested', call())],
      ...[below('tool.completed', call('denied')), below('task.succeeded'), own('task.succeeded')],
    );
    expect(await watch()).toBe(0);
    expect(out.split('\n').slice(1, -4)).toEqual([
      'I delegate.',
      '[tests] ▶ bash',
      '[tests] ✓ bash',
      '[tests] ▶ bash',
      '[tests] ✗ bash',
      '[tests] ▶ bash',
      '[tests] ✗ bash (denied)',
      '[tests] ✓ completed',
    ]);
  });

  test('they are ASCII where nothing else is sure to be seen', async () => {
    stream(
      ...started(),
      below('tool.requested', call()),
      below('tool.completed', call('unknown')),
      below('task.failed', { code: 'x', message: 'No\u001b[2J more.' }),
      own('task.succeeded'),
    );
    await watch({}, { style: createStyle({ isTty: false, noColor: true, isUnicode: false }) });
    expect(out).toContain(
      '[tests] > bash\n[tests] ? bash (its outcome is unknown)\n[tests] x failed: No more (x)\n',
    );
  });

  test('as JSON there are the events of the task and of the sessions below its own', async () => {
    const events = [
      ...[
        own('session.created'),
        { ...below('session.created'), sessionId: 'ses_of_another', taskId: undefined },
      ],
      ...[
        { ...own('task.started'), taskId: 'task_other' },
        ...started(),
        below('turn.started'),
        own('task.succeeded'),
      ],
    ];
    stream(...(events as Event[]));
    await watch({ show: 'json', json: true });
    const printed = out.trim().split('\n').slice(0, -1);
    expect(printed.map((line) => JSON.parse(line).seq)).toEqual([1, 4, 5, 6, 7, 8]);
  });
});

describe('what a child asks', () => {
  test('is asked in place, with the path of who asks', async () => {
    stream(...started(), ...asked(), own('task.succeeded'));
    approvals(APPROVAL);
    api.on(`POST /v1/approvals/${APPROVAL.id}`, () => ({ ...APPROVAL, status: 'allowed' }));
    expect(await watch({}, { ask: async () => 'y' })).toBe(0);
    expect(out).toContain(
      `? parent › tests: bash needs an approval: ${APPROVAL.id}\nbash · asked by parent › tests\n  command │ rm -rf build\n`,
    );
    expect(api.received.find(({ path }) => path === '/v1/approvals')?.query).toMatchObject({
      sessionId: SESSION_ID,
    });
    expect(api.received.find(({ method }) => method === 'POST')?.body).toEqual({ decision: 'allow' });
  });

  test('is taken back where another person answers it meanwhile', async () => {
    stream(...started(), ...asked(), own('task.succeeded'));
    approvals(APPROVAL);
    const ask: Terminal['ask'] = (_, signal) => {
      approvals({ ...APPROVAL, status: 'denied' });
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    expect(await watch({}, { ask })).toBe(0);
    expect(out).toContain('answered elsewhere: denied\n');
  });

  test('has exit code 4 where nobody is here, once nobody else goes on', async () => {
    const [begun, [requested, waits]] = [started(), asked() as [Event, Event]];
    stream(...begun, requested, waits, own('task.waiting', { on: 'children' }));
    approvals(APPROVAL);
    api.on(`GET /v1/sessions/${SESSION_ID}/tree`, () =>
      aTree([CHILD], { seq: 1, task: { id: TASK_ID, status: 'running' } }),
    );
    expect(await watch()).toBe(4);
    expect(err).toBe(
      `parent › tests: bash needs an approval; the task waits. Answer with: capybara approvals allow ${APPROVAL.id} (or deny)\n` +
        '  command │ rm -rf build\n',
    );
  });

  test('does not end following as long as others work', async () => {
    api.on(`GET /v1/sessions/${SESSION_ID}/tree`, () =>
      aTree([CHILD, aNode({ sessionId: 'ses_other', title: 'docs' })], { seq: 1 }),
    );
    stream(...started(), ...asked(), own('task.succeeded'));
    approvals(APPROVAL);
    expect(await watch()).toBe(0);
    expect(api.received.some(({ path }) => path === '/v1/approvals')).toBe(false);
  });
});

test('a limit at which a child waits is told once nobody else goes on', async () => {
  const sentence = 'Turn 2 waits for a higher limit.';
  const evidence = { turn: 2, limit: 'usd', used: '1', allowed: '1' } as const;
  const waiting = aWaiting({
    kind: 'budget',
    taskId: CHILD_TASK,
    sessionId: CHILD.sessionId,
    sentence,
    evidence,
  });
  api.on(`GET /v1/sessions/${SESSION_ID}/why`, () => aWhy([waiting]));
  stream(...started(), below('task.waiting', { on: 'budget' }));
  expect(await watch()).toBe(5);
  expect(err).toBe(`${sentence}\n`);
});

describe('on a terminal', () => {
  function terminal(model: ScreenModel): Partial<Terminal> {
    return {
      out: (text) => model.write(text),
      style: createStyle({ isTty: true, noColor: true, columns: () => model.columns }),
      screen: {
        draw: (text) => model.write(text),
        get rows() {
          return model.rows;
        },
        onResize: () => () => {},
      },
    };
  }

  test('what cannot be drawn ends the following, and says how to follow again', async () => {
    const model = new ScreenModel(60, 24);
    let isBroken = false;
    const given = terminal(model);
    const screen = Object.create(given.screen ?? null, {
      rows: {
        get: () => {
          if (isBroken) throw new TypeError('no such state');
          return model.rows;
        },
      },
    }) as NonNullable<Terminal['screen']>;
    api.on(`GET /v1/sessions/${SESSION_ID}/events`, async (_, response) => {
      sendEvents(openStream(response), started());
      await expect.poll(() => model.text).toContain('[child tests]');
      isBroken = true;
    });
    await expect(watch({}, { ...given, screen })).rejects.toMatchObject({
      code: 'internal',
      exitCode: 1,
      message: `What ${TASK_ID} does cannot be shown (no such state): it goes on; follow it with \`capybara tail ${TASK_ID} --json\`.`,
    });
  });

  test('the tree stands below the answer, changes with it, and its last state is left', async () => {
    const model = new ScreenModel(60, 24);
    const shown: string[] = [];
    const { out: print, ...rest } = terminal(model);
    api.on(`GET /v1/sessions/${SESSION_ID}/events`, async (_, response) => {
      const sse = openStream(response);
      sendEvents(sse, [
        ...started(),
        below('agent.state_changed', { state: 'executing' }),
        below('tool.requested', call()),
      ]);
      await expect.poll(() => model.text).toContain('[child tests] executing: bash');
      shown.push(model.text);
      const live = (text: string, offset: number) => {
        const data = { attemptId: 'a', channel: 'text', offset, text };
        return `data: ${JSON.stringify({ type: 'message.delta', sessionId: SESSION_ID, taskId: TASK_ID, turn: 2, data })}\n\n`;
      };
      sse.write(live('The tests', 0) + live(' pass', 9));
      await expect.poll(() => model.text).toContain('The tests pass\n┌');
      sendEvents(sse, [
        ...[below('tool.completed', call('succeeded')), below('task.succeeded')],
        ...[below('agent.state_changed', { state: 'completed' }), own('task.succeeded')],
      ]);
    });
    expect(await watch({}, { out: print as Terminal['out'], ...rest })).toBe(0);
    expect(shown[0]?.split('\n').slice(1, 4)).toEqual([
      ...['', 'I delegate.'],
      `┌${'─'.repeat(16)} Agent Communication Flow ${'─'.repeat(16)}┐`,
    ]);
    const lines = model.text.split('\n').map((line) => line.replace(/ {2,}.*$/, ''));
    expect(lines.slice(1, 10)).toEqual([
      ...[
        '',
        'I delegate.',
        '',
        'The tests pass',
        `┌${'─'.repeat(16)} Agent Communication Flow ${'─'.repeat(16)}┐`,
      ],
      ...['│ ✅ [parent] completed', '│ └── ✅ [child tests] completed', `└${'─'.repeat(58)}┘`, ''],
    ]);
    expect(lines[10]).toBe('✓ Done in 12 s, 2 turns');
  });

  test('a task that delegates nothing has a line below it that says how it stands, as long as it goes on', async () => {
    const model = new ScreenModel(60, 24);
    const used = { model: 'openai/m', input: 1_200, output: 34, usd: '0.02' };
    api.on(`GET /v1/sessions/${SESSION_ID}/events`, async (_, response) => {
      const sse = openStream(response);
      sendEvents(sse, [own('task.started'), own('agent.state_changed', { state: 'thinking' })]);
      sendEvents(sse, [own('usage.recorded', used), own('message.completed', { position: 2 })]);
      await expect.poll(() => model.text).toMatch(/thinking +turn 1 · 1.2k in, 34 out · \$0\.02 · \w+$/);
      sendEvents(sse, [own('task.succeeded')]);
    });
    expect(await watch({}, terminal(model))).toBe(0);
    expect(model.text.split('\n').slice(1, 5)).toEqual(['', 'I delegate.', '', '✓ Done in 12 s, 2 turns']);
    expect(api.received.some(({ path }) => path.endsWith('/tree'))).toBe(false);
  });
});
