import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Approval, Event, Session } from '../../src/api/wire.ts';
import { type Connection, connect } from '../../src/cli/connection.ts';
import { ECHO_MS, Interrupts } from '../../src/cli/interrupts.ts';
import { runTask, submitTask, tailTask, type WatchOptions, watchTask } from '../../src/cli/run-task.ts';
import { createStyle, type Terminal } from '../../src/cli/terminal.ts';
import { untilReachable } from '../../src/cli/until-reachable.ts';
import { UnreachableError } from '../../src/client/errors.ts';
import { loadConfig } from '../../src/config.ts';
import {
  aCount,
  anApproval,
  aSession,
  assistant,
  aTask,
  aWaiting,
  aWhy,
  doneTask,
  event,
  openStream,
  problem,
  type ScriptedApi,
  SESSION_ID,
  sendEvents,
  startScriptedApi,
  TASK_ID,
} from './scripted-api.ts';

let api: ScriptedApi;
let connection: Connection;
let out: string;
let err: string;
let keys: EventEmitter;
let interrupts: Interrupts;
let gone: AbortController;
/** What the clock of `interrupts` says, in milliseconds. */
let clock: number;

/** Presses Ctrl-C, `ms` after the last time. */
function press(ms = ECHO_MS): void {
  clock += ms;
  keys.emit('SIGINT');
}

beforeEach(async () => {
  api = await startScriptedApi();
  const { config } = loadConfig({ env: {}, flags: { url: api.url }, trustWorkingDirectory: false });
  connection = await connect(config, { start: false });
  [out, err] = ['', ''];
  keys = new EventEmitter();
  clock = 0;
  interrupts = new Interrupts({ force: () => {}, source: keys, windowMs: 30, now: () => clock });
  gone = new AbortController();
  api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask());
  api.on(`GET /v1/sessions/${SESSION_ID}`, () => sessionIn(SESSION_ID, '/here'));
  api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () => ({
    data: [assistant(2, 'I look.', [['c1', 'bash', '{"command":"npm test"}']]), assistant(4, 'All done.')],
    nextCursor: null,
  }));
});
afterEach(async () => {
  interrupts.close();
  expect(keys.eventNames()).toEqual([]);
  await api.close();
});

function stream(handler: (response: ServerResponse, connections: number) => void): void {
  let connections = 0;
  api.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) => {
    connections += 1;
    handler(openStream(response), connections);
  });
}

function watch(change: Partial<WatchOptions> = {}, ask?: Terminal['ask']): Promise<number> {
  return watchTask(aTask(), {
    connection,
    terminal: collecting(ask),
    show: 'text',
    json: false,
    interrupts,
    directory: '/here',
    ...change,
  });
}

function collecting(ask?: Terminal['ask']): Terminal {
  return {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    style: createStyle({ isTty: false, noColor: true }),
    gone: gone.signal,
    ...(ask && { ask }),
  };
}

function sessionIn(id: string, path: string, change: Partial<Session> = {}): Session {
  return aSession({ id, rootId: id, workspace: { kind: 'local', path }, ...change });
}

const LOG: Event[] = [
  event(1, 'task.created'),
  event(2, 'message.completed', { position: 2 }),
  event(3, 'tool.requested', { callId: 'c1', ordinal: 0, name: 'bash' }),
  event(4, 'tool.completed', { callId: 'c1', status: 'succeeded', position: 3, durationMs: 9 }),
  event(5, 'message.completed', { position: 4 }, 2),
  event(6, 'task.succeeded', {}, 2),
];

