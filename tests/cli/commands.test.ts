/** Each command in this process, against a scripted server; what only a whole process shows is in process.test.ts. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Config, settings } from '@oclif/core';
import { captureOutput } from '@oclif/test';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Rule } from '../../src/api/wire.ts';
import { noCommand } from '../../src/cli/near-command.ts';
import {
  aNode,
  anApproval,
  aSession,
  aTask,
  aTree,
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

const COMMANDS = fileURLToPath(new URL('../../src/cli/commands', import.meta.url));

let oclif: Config;
let api: ScriptedApi;
let home: string;
const environment = { ...process.env };

beforeAll(async () => {
  settings.enableAutoTranspile = false;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const pjson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  // Commands are imported here and not by oclif, so that their coverage is counted.
  delete pjson.oclif.commands;
  pjson.oclif.plugins = [];
  oclif = await Config.load({ root, pjson, ignoreManifest: true });
  home = mkdtempSync(join(tmpdir(), 'capybara-commands-'));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

beforeEach(async () => {
  api = await startScriptedApi();
  Object.assign(process.env, {
    CAPYBARA_URL: api.url,
    CAPYBARA_API_KEY: 'capy_hush',
    XDG_CONFIG_HOME: home,
    XDG_DATA_HOME: home,
  });
});
afterEach(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  process.exitCode = undefined;
  await api.close();
});

async function load(id: string): Promise<Command.Class> {
  const { default: command } = await import(`${COMMANDS}/${id.replaceAll(':', '/')}.ts`);
  command.id = id;
  return command;
}

async function capybara(id: string, ...argv: string[]) {
  const command = await load(id);
  const { stdout, stderr, error } = await captureOutput(() => command.run(argv, oclif));
  const code = process.exitCode ?? 0;
  process.exitCode = undefined;
  if (error) throw error;
  return { stdout, stderr, code };
}

const page = (...data: unknown[]) => ({ data, nextCursor: null });

describe('tasks', () => {
  test('list', async () => {
    api.on('GET /v1/tasks', () => page(aTask({ status: 'waiting', waitingOn: 'approval' }), doneTask()));
    expect(await capybara('tasks:list', '--limit', '2', '--status', 'waiting')).toEqual({
      code: 0,
      stderr: '',
      stdout:
        'ID                                     STATUS              TURNS  CREATED                   PROMPT\n' +
        `${TASK_ID}  waiting (approval)  1      2026-01-02T03:04:05.000Z  do it\n` +
        `${TASK_ID}  succeeded           2      2026-01-02T03:04:05.000Z  do it\n`,
    });
    expect(api.received[0]).toMatchObject({
      query: { limit: '2', status: 'waiting' },
      headers: { authorization: 'Bearer capy_hush' },
    });
  });

  test('list of a session, none, as JSON', async () => {
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession());
    api.on('GET /v1/tasks', () => page());
    expect((await capybara('tasks:list', '--session', SESSION_ID)).stdout).toBe('No tasks.\n');
    expect(api.received.at(-1)?.query).toMatchObject({ sessionId: SESSION_ID });
    expect(JSON.parse((await capybara('tasks:list', '--json')).stdout)).toEqual(page());
  });

  test('resume raises limits', async () => {
    const limits = {
      turns: 70,
      treeTurns: 1000,
      ...{ children: 12, concurrentChildren: 3, depth: 1 },
      tokens: null,
      usd: '5',
      seconds: null,
      onLimit: 'park',
    } as const;
    api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
    api.on(`PATCH /v1/tasks/${TASK_ID}`, () => aTask({ limits }));
    api.on(`POST /v1/tasks/${TASK_ID}/resume`, () => aTask({ limits }));
    const { stdout } = await capybara('tasks:resume', TASK_ID, '--limit', 'usd=5', '--limit', 'turns=80');
    expect(stdout).toBe(`${TASK_ID} has its new limits: follow it with capybara tail ${TASK_ID}\n`);
    expect(api.received.at(-2)?.body).toEqual({ limits: { usd: '5', turns: 80 } });
  });

  test('pause, and resume', async () => {
    api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
    api.on(`POST /v1/tasks/${TASK_ID}/pause`, () => aTask({ status: 'paused' }));
    api.on(`POST /v1/tasks/${TASK_ID}/resume`, () => aTask());
    const paused = await capybara('tasks:pause', TASK_ID);
    expect(paused.stdout).toBe(`${TASK_ID} is paused: let it go on with capybara tasks resume ${TASK_ID}\n`);
    const resumed = await capybara('tasks:resume', TASK_ID);
    expect(resumed.stdout).toBe(`${TASK_ID} goes on: follow it with capybara tail ${TASK_ID}\n`);
    expect(api.received.some(({ method }) => method === 'PATCH')).toBe(false);
  });

  test('resume says what is still waited for', async () => {
    const why = aWaiting();
    api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
    api.on(`POST /v1/tasks/${TASK_ID}/resume`, () => aTask({ status: 'waiting' }));
    api.on(`GET /v1/sessions/${SESSION_ID}/why`, () => aWhy([why]));
    const { stdout } = await capybara('tasks:resume', TASK_ID);
    expect(stdout).toBe(`${TASK_ID} is not paused, and waits: ${why.sentence}\n`);
  });

  test('diff --force is for the file of --bundle', async () => {
    api.on('GET /v1/sessions', () => page(aSession()));
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession());
    for (const flags of [[], ['--branch', 'b']])
      expect(await capybara('diff', SESSION_ID, '--force', ...flags)).toEqual({
        ...{ code: 2, stdout: '' },
        stderr: '--force writes over the file of --bundle: name that file.\n',
      });
  });

  test('show by id, by beginning, by session and by last', async () => {
    api.on('GET /v1/tasks', ({ query }) =>
      query.limit === '1' ? page(doneTask()) : page(aTask({ id: 'task_33' }), doneTask()),
    );
    api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask());
    api.on('GET /v1/sessions', () => page(aSession()));
    for (const id of [TASK_ID, 'task_222', 'ses_1', 'last']) {
      const { stdout, code } = await capybara('tasks:show', id);
      expect([id, code]).toEqual([id, 0]);
      expect(stdout).toContain(`task     ${TASK_ID}\n`);
    }
  });

  test('an id that is none, means none or means several is refused', async () => {
    api.on('GET /v1/tasks', ({ query }) => (query.limit === '1' ? page() : page(aTask(), doneTask())));
    const says = async (id: string) => (await capybara('tasks:show', id)).stderr;
    expect(await says('x y')).toBe('"x y" is not an id: expected ses_…, task_…, its beginning, or "last".\n');
    expect(await says('last')).toBe('There is no task yet.\n');
    expect(await says('task_2')).toBe('2 ids begin with task_2: give more of the id.\n');
    expect(await says('task_9')).toBe('None of the newest 1000 begins with task_9: give more of the id.\n');
  });

  test('a beginning is looked for page by page, as far as the newest thousand', async () => {
    const many = Array.from({ length: 200 }, () => aTask({ id: `task_${'4'.repeat(32)}` }));
    let pages = 0;
    api.on('GET /v1/tasks', () => {
      pages += 1;
      return { data: pages === 5 ? [...many.slice(1), aTask()] : many, nextCursor: 'more' };
    });
    expect((await capybara('tasks:show', 'task_2')).code).toBe(0);
    expect(pages).toBe(5);
    expect((await capybara('tasks:show', 'task_2')).code).toBe(2);
    expect(pages).toBe(10);
  });

  test('cancel', async () => {
    api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
    api.on(`POST /v1/tasks/${TASK_ID}/cancel`, () => aTask({ cancelRequested: true }));
    expect((await capybara('tasks:cancel', TASK_ID)).stdout).toBe(`${TASK_ID} is being cancelled\n`);
    const cancelled = doneTask({ status: 'cancelled', result: null });
    api.on(`POST /v1/tasks/${TASK_ID}/cancel`, () => cancelled);
    expect((await capybara('tasks:cancel', TASK_ID)).stdout).toBe(`${TASK_ID} cancelled\n`);
  });

  test.each(['succeeded', 'cancelled'] as const)(
    'cancel says of one that %s that it had ended',
    async (status) => {
      const ended = doneTask({ status });
      api.on(`GET /v1/tasks/${TASK_ID}`, () => ended);
      api.on(`POST /v1/tasks/${TASK_ID}/cancel`, () => ended);
      expect(await capybara('tasks:cancel', TASK_ID)).toEqual({
        code: 0,
        stderr: '',
        stdout: `${TASK_ID} had ended already: ${status} at 2026-01-02T03:04:17.000Z\n`,
      });
    },
  );
});

describe('sessions', () => {
  test('list and show', async () => {
    const session = aSession({ workspace: { kind: 'local', path: '/p' } });
    api.on('GET /v1/sessions', () => page(session));
    api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => session);
    api.on('GET /v1/tasks', () => page(aTask()));
    expect((await capybara('sessions:list')).stdout).toContain(
      `${SESSION_ID}  idle   2026-01-02T03:04:05.000Z  /p`,
    );
    for (const id of ['last', SESSION_ID, 'ses_1', TASK_ID]) {
      const { stdout } = await capybara('sessions:show', id);
      expect(stdout).toContain(`session    ${SESSION_ID}\n`);
      expect(stdout).toContain(`${TASK_ID}  running  1      do it\n`);
    }
    api.on('GET /v1/sessions', () => page());
    expect((await capybara('sessions:list')).stdout).toBe('No sessions.\n');
  });
});

test('sessions tree shows what each agent does', async () => {
  const tree = aTree([
    aNode({ state: 'executing', doing: { tool: 'bash', callId: 'c', about: 'npm test' } }),
  ]);
  api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession());
  api.on(`GET /v1/sessions/${SESSION_ID}/tree`, () => tree);
  const { stdout } = await capybara('sessions:tree', SESSION_ID);
  const [, parent, child, , ...rest] = stdout.split('\n');
  expect(parent).toMatch(/^│ ⏳ \[parent\] waiting: 1 delegated task +1m12s \$0\.18$/);
  expect(child).toMatch(/^│ └── ⚙️ \[child tests\] executing: npm test +9s \$0\.01$/);
  expect(rest.join('\n')).toBe(`
SESSION                               AGENT   TURNS  TOKENS IN  OUT  COST
${SESSION_ID}  parent  1      100        20   $0.18
ses_55555555555555555555555555555555  tests   1      100        20   $0.01
                                      total   2      200        40   $0.19
`);
  expect(JSON.parse((await capybara('sessions:tree', SESSION_ID, '--json')).stdout)).toEqual(tree);
  api.on(`GET /v1/sessions/${SESSION_ID}/tree`, () => ({ ...tree, more: true }));
  expect((await capybara('sessions:tree', SESSION_ID)).stdout).toMatch(
    /┘\nThere are more sessions below it than are shown\.\n\nSESSION .*\n.*\n.* tests .*\n$/,
  );
  api.on(`GET /v1/sessions/${SESSION_ID}/tree`, () => aTree([]));
  expect((await capybara('sessions:tree', SESSION_ID)).stdout).not.toContain('SESSION');
});

describe('approvals', () => {
  test('list, allow and deny', async () => {
    const { id } = anApproval();
    api.on('GET /v1/approvals', () => page(anApproval(), anApproval({ status: 'denied' })));
    api.on(`POST /v1/approvals/${id}`, ({ body }) =>
      anApproval({ status: (body as { decision: string }).decision === 'allow' ? 'allowed' : 'denied' }),
    );
    expect((await capybara('approvals:list')).stdout).toBe(
      `${id} · bash · 2026-01-02T03:04:05.000Z · ${TASK_ID}\n  command │ rm -rf build\n` +
        '  `always` allows bash with exactly this command, in /home/me/project.\n',
    );
    expect((await capybara('approvals:allow', id)).stdout).toBe(`${id} allowed\n`);
    expect((await capybara('approvals:deny', id, '--message', 'no')).stdout).toBe(`${id} denied\n`);
    expect(api.received.at(-1)?.body).toEqual({ decision: 'deny', message: 'no' });
    api.on('GET /v1/approvals', () => page());
    expect((await capybara('approvals:list')).stdout).toBe('Nobody is asked anything.\n');
  });

  test('list says until when they can be answered, and which can only be allowed once', async () => {
    const [id, expiresAt] = [anApproval().id, '2026-01-02T04:04:05.000Z'];
    api.on('GET /v1/approvals', () => page(anApproval({ always: null, expiresAt })));
    expect((await capybara('approvals:list')).stdout).toBe(
      `${id} · bash · 2026-01-02T03:04:05.000Z · ${TASK_ID} · denied at ${expiresAt}\n  command │ rm -rf build\n` +
        '  This call can only be allowed once.\n',
    );
  });

  test('list says who asks below whom', async () => {
    const asker = (title: string, agent: string | null = null) => ({ sessionId: SESSION_ID, title, agent });
    const path = [asker('Mend the \u001b[2Jgearbox of the old machine'), asker('tests'), asker('', 'review')];
    api.on('GET /v1/approvals', () => page(anApproval({ path })));
    expect((await capybara('approvals:list')).stdout).toContain(
      `${TASK_ID}\n  asked by Mend the gearbox of the… › tests › review\n  command │ rm -rf build\n`,
    );
  });

  test('are named by their beginnings, and the only one that is open as "last"', async () => {
    const [one, other] = [anApproval(), anApproval({ id: `apr_3${'4'.repeat(31)}`, tool: 'web_fetch' })];
    api.on('GET /v1/approvals', () => page(one, other));
    for (const { id } of [one, other])
      api.on(`POST /v1/approvals/${id}`, () => anApproval({ id, status: 'allowed' }));
    expect((await capybara('approvals:allow', 'APR_34')).stdout).toBe(`${other.id} allowed\n`);
    expect((await capybara('approvals:deny', 'apr_33')).stdout).toBe(`${one.id} allowed\n`);
    const posted = api.received.filter(({ method }) => method === 'POST').length;
    const refused = async (id: string) => {
      const [allow, deny] = [await capybara('approvals:allow', id), await capybara('approvals:deny', id)];
      expect(deny).toEqual(allow);
      return allow;
    };
    expect(await refused('apr_3')).toMatchObject({
      ...{ code: 2, stderr: '2 ids begin with apr_3: give more of the id.\n' },
    });
    expect((await refused('apr_5')).stderr).toBe(
      'None of the open approvals begins with apr_5: give more of the id.\n',
    );
    expect((await refused('task_3')).stderr).toBe(
      '"task_3" is not an id: expected apr_…, its beginning, or "last".\n',
    );
    expect(await refused('last')).toEqual({
      ...{ code: 2, stdout: '' },
      stderr:
        'Several approvals are open, and "last" may mean any of them: give the id.\n' +
        `  ${one.id} bash\n  ${other.id} web_fetch\n`,
    });
    api.on('GET /v1/approvals', () => page());
    expect((await refused('last')).stderr).toBe('Nobody is asked anything.\n');
    expect(api.received.filter(({ method }) => method === 'POST')).toHaveLength(posted);
    api.on('GET /v1/approvals', () => page(other));
    expect((await capybara('approvals:allow', 'last')).stdout).toBe(`${other.id} allowed\n`);
  });

  test('allow --always says which rule it made, and how to take it back', async () => {
    const { id } = anApproval();
    api.on(`POST /v1/approvals/${id}`, () => anApproval({ status: 'allowed', ruleId: RULE.id }));
    expect((await capybara('approvals:allow', id, '--always')).stdout).toBe(
      `${id} allowed\n` +
        `${RULE.id} allows bash with exactly this command, in /home/me/project:\n    command │ rm -rf build\n` +
        `Take it back with: capybara rules revoke ${RULE.id}\n`,
    );
    expect(api.received.at(-1)?.body).toEqual({ decision: 'allow_always' });
  });
});

const RULE: Rule = {
  id: `rule_${'6'.repeat(32)}`,
  ...{ tool: 'bash', kind: 'command', value: 'rm -rf build' },
  scope: { kind: 'directory', path: '/home/me/project' },
  ...{ approvalId: anApproval().id, createdBy: 'Ada', createdAt: '2026-01-02T03:04:05.000Z' },
};

describe('rules', () => {
  test('list says whole what is allowed always, where, and who said so', async () => {
    const inSession: Rule = {
      ...RULE,
      id: `rule_${'7'.repeat(32)}`,
      ...{ tool: 'web_fetch', kind: 'arguments', value: '{"url":"https://a.test"}', createdBy: null },
      scope: { kind: 'session', sessionId: SESSION_ID },
    };
    const path: Rule = { ...RULE, tool: 'edit_file', kind: 'path', value: 'src/a\u202e.ts' };
    api.on('GET /v1/rules', () => page(RULE, inSession, path));
    expect((await capybara('rules:list')).stdout).toBe(
      `${RULE.id} · 2026-01-02T03:04:05.000Z · Ada\n` +
        '  bash with exactly this command, in /home/me/project:\n    command │ rm -rf build\n\n' +
        `${inSession.id} · 2026-01-02T03:04:05.000Z · someone who has left\n` +
        `  web_fetch with exactly these arguments, in ${SESSION_ID} and its children:\n    url │ https://a.test\n\n` +
        `${RULE.id} · 2026-01-02T03:04:05.000Z · Ada\n` +
        '  edit_file with exactly this path, whatever else it is told, in /home/me/project:\n    path │ src/a\ufffd.ts\n',
    );
    api.on('GET /v1/rules', () => page());
    expect((await capybara('rules:list')).stdout).toBe('Nothing is allowed always.\n');
  });

  test('revoke takes one back', async () => {
    api.on(`DELETE /v1/rules/${RULE.id}`, () => ({ id: RULE.id }));
    expect(await capybara('rules:revoke', RULE.id)).toEqual({
      code: 0,
      stdout: `${RULE.id} revoked\n`,
      stderr: '',
    });
    expect(JSON.parse((await capybara('rules:revoke', RULE.id, '--json')).stdout)).toEqual({ id: RULE.id });
  });

  test('revoke takes back the one that is meant, and never one of several', async () => {
    const rules = (...ids: string[]) =>
      api.on('GET /v1/rules', () => page(...ids.map((id) => ({ ...RULE, id }))));
    api.on(`DELETE /v1/rules/${RULE.id}`, () => ({ id: RULE.id }));
    const beginning = RULE.id.slice(0, 12);
    rules(RULE.id);
    expect((await capybara('rules:revoke', beginning)).stdout).toBe(`${RULE.id} revoked\n`);
    rules(RULE.id, `${beginning}${'f'.repeat(25)}`);
    const refused = async (id: string) => (await capybara('rules:revoke', id)).stderr;
    expect(await refused(beginning)).toBe(`2 ids begin with ${beginning}: give more of the id.\n`);
    rules();
    expect(await refused(beginning)).toBe(`No rule begins with ${beginning}: give more of the id.\n`);
    for (const id of ['', 'last', 'rule_', 'apr_1'])
      expect(await refused(id)).toBe(
        `${JSON.stringify(id)} is not the id of a rule: expected rule_… or its beginning, as \`capybara rules list\` shows it.\n`,
      );
    expect(api.received.filter(({ method }) => method === 'DELETE')).toHaveLength(1);
  });
});

describe('why', () => {
  const waiting = aWaiting();
  const asked = `  ${anApproval().id} · bash\n    command │ rm -rf build\n`;
  const behind = {
    ...{ taskId: `task_${'4'.repeat(32)}`, sessionId: SESSION_ID, status: 'queued' as const },
    ...{
      kind: 'earlier' as const,
      evidence: { ahead: 1 },
      via: [{ taskId: TASK_ID, kind: 'calls' as const }],
    },
    sentence: `It begins when the task before it has ended: ${TASK_ID}.`,
  };
  const other = { ...behind, taskId: `task_${'5'.repeat(32)}`, sentence: 'It begins later.' };

  beforeEach(() => {
    api.on('GET /v1/tasks', () => page(aTask({ status: 'waiting', waitingOn: 'approval' })));
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession());
    for (const id of [TASK_ID, behind.taskId]) api.on(`GET /v1/tasks/${id}`, () => aTask({ id }));
    api.on(`GET /v1/sessions/${SESSION_ID}/why`, () => aWhy([waiting, behind, other], { more: true }));
  });

  test('says of each unfinished task of a session what will wake it, with the command to type', async () => {
    for (const argv of [[], ['last'], [SESSION_ID]]) {
      expect(await capybara('why', ...argv)).toEqual({
        code: 0,
        stderr: '',
        stdout:
          `${TASK_ID}: A person must allow or deny bash: \`capybara approvals allow ${anApproval().id}\` (or deny).\n` +
          asked +
          `${behind.taskId}: It begins when the task before it has ended: ${TASK_ID}.\n` +
          `${other.taskId}: It begins later.\n` +
          'More tasks wait behind these.\n',
      });
    }
  });

  test('says of a task only what will wake it and those it waits for', async () => {
    const { stdout, code } = await capybara('why', behind.taskId);
    expect(stdout).toBe(`${TASK_ID}: ${waiting.sentence}\n${asked}${behind.taskId}: ${behind.sentence}\n`);
    expect(code).toBe(0);
    expect((await capybara('why', 'task_2')).stdout).toBe(`${TASK_ID}: ${waiting.sentence}\n${asked}`);
    const json = JSON.parse((await capybara('why', TASK_ID, '--json')).stdout);
    expect(json).toEqual(aWhy([waiting], { sentence: '3 tasks are unfinished.' }));
  });

  test('tells all where a task is so far behind that the answer does not reach it', async () => {
    const id = `task_${'6'.repeat(32)}`;
    api.on(`GET /v1/tasks/${id}`, () => aTask({ id, status: 'queued' }));
    expect((await capybara('why', id)).stdout).toMatch(/\nMore tasks wait behind these\.\n$/);
  });

  test.each([
    ['succeeded', doneTask(), 'it succeeded at 2026-01-02T03:04:17.000Z.'],
    [
      'cancelled',
      doneTask({ status: 'cancelled', result: null }),
      'it was cancelled at 2026-01-02T03:04:17.000Z.',
    ],
    [
      'failed',
      doneTask({ status: 'failed', result: null, error: { code: 'refused', message: 'It refused.' } }),
      'it failed at 2026-01-02T03:04:17.000Z: It refused (refused).',
    ],
  ])(
    'says of a task that %s that nothing will wake it, and of its session what the server says',
    async (_, task, how) => {
      api.on(`GET /v1/tasks/${TASK_ID}`, () => task);
      api.on(`GET /v1/sessions/${SESSION_ID}/why`, () => aWhy([], { sentence: 'Nothing is unfinished.' }));
      expect(await capybara('why', TASK_ID)).toEqual({
        code: 0,
        stderr: '',
        stdout: `Nothing will wake ${TASK_ID}: ${how}\n`,
      });
      expect((await capybara('why', 'last')).stdout).toBe('Nothing is unfinished.\n');
    },
  );

  test('tells a bug of Capybara, and no control characters', async () => {
    const sentence = 'Nothing will wake it: this is a bug in Capybara\x1b[2J\nreally.';
    const broken = {
      ...waiting,
      kind: 'broken' as const,
      evidence: { fault: 'none' as const, found: [] },
      sentence,
    };
    api.on(`GET /v1/sessions/${SESSION_ID}/why`, () => aWhy([broken]));
    expect(await capybara('why', 'last')).toEqual({
      code: 0,
      stderr: '',
      stdout: `${TASK_ID}: Nothing will wake it: this is a bug in Capybara really.\n`,
    });
  });

  test('wants an id that is one', async () => {
    const refused = async (...argv: string[]) => capybara('why', ...argv);
    expect((await refused('x')).stderr).toBe(
      '"x" is not an id: expected ses_…, task_…, its beginning, or "last".\n',
    );
    api.on('GET /v1/tasks', () => page());
    expect(await refused()).toEqual({ code: 2, stdout: '', stderr: 'There is no task yet.\n' });
  });
});

describe('run, submit and tail', () => {
  beforeEach(() => {
    api.on('POST /v1/tasks', () => aTask());
    api.on('GET /v1/tasks', () => page(aTask()));
    api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask());
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession());
    api.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) => {
      sendEvents(openStream(response), [event(1, 'task.succeeded')]);
    });
  });

  test('run submits and follows', async () => {
    const { stdout, code } = await capybara('run', 'do it', '--workspace', 'empty', '--model', 'a/b');
    expect(stdout).toContain('✓ Done in 12 s, 2 turns\n');
    expect(code).toBe(0);
    const { body } = api.received[0] ?? {};
    expect(body).toEqual({ prompt: 'do it', model: 'a/b', workspace: { kind: 'empty' } });
  });

  test('submit prints the id', async () => {
    expect((await capybara('submit', 'do it', '--workspace', 'empty')).stdout).toBe(`${TASK_ID}\n`);
    expect(JSON.parse((await capybara('submit', 'do it', '--workspace', 'empty', '--json')).stdout)).toEqual(
      aTask(),
    );
  });

  test('tail follows', async () => {
    const { stdout, code } = await capybara('tail', 'last', '--json');
    expect(stdout.split('\n').filter(Boolean)).toHaveLength(2);
    expect(code).toBe(0);
    expect((await capybara('tail', TASK_ID, '--no-stream')).stdout).toBe('All done.\n');
  });
});

describe('failures', () => {
  test.each<[string, string[], string]>([
    [
      'an empty prompt',
      ['run', ''],
      'The prompt is empty: say in words what the agent should do, or "-" to read it from stdin.',
    ],
    [
      'a prompt in pieces',
      ['run', 'do', 'it'],
      'Did not expect "it": put text with spaces in quotes, see `capybara run --help`.',
    ],
    [
      'a message in pieces',
      ['approvals:deny', 'apr_1', '--message', 'not', 'that'],
      'Did not expect "that": put text with spaces in quotes, see `capybara approvals deny --help`.',
    ],
    ['an id too many', ['tail', 'last', 'task_1'], 'Did not expect "task_1": see `capybara tail --help`.'],
    ['an unknown flag', ['run', 'x', '--foo'], 'There is no flag --foo: see `capybara run --help`.'],
    [
      'an unknown mode',
      ['submit', 'x', '--mode', 'wild'],
      '--mode must be one of safe, plan, auto; found "wild": see `capybara submit --help`.',
    ],
    [
      'a wrong number',
      ['tasks:list', '--limit', '0'],
      '--limit must be an integer greater than or equal to 1; found "0": see `capybara tasks list --help`.',
    ],
    [
      'a flag that is misspelt',
      ['tasks:list', '--stats', 'running'],
      'There is no flag --stats: the nearest one is --status, see `capybara tasks list --help`.',
    ],
    ['a flag left out', ['revert', 'last'], 'Expected --to: see `capybara revert --help`.'],
    [
      'two flags that exclude each other',
      ['diff', 'last', '--bundle', 'a', '--branch', 'b'],
      '--branch cannot stand beside --bundle: see `capybara diff --help`.',
    ],
    [
      'a wrong temperature',
      ['run', 'x', '--temperature', 'hot'],
      '--temperature (command line) must be a number from 0 to 2; found "hot".',
    ],
    [
      'a wrong limit',
      ['run', 'x', '--limit', 'turns=0'],
      '--limit turns=0 is out of range: turns must be 1 or more, and no more than the server allows.',
    ],
    [
      'a port that is none',
      ['up', '--port', '70000'],
      '--port (command line) must be a whole number from 0 to 65535; found "70000".',
    ],
  ])('%s is one sentence', async (_, [command = '', ...argv], sentence) => {
    expect(await capybara(command, ...argv)).toEqual({ code: 2, stdout: '', stderr: `${sentence}\n` });
    expect(api.received).toEqual([]);
  });

  test('a command that does not exist is one sentence', async () => {
    const { default: commandNotFound } = await import('../../src/cli/hooks/command-not-found.ts');
    const exits: number[] = [];
    const context = { exit: (code: number) => exits.push(code) };
    const { stderr } = await captureOutput(async () => {
      const config = { commandIDs: ['tasks:list', 'submit'] };
      await Reflect.apply(commandNotFound, undefined, [{ id: 'tasks:lst', config, context }]);
    });
    expect(stderr).toBe(
      'There is no command "tasks lst": the nearest one is "tasks list", see `capybara tasks list --help`.\n',
    );
    expect(exits).toEqual([2]);
  });

  test('of a server are a problem on stdout with --json', async () => {
    api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) =>
      problem(response, 404, 'not_found', 'There is no such task.'),
    );
    const { stdout, stderr, code } = await capybara('tasks:show', TASK_ID, '--json');
    expect(JSON.parse(stdout)).toEqual({
      type: 'about:blank',
      title: 'Error',
      status: 404,
      code: 'not_found',
      detail: 'There is no such task.',
      exitCode: 2,
    });
    expect([stderr, code]).toEqual(['', 2]);
  });

  test('show their stack, times and no key only with --debug or CAPYBARA_DEBUG', async () => {
    const sent = `debug: GET /v1/tasks/${TASK_ID} 404, \\d+ ms\n`;
    const told = new RegExp(
      `^${sent}None capy_hush\\.\nUserError: None \\*{8}\\.\n {4}at [\\s\\S]*\ndebug: \\d+ ms, of which the command took \\d+ ms\n$`,
    );
    api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) =>
      problem(response, 404, 'not_found', 'None capy_hush.'),
    );
    expect((await capybara('tasks:show', TASK_ID)).stderr).toBe('None capy_hush.\n');
    expect((await capybara('tasks:show', TASK_ID, '--debug')).stderr).toMatch(told);
    process.env.CAPYBARA_DEBUG = '1';
    expect((await capybara('tasks:show', TASK_ID)).stderr).toMatch(told);
  });

  test.each([
    ['There is no task_1.', 'There is no task_1.'],
    [
      'There is no task task_1.',
      'There is no task task_1. `capybara tasks list` shows those that there are.',
    ],
    ['There is no session x.', 'There is no session x. `capybara sessions list` shows those that there are.'],
  ])('of a thing that there is none of say what shows the others: %s', async (detail, said) => {
    api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => problem(response, 404, 'not_found', detail));
    expect(await capybara('tasks:show', TASK_ID)).toEqual({ code: 2, stdout: '', stderr: `${said}\n` });
  });
});

describe('config show', () => {
  test('shows every setting, its source, and no secret', async () => {
    const { stdout } = await capybara('config:show');
    expect(stdout).toMatch(/^apiKey +CAPYBARA_API_KEY +\*{8} +environment$/m);
    expect(stdout).toMatch(/^port +CAPYBARA_PORT +7070 +default$/m);
    expect(stdout).toMatch(/^model +CAPYBARA_MODEL +- +not set$/m);
    expect(stdout).not.toContain('hush');
    const { settings: shown } = JSON.parse((await capybara('config:show', '--json')).stdout);
    expect(shown).toContainEqual({ key: 'url', env: 'CAPYBARA_URL', value: api.url, source: 'environment' });
  });
});

describe('a server', () => {
  test.each(['api', 'worker', 'migrate'])('%s needs a database', async (command) => {
    expect(await capybara(command)).toEqual({
      code: 2,
      stdout: '',
      stderr: 'DATABASE_URL is not set: set it to the Postgres of this server, postgres://….\n',
    });
  });
});

test('agents list', async () => {
  const plain = { fallbacks: [], strategy: null, effort: null } as const;
  const agents = {
    data: [
      {
        ...plain,
        ...{ name: 'review', about: 'says what must be mended', model: null, mode: 'plan', writes: false },
        ...{ tools: ['grep', 'read_file'], servers: [], promptHash: 'a1' },
      },
      {
        ...{ ...plain, fallbacks: [{ model: 'a/c', weight: 1 }] },
        ...{ name: 'mine', about: 'like build', model: 'a/b', mode: 'auto', writes: true },
        ...{ tools: ['bash'], servers: ['files', 'search'], promptHash: 'b2' },
      },
    ],
  };
  api.on('GET /v1/agents', () => agents);
  expect((await capybara('agents:list')).stdout).toBe(
    'NAME    WRITES  MODE  MODEL      TOOLS  MCP SERVERS   WHAT IT IS FOR\n' +
      'review  no      plan  (default)  2      none          says what must be mended\n' +
      'mine    yes     auto  a/b        1      files search  like build\n',
  );
  expect(JSON.parse((await capybara('agents:list', '--json')).stdout)).toEqual(agents);
});

test('agents list shows those of the settings where nothing has run yet', async () => {
  const empty = mkdtempSync(join(tmpdir(), 'capybara-empty-'));
  delete process.env.CAPYBARA_URL;
  Object.assign(process.env, {
    CAPYBARA_DATA_DIR: empty,
    CAPYBARA_AGENTS: '{"docs": {"like": "ask", "model": "a/b"}}',
  });
  const { stdout } = await capybara('agents:list');
  expect(stdout).toMatch(/^build +yes +safe +\(default\) /m);
  expect(stdout).toMatch(/^docs +no +plan +a\/b .* like ask$/m);
  expect(readdirSync(empty)).toEqual([]);
  rmSync(empty, { recursive: true });
});

test.each([
  [['task', 'list'], '"task list": the nearest one is "tasks list", see `capybara tasks list --help`.'],
  [['sumbit', 'do it'], '"sumbit": the nearest one is "submit", see `capybara submit --help`.'],
  [['task'], '"task": the nearest one is "tasks", see `capybara tasks --help`.'],
  [['tasks', 'frobnicate'], '"tasks frobnicate": see `capybara tasks --help`.'],
  [['x'], '"x": see `capybara --help`.'],
])('a command that there is none of is answered with the nearest: %j', (words, said) => {
  expect(noCommand(words, ['tasks:list', 'tasks:show', 'submit', 'up'])).toBe(`There is no command ${said}`);
});

test('help tells of all, of a topic or of a command, and of none that there is', async () => {
  expect((await capybara('help')).stdout).toContain('EXIT CODES\n  0    done\n');
  expect(JSON.parse((await capybara('help', '--json')).stdout).help).toContain('USAGE');
  expect(await capybara('help', 'frobnicate')).toEqual({
    ...{ code: 2, stdout: '' },
    stderr: 'There is no command "frobnicate": see `capybara --help`.\n',
  });
});

/** Those that must work where settings cannot be read, or need none. */
const WITHOUT_SETTINGS = ['completion', 'config:reset', 'config:set', 'help'];