describe('a task that waits at a limit', () => {
  const waits = event(1, 'task.waiting', { on: 'budget' });
  const sentence = 'Turn 2 waits for a higher limit.';
  const evidence = { turn: 2, limit: 'usd', used: '1', allowed: '1' } as const;

  test('is left there with the sentence that says what to do', async () => {
    api.on(`GET /v1/sessions/${SESSION_ID}/why`, () =>
      aWhy([aWaiting({ kind: 'budget', sentence, evidence })]),
    );
    stream((response) => sendEvents(response, [waits]));
    expect(await watch()).toBe(5);
    expect(err).toBe(`${sentence}\n`);
  });

  test('is followed on where it waits no more', async () => {
    api.on(`GET /v1/sessions/${SESSION_ID}/why`, () => aWhy([]));
    stream((response) => sendEvents(response, [waits, event(2, 'task.succeeded')]));
    expect(await watch()).toBe(0);
  });
});

describe('a task that ends', () => {
  test('is shown to its end, with what it used and what comes next', async () => {
    stream((response) => sendEvents(response, LOG));
    const usage = {
      ...doneTask().usage,
      byModel: [aCount({ input: 12345, output: 67, cached: 6172, reasoning: 8, usd: '0.019375' })],
      usd: '0.019375',
      toolCalls: 3,
      toolFailures: 1,
    };
    api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask({ usage }));
    expect(await watch()).toBe(0);
    expect(out).toBe(
      [
        `${TASK_ID} · openai/m · mode auto`,
        'I look.',
        '▶ bash npm test',
        '✓ bash npm test',
        'All done.',
        '',
        '✓ Done in 12 s, 2 turns',
        '  openai/m: 12,345 tokens in (50 % cached), 67 out (8 reasoning), $0.0194',
        '  tools: 2 of 3 calls succeeded (67 %)',
        'Next: capybara run --continue "…"',
        '',
      ].join('\n'),
    );
    expect(err).toBe('');
  });

  test.each<[string, number | undefined, boolean]>([
    ['has changed something', 812, true],
    ['has changed nothing', 0, false],
    ['cannot be asked what it changed', undefined, true],
  ])('on a copy that %s is said to be applied where there is something', async (_, length, isApplied) => {
    stream((response) => sendEvents(response, LOG));
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession({ workspace: { kind: 'upload', path: null } }));
    api.on(`HEAD /v1/sessions/${SESSION_ID}/diff`, (_request, response) => {
      if (length === undefined) response.writeHead(409).end();
      else response.writeHead(200, { 'content-length': length }).end();
    });
    expect(await watch()).toBe(0);
    expect(out.split('\n').at(-2)).toBe(
      isApplied
        ? `Next: capybara diff ${SESSION_ID}, and capybara apply ${SESSION_ID} to have it here`
        : `Next: capybara tasks show ${TASK_ID}`,
    );
  });

  test('elsewhere is not said to be continued here', async () => {
    stream((response) => sendEvents(response, LOG));
    expect(await watch({ directory: '/there' })).toBe(0);
    expect(out).toMatch(/\n✓ Done in 12 s, 2 turns\n/);
    expect(out).toContain('Next: capybara diff ses_');
    expect(out).not.toContain('--continue');
  });

  test.each([
    [
      'model_gone',
      1,
      `✗ Failed after 12 s, 2 turns: It broke (model_gone)\nNext: capybara tasks show ${TASK_ID}\n`,
    ],
    [
      'model_not_found',
      1,
      '✗ Failed after 12 s, 2 turns: It broke (model_not_found)\nNext: capybara models list\n',
    ],
    [
      'limit_turns',
      5,
      '✗ Failed after 12 s, 2 turns: It broke (limit_turns)\nNext: capybara run --continue --limit turns=N "go on"\n',
    ],
  ])('failed with %s has exit code %i', async (code, exitCode, ending) => {
    stream((response) => sendEvents(response, [event(1, 'task.failed', { code, message: 'It broke.' })]));
    api.on(`GET /v1/tasks/${TASK_ID}`, () =>
      doneTask({ status: 'failed', result: null, error: { code, message: 'It broke.' } }),
    );
    expect(await watch()).toBe(exitCode);
    expect(out).toContain(`\n\n${ending}`);
  });

  test('cancelled by somebody has exit code 1', async () => {
    stream((response) => sendEvents(response, [event(1, 'task.cancelled')]));
    api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask({ status: 'cancelled', result: null }));
    expect(await watch()).toBe(1);
    expect(out).toContain('✗ Cancelled after 12 s, 2 turns');
  });

  test('as JSON is an event a line, and the task', async () => {
    const other = { ...event(2, 'task.started'), taskId: 'task_other' };
    stream((response) => sendEvents(response, [event(1, 'task.created'), other, event(3, 'task.succeeded')]));
    expect(await watch({ show: 'json', json: true })).toBe(0);
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([event(1, 'task.created'), event(3, 'task.succeeded'), { task: doneTask() }]);
  });

  test('without its stream is the answer alone, the rest on stderr', async () => {
    stream((response) => sendEvents(response, LOG));
    expect(await watch({ show: 'none' })).toBe(0);
    expect(out).toBe('All done.\n');
    expect(err).toContain('✓ Done in 12 s');
    out = '';
    expect(await watch({ show: 'none', json: true })).toBe(0);
    expect(JSON.parse(out)).toEqual(doneTask());
  });

  test('is told to whoever reads events alone that a line broke, once and beside them', async () => {
    stream((response, connections) => {
      sendEvents(response, LOG.slice(0, connections * 2));
      if (connections < 3) response.end();
    });
    expect(await watch({ show: 'json', json: true })).toBe(0);
    expect(out.trim().split('\n')).toHaveLength(LOG.length + 1);
    expect(err).toBe(
      'The connection was lost (the server closed the stream): it is taken up again where it broke.\n',
    );
  });

  test('is followed through dropped connections and a server that cannot serve', async () => {
    stream((response, connections) => {
      sendEvents(response, LOG.slice(0, connections * 2));
      if (connections < 3) response.end();
    });
    let asked = 0;
    api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => {
      asked += 1;
      if (asked > 1) return doneTask();
      problem(response, 503, 'unavailable', 'Not now.');
    });
    expect(await watch()).toBe(0);
    expect(out.match(/✓ bash/g)).toHaveLength(1);
    expect(out).toContain(
      '… connection lost (the server closed the stream), trying again\n… connected again\n',
    );
  });
});

describe('a task that needs a person', () => {
  const requested = event(1, 'approval.requested', {
    approvalId: anApproval().id,
    tool: 'bash',
    callId: 'c1',
  });
  const waiting = event(2, 'task.waiting', { on: 'approval' });
  const ended = event(3, 'task.succeeded');

  function approvals(...data: Approval[]): void {
    api.on('GET /v1/approvals', () => ({ data, nextCursor: null }));
  }

  test('has exit code 4 where none is here, and says how to answer', async () => {
    stream((response) => sendEvents(response, [requested, waiting]));
    approvals(anApproval({ taskId: 'task_other' }), anApproval({ status: 'denied' }), anApproval());
    expect(await watch()).toBe(4);
    expect(err).toBe(
      `bash needs an approval; the task waits. Answer with: capybara approvals allow ${anApproval().id} (or deny)\n` +
        '  command │ rm -rf build\n',
    );
  });

  test.each([
    ['y', { decision: 'allow' }],
    ['No', { decision: 'deny' }],
    ['n', { decision: 'deny' }],
    ['n use the staging one', { decision: 'deny', message: 'use the staging one' }],
    ['No, not on a Friday', { decision: 'deny', message: 'not on a Friday' }],
  ])('asks the one who is here: %s', async (typed, answer) => {
    stream((response) => sendEvents(response, [requested, waiting, ended]));
    approvals(anApproval());
    api.on(`POST /v1/approvals/${anApproval().id}`, () => anApproval({ status: 'allowed' }));
    const asked: string[] = [];
    const code = await watch({}, async (question) => {
      asked.push(question);
      return typed;
    });
    expect(code).toBe(0);
    expect(asked).toEqual(['Allow this call? [y, always, n, or n and why] ']);
    expect(out).toContain(`? bash needs an approval: ${anApproval().id}\nbash\n  command │ rm -rf build\n`);
    expect(api.received.find(({ method }) => method === 'POST')?.body).toEqual(answer);
  });

  test('shows what `always` would allow, asks again, and stores nothing before that is answered', async () => {
    stream((response) => sendEvents(response, [requested, waiting, ended]));
    approvals(anApproval());
    const ruleId = `rule_${'6'.repeat(32)}`;
    api.on(`POST /v1/approvals/${anApproval().id}`, () => anApproval({ status: 'allowed', ruleId }));
    const said = ['always', 'n', 'a', 'yes'];
    const asked: string[] = [];
    const posts = () => api.received.filter(({ method }) => method === 'POST');
    const code = await watch({}, async (question) => {
      asked.push(question);
      expect(posts()).toEqual([]);
      return said.shift();
    });
    expect(code).toBe(0);
    const [first, sure] = ['Allow this call? [y, always, n, or n and why] ', 'Allow that always? [y, n] '];
    expect(asked).toEqual([first, sure, first, sure]);
    const shown = '  `always` allows bash with exactly this command, in /home/me/project.\n';
    expect(out).toContain(
      `${shown}${shown}${ruleId} allows bash with exactly this command, in /home/me/project:\n    command │ rm -rf build\n` +
        `Take it back with: capybara rules revoke ${ruleId}\n`,
    );
    expect(posts().map(({ body }) => body)).toEqual([{ decision: 'allow_always' }]);
  });

  test('does not take `always` for an answer where a call can only be allowed once', async () => {
    stream((response) => sendEvents(response, [requested, waiting, ended]));
    approvals(anApproval({ always: null }));
    api.on(`POST /v1/approvals/${anApproval().id}`, () => anApproval({ status: 'allowed' }));
    const asked: string[] = [];
    const said = ['always', 'y'];
    await watch({}, async (question) => {
      asked.push(question);
      return said.shift();
    });
    expect(asked).toEqual(Array(2).fill('Allow this call? [y, n, or n and why] '));
    expect(api.received.find(({ method }) => method === 'POST')?.body).toEqual({ decision: 'allow' });
  });

  test('waits on where the one who is here does not say', async () => {
    stream((response) => sendEvents(response, [requested, waiting]));
    approvals(anApproval());
    expect(await watch({}, async () => undefined)).toBe(4);
  });

  test('asks again where what is said is neither yes nor no', async () => {
    stream((response) => sendEvents(response, [requested, waiting, ended]));
    approvals(anApproval());
    api.on(`POST /v1/approvals/${anApproval().id}`, () => anApproval({ status: 'denied' }));
    const said = ['', 'x', 'n'];
    expect(await watch({}, async () => said.shift())).toBe(0);
    expect(said).toEqual([]);
  });

  test('takes the question back where another person answers it meanwhile', async () => {
    stream((response) => sendEvents(response, [requested, waiting, ended]));
    approvals(anApproval());
    const ask: Terminal['ask'] = (_, signal) => {
      approvals(anApproval({ status: 'allowed', resolvedBy: 'A\u001b[1mnn' }));
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    expect(await watch({}, ask)).toBe(0);
    expect(out).toContain('answered elsewhere: allowed by Ann\n');
    expect(api.received.filter(({ method }) => method === 'POST')).toEqual([]);
  });

  test('goes on where another person was faster', async () => {
    stream((response) => sendEvents(response, [requested, waiting, ended]));
    approvals(anApproval());
    api.on(`POST /v1/approvals/${anApproval().id}`, (_, response) =>
      problem(response, 409, 'already_resolved', 'Ann has answered already.'),
    );
    expect(await watch({}, async () => 'y')).toBe(0);
    expect(err).toBe('Ann has answered already.\n');
  });

  test('is followed past a question that was answered, to the one that is open', async () => {
    const second = { ...requested, seq: 4, data: { ...requested.data, approvalId: `apr_${'4'.repeat(32)}` } };
    const later = [event(3, 'task.resumed'), second, event(5, 'task.waiting', { on: 'approval' })];
    stream((response) => sendEvents(response, [requested, waiting, ...later]));
    approvals(anApproval({ id: `apr_${'4'.repeat(32)}`, arguments: '{"command":"make"}' }));
    expect(await watch()).toBe(4);
    expect(out).toContain(`? bash needs an approval: apr_${'4'.repeat(32)}\n`);
    expect(err).toMatch(/^[^\n]+ approvals allow apr_4+ \(or deny\)\n {2}command │ make\n$/);
  });

  test('whose question was answered meanwhile is followed on', async () => {
    stream((response) => sendEvents(response, [requested, waiting, ended]));
    approvals();
    expect(await watch()).toBe(0);
  });
});

describe('leaving', () => {
  test('Ctrl-C once detaches and says how to come back', async () => {
    stream((response) => {
      sendEvents(response, [event(1, 'task.created')]);
      keys.emit('SIGINT');
    });
    expect(await watch()).toBe(130);
    expect(err).toBe(
      '\nDetaching; press Ctrl-C again within 2 s to cancel the task.\n' +
        `Detached: the task goes on.\nFollow it with: capybara tail ${TASK_ID}\n`,
    );
    expect(api.received.some(({ method }) => method === 'POST')).toBe(false);
  });

  test('Ctrl-C twice cancels the task and waits for its end', async () => {
    stream(() => {
      press();
      press();
    });
    api.on(`POST /v1/tasks/${TASK_ID}/cancel`, () => aTask({ cancelRequested: true }));
    expect(await watch()).toBe(130);
    expect(err).toContain('Cancelled.\n');
  });

  test('one Ctrl-C that arrives twice at once only leaves', async () => {
    stream(() => {
      press();
      press(ECHO_MS - 1);
    });
    expect(await watch()).toBe(130);
    expect(err).toContain('Detached: the task goes on.');
    expect(api.received.some(({ method }) => method === 'POST')).toBe(false);
  });

  test('SIGTERM leaves without waiting for a second', async () => {
    stream(() => keys.emit('SIGTERM'));
    expect(await watch()).toBe(130);
    expect(err).toBe(`\nDetaching.\nDetached: the task goes on.\nFollow it with: capybara tail ${TASK_ID}\n`);
  });

  test('a reader of stdout that goes away is left at once', async () => {
    stream(() => gone.abort());
    expect(await watch()).toBe(130);
    expect(err).toBe(`Detached: the task goes on.\nFollow it with: capybara tail ${TASK_ID}\n`);
  });

  test('Ctrl-C ends what is asked of a server that does not answer', async () => {
    const terminal = collecting();
    const options = { connection, terminal, show: 'json' as const, json: true, interrupts, directory: '/' };
    api.on(`GET /v1/tasks/${TASK_ID}`, () => void press());
    expect(await tailTask(TASK_ID, options)).toBe(130);
    expect([out, err]).toEqual(['', 'Stopped before the task was found.\n']);
  });

  test.each([
    ['the tree', 'event of another session', '/tree'],
    ['the end', 'end', ''],
  ])('Ctrl-C ends the reading of %s', async (_, what, rest) => {
    const stranger = { ...event(1, 'session.created'), sessionId: `ses_${'7'.repeat(32)}` };
    stream((response) => sendEvents(response, [what === 'end' ? event(1, 'task.succeeded') : stranger]));
    const route = rest === '' ? `GET /v1/tasks/${TASK_ID}` : `GET /v1/sessions/${SESSION_ID}${rest}`;
    api.on(route, () => void press());
    expect(await watch()).toBe(130);
    expect(err).toContain('Detached: the task goes on.');
  });

  test('Ctrl-C before the task is sent begins nothing', async () => {
    keys.emit('SIGINT');
    const terminal = collecting();
    const options = { connection, terminal, show: 'text' as const, json: false, interrupts, directory: '/' };
    expect(await runTask({ body: { prompt: 'p' } }, options)).toBe(130);
    expect(err).toBe('Stopped before the task was sent: nothing was begun.\n');
    expect(api.received).toEqual([]);
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['is silent', () => press()],
    ['stalls', (response) => void response.writeHead(201).write('{"id":', () => press())],
    ['asks to wait', (response) => void response.writeHead(429, { 'retry-after': '5' }).end(() => press())],
  ])('Ctrl-C ends the sending of a task to a server that %s', async (_, answer) => {
    api.on('POST /v1/tasks', (__, response) => answer(response));
    const terminal = collecting();
    const options = { connection, terminal, show: 'text' as const, json: false, interrupts, directory: '/' };
    const began = performance.now();
    expect(await runTask({ body: { prompt: 'p' } }, options)).toBe(130);
    expect(err).toBe(
      'Stopped before the task was answered: it may have begun all the same; see `capybara tasks list`.\n',
    );
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  test('Ctrl-C ends the sending of an answer', async () => {
    const asked = event(1, 'approval.requested', { approvalId: anApproval().id, tool: 'bash' });
    stream((response) => sendEvents(response, [asked, event(2, 'task.waiting', { on: 'approval' })]));
    api.on('GET /v1/approvals', () => ({ data: [anApproval()], nextCursor: null }));
    api.on(`POST /v1/approvals/${anApproval().id}`, () => void press());
    expect(await watch({}, async () => 'y')).toBe(130);
    expect(err).toContain('Detached: the task goes on.');
  });

  test('a third Ctrl-C ends the process', () => {
    let forced = 0;
    const source = new EventEmitter();
    let now = 0;
    const pressed = new Interrupts({ force: () => (forced += 1), source, now: () => now });
    for (const expected of [0, 0, 1]) {
      now += ECHO_MS;
      source.emit('SIGINT');
      expect(forced).toBe(expected);
    }
    pressed.close();
  });
});

test('a server that says when is asked again then', async () => {
  const { signal } = new AbortController();
  const began = performance.now();
  let asked = 0;
  const answer = await untilReachable({ connection, signal }, async () => {
    asked += 1;
    if (asked === 1) throw new UnreachableError('Not now.', 400);
    return 'now';
  });
  expect([answer, asked]).toEqual(['now', 2]);
  expect(performance.now() - began).toBeGreaterThan(390);
});

test('Ctrl-C does not wait until a server wants to be asked', async () => {
  const { signal } = interrupts;
  const asking = untilReachable({ connection, signal }, async () => {
    setImmediate(press);
    throw new UnreachableError('Not now.', 60_000);
  });
  await expect(asking).rejects.toMatchObject({ name: 'AbortError' });
});

describe('submitting', () => {
  test('continues the newest session of the directory', async () => {
    api.on('GET /v1/sessions', ({ query }) =>
      query.cursor === undefined
        ? {
            data: [sessionIn('ses_a', '/other'), sessionIn('ses_b', '/here', { parentId: 'ses_a' })],
            nextCursor: 'n',
          }
        : {
            data: [
              sessionIn('ses_c', '/here', { archivedAt: '2026-01-01T00:00:00Z' }),
              sessionIn('ses_d', '/here'),
            ],
            nextCursor: null,
          },
    );
    api.on('POST /v1/tasks', () => aTask());
    expect(await submitTask({ body: { prompt: 'go on' }, continues: '/here' }, connection)).toEqual(aTask());
    expect(api.received.at(-1)?.body).toEqual({ prompt: 'go on', sessionId: 'ses_d' });
    await expect(
      submitTask({ body: { prompt: 'go on' }, continues: '/nowhere' }, connection),
    ).rejects.toMatchObject({
      exitCode: 2,
      message: 'No session has worked in /nowhere yet: leave --continue out to begin one.',
    });
  });
});