test('every other command reads its settings with the global flags', () => {
  const files = readdirSync(COMMANDS, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const without = files
    .filter(
      (name) =>
        !/this\.(settings\(|readTyped\(args\.prompt,)\s*flags\b/.test(
          readFileSync(join(COMMANDS, name), 'utf8'),
        ),
    )
    .map((name) => name.slice(0, -'.ts'.length).replaceAll('/', ':'));
  expect(without.toSorted()).toEqual(WITHOUT_SETTINGS);
});

test('every command has a summary, an example and the global flags', async () => {
  const files = readdirSync(COMMANDS, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const ids = files.map((file) => file.slice(0, -'.ts'.length).replaceAll('/', ':')).toSorted();
  expect(ids.join(' ')).toBe(
    'agents:list api apply approvals:allow approvals:deny approvals:list audit chat completion config:reset config:set config:show diff doctor help init keys:create keys:list keys:recover keys:revoke mcp:add mcp:list mcp:login mcp:logout mcp:remove mcp:serve mcp:test migrate models:delete ' +
      'models:list models:pull providers:add providers:list providers:remove providers:test providers:use revert rules:list rules:revoke run ' +
      'schedules:add schedules:disable schedules:enable schedules:list schedules:remove schedules:run schedules:show ' +
      'sessions:archive sessions:delete sessions:export sessions:fork sessions:list sessions:merge sessions:rename sessions:resume sessions:search sessions:show sessions:tree sessions:turns submit tail tasks:cancel tasks:list tasks:pause tasks:resume tasks:show teams:create teams:list up usage users:add users:list users:remove verify ' +
      'webhooks:add webhooks:deliveries webhooks:enable webhooks:list webhooks:remove webhooks:replay webhooks:show webhooks:test why worker',
  );
  for (const id of ids) {
    const command = await load(id);
    expect(command.summary).toMatch(/\.$/);
    expect(command.examples.length).toBeGreaterThan(0);
    expect(Object.keys(command.baseFlags)).toEqual(['json', 'profile', 'offline', 'debug']);
  }
});

test('completion prints the script of a shell', async () => {
  const { stdout, code } = await capybara('completion', 'bash');
  expect(stdout).toMatch(
    /^# Completion of capybara for bash\. [\s\S]*\ncomplete -F _capybara capybara capy\n$/,
  );
  expect(code).toBe(0);
  const { shell, script } = JSON.parse((await capybara('completion', 'fish', '--json')).stdout);
  expect([shell, script.split('\n')[0]]).toEqual(['fish', expect.stringContaining('for fish')]);
  expect(await capybara('completion', 'tcsh')).toEqual({
    ...{ code: 2, stdout: '' },
    stderr: 'Expected one of bash, zsh, fish; found "tcsh": see `capybara completion --help`.\n',
  });
});
