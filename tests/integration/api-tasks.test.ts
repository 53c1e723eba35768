import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAX_IDEMPOTENCY_KEY_LENGTH } from '../../src/api/task-routes.ts';
import {
  MAX_ATTACHED_BODY_BYTES,
  MAX_METADATA_NAME_LENGTH,
  MAX_METADATA_PAIRS,
  MAX_METADATA_VALUE_LENGTH,
  MAX_NAME_LENGTH,
  MAX_PROMPT_BYTES,
  MAX_SECONDS,
  page,
  Session,
  Task,
} from '../../src/api/wire.ts';
import type { Bus, BusMessage } from '../../src/bus/bus.ts';
import { createPostgresBus } from '../../src/bus/postgres.ts';
import { newId } from '../../src/clock.ts';
import { readBeginning } from '../../src/core/repository.ts';
import { MAX_TITLE_LENGTH } from '../../src/core/title.ts';
import { silentLog } from '../../src/log.ts';
import { settleTurn } from '../../src/store/turns.ts';
import { HandWorker, startTestApi, type TestApi, USAGE, uuid } from './api-harness.ts';

let it: TestApi;
let worker: HandWorker;

beforeAll(async () => {
  it = await startTestApi();
  worker = await new HandWorker(it.db).register();
});
afterAll(() => it.close());

function post(body: unknown, headers: Record<string, string> = {}) {
  return it.ask('POST', '/v1/tasks', { body, headers });
}

describe('a task that is accepted', () => {
  test('is answered with 201 as it was committed, with the defaults', async () => {
    const { status, json, headers } = await post({ prompt: 'Fix the test', metadata: { ticket: '7' } });
    expect(status).toBe(201);
    expect(headers.get('content-type')).toContain('application/json');
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(Task.parse(json)).toEqual({
      id: expect.stringMatching(/^task_[0-9a-f]{32}$/),
      sessionId: expect.stringMatching(/^ses_[0-9a-f]{32}$/),
      status: 'queued',
      waitingOn: null,
      cancelRequested: false,
      prompt: 'Fix the test',
      createdBy: 'Ana',
      scheduleId: null,
      agent: 'build',
      model: 'openai/m',
      mode: 'safe',
      limits: {
        turns: 70,
        treeTurns: 1000,
        children: 12,
        concurrentChildren: 3,
        depth: 1,
        tokens: null,
        usd: null,
        seconds: null,
        onLimit: 'fail',
      },
      turns: 0,
      result: null,
      error: null,
      usage: {
        ...{
          input: 0,
          output: 0,
          cached: 0,
          cacheWritten: 0,
          reasoning: 0,
          requests: 0,
          usd: null,
          unpriced: 0,
        },
        brokenOff: { requests: 0, tokens: 0, usd: null },
        ...{ byModel: [], toolCalls: 0, toolFailures: 0 },
      },
      metadata: { ticket: '7' },
      createdAt: expect.any(String),
      startedAt: null,
      endedAt: null,
    });
    expect((await it.ask('GET', `/v1/tasks/${json.id}`)).json).toEqual(json);
  });

  test('keeps every setting that was given', async () => {
    const limits = { turns: 3, treeTurns: 9, tokens: 5_000_000_000, seconds: MAX_SECONDS };
    const settings = { agent: 'plan', model: 'gpt-x', limits, temperature: 0.5, maxTokens: 100 };
    const { json } = await post({ prompt: 'x', ...settings, withoutTools: ['grep', 'bash'] });
    expect(json).toMatchObject({ agent: 'plan', model: 'openai/gpt-x', mode: 'plan', limits });
    const { tools } = (await it.ask('GET', `/v1/tasks/${json.id}/profile`)).json;
    expect(tools).toContain('read_file');
    expect(tools).not.toContain('grep');
    const unknown = await post({ prompt: 'x', withoutTools: ['gerp'] });
    expect([unknown.status, unknown.json.code, unknown.json.field]).toEqual([
      400,
      'unknown_tool',
      'withoutTools',
    ]);
  });

  test('takes as many tokens of an answer as can be kept, and refuses more', async () => {
    const made = await post({ prompt: 'x', maxTokens: 100_000_000 });
    const refused = await post({ prompt: 'x', maxTokens: 2_147_483_648 });
    expect([made.status, refused.status, refused.json.field]).toEqual([201, 400, 'maxTokens']);
  });

  test('joins a session as its next task, behind the one in hand', async () => {
    const first = await it.submit();
    const { status, json } = await post({ prompt: 'and then', sessionId: first.sessionId });
    expect([status, json.sessionId, json.status]).toEqual([201, first.sessionId, 'queued']);
    await worker.finish(uuid('session', first.sessionId));
    await worker.finish(uuid('session', first.sessionId));
    expect((await it.ask('GET', `/v1/tasks/${json.id}`)).json.status).toBe('succeeded');
  });

  test('tolerates NUL characters and half surrogate pairs in what people write', async () => {
    const { status, json } = await post({ prompt: 'a\0b\ud800c', metadata: { x: 'y\0z' } });
    expect(status).toBe(201);
    expect(json.prompt).toBe('a\uFFFDb\uFFFDc');
    expect(json.metadata).toEqual({ x: 'y\uFFFDz' });
  });

  test('shows what its worker did: turns, result, usage per model', async () => {
    const { id, sessionId } = await it.submit();
    await worker.finish(uuid('session', sessionId));
    const task = Task.parse((await it.ask('GET', `/v1/tasks/${id}`)).json);
    expect(task).toMatchObject({
      status: 'succeeded',
      turns: 1,
      result: { text: 'All done.' },
      usage: {
        input: 100,
        output: 20,
        cached: 60,
        reasoning: 5,
        requests: 1,
        byModel: [{ ...USAGE, requests: 1, usd: null, unpriced: 1 }],
      },
    });
    expect(task.startedAt).not.toBeNull();
    expect(task.endedAt).not.toBeNull();
  });

  test('shows how it failed', async () => {
    const { id, sessionId } = await it.submit();
    const held = await worker.claim(uuid('session', sessionId));
    const end = { kind: 'finish', status: 'failed', code: 'refused', message: 'It said no.' } as const;
    await settleTurn(it.db, held, { results: [], end, nextTurnId: newId() });
    const { json } = await it.ask('GET', `/v1/tasks/${id}`);
    expect(json).toMatchObject({ status: 'failed', error: { code: 'refused', message: 'It said no.' } });
  });
});

describe('the title of a new session', () => {
  async function titleOf(prompt: string): Promise<string> {
    const { sessionId } = await it.submit({ prompt });
    return Session.parse((await it.ask('GET', `/v1/sessions/${sessionId}`)).json).title;
  }

  test('is the first line that says something', async () => {
    expect(await titleOf('\n  \r\n  Mend\tthe \u0007 parser  \nand more')).toBe('Mend the parser');
  });

  test('is whole up to its limit and cut beyond, between characters', async () => {
    expect(await titleOf('x'.repeat(MAX_TITLE_LENGTH))).toBe('x'.repeat(MAX_TITLE_LENGTH));
    expect(await titleOf('x'.repeat(MAX_TITLE_LENGTH + 1))).toBe(`${'x'.repeat(MAX_TITLE_LENGTH - 1)}…`);
    const pair = await titleOf(`${'x'.repeat(MAX_TITLE_LENGTH - 2)}😀😀`);
    expect(pair).toBe(`${'x'.repeat(MAX_TITLE_LENGTH - 2)}…`);
  });
});

describe('an idempotency key', () => {
  test('gives every repeat the same answer, whatever became of the task', async () => {
    const headers = { 'idempotency-key': 'one' };
    const first = await post({ prompt: 'once', metadata: { a: '1', b: '2' } }, headers);
    await worker.finish(uuid('session', first.json.sessionId));
    const again = await post({ metadata: { b: '2', a: '1' }, prompt: 'once' }, headers);
    expect([again.status, again.json]).toEqual([201, first.json]);
  });

  test('makes one task of many requests at once', async () => {
    const sent = Array.from({ length: 8 }, () => post({ prompt: 'at once' }, { 'idempotency-key': 'many' }));
    const answers = await Promise.all(sent);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1);
  });

  test('with another body is a conflict', async () => {
    await post({ prompt: 'a' }, { 'idempotency-key': 'two' });
    const { status, json } = await post({ prompt: 'b' }, { 'idempotency-key': 'two' });
    expect([status, json.code]).toEqual([409, 'idempotency_conflict']);
  });

  test('still answers when its workspace has gone since', async () => {
    const path = mkdtempSync(join(tmpdir(), 'gone-'));
    const body = { prompt: 'x', workspace: { kind: 'local', path } };
    const first = await post(body, { 'idempotency-key': 'gone' });
    rmSync(path, { recursive: true });
    expect((await post(body, { 'idempotency-key': 'gone' })).json).toEqual(first.json);
  });

  test('is not used up by a request that failed', async () => {
    const headers = { 'idempotency-key': 'failed' };
    const nobody = `ses_${'0'.repeat(32)}`;
    expect((await post({ prompt: 'x', sessionId: nobody }, headers)).status).toBe(404);
    expect((await post({ prompt: 'x' }, headers)).status).toBe(201);
  });

  test('belongs to its team', async () => {
    const other = await it.addPerson('theirs-keys', 'Bo');
    const headers = { 'idempotency-key': 'shared' };
    const ours = await post({ prompt: 'x' }, headers);
    const theirs = await it.ask('POST', '/v1/tasks', { body: { prompt: 'x' }, headers, key: other.apiKey });
    expect(theirs.status).toBe(201);
    expect(theirs.json.id).not.toBe(ours.json.id);
  });

  test('has a length', async () => {
    const long = { 'idempotency-key': 'k'.repeat(MAX_IDEMPOTENCY_KEY_LENGTH) };
    expect((await post({ prompt: 'x' }, long)).status).toBe(201);
    const longer = { 'idempotency-key': 'k'.repeat(MAX_IDEMPOTENCY_KEY_LENGTH + 1) };
    expect((await post({ prompt: 'x' }, longer)).json.code).toBe('invalid_idempotency_key');
  });
});

describe('a prompt', () => {
  test('that is empty or blank is refused', async () => {
    for (const prompt of ['', ' \n\t ']) {
      const { status, json } = await post({ prompt });
      expect([status, json.code]).toEqual([400, 'empty_prompt']);
    }
  });

  test('may be as long as the limit, in bytes, and no longer', async () => {
    const longest = 'é'.repeat(MAX_PROMPT_BYTES / 2);
    expect((await post({ prompt: longest })).status).toBe(201);
    const { status, json } = await post({ prompt: `${longest}x` });
    expect([status, json.code]).toEqual([413, 'prompt_too_large']);
    expect(json.detail).toContain(String(MAX_PROMPT_BYTES + 1));
  });

  test('of more than a body may have is answered with a problem, not a broken connection', async () => {
    const { status, json, headers } = await post({ prompt: 'x'.repeat(MAX_ATTACHED_BODY_BYTES) });
    expect([status, json.code]).toEqual([413, 'body_too_large']);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(json.detail).toContain(String(MAX_ATTACHED_BODY_BYTES));
  });
});

describe('what cannot be used is refused in one sentence, with nothing written', () => {
  async function refused(body: unknown): Promise<[number, string, string]> {
    const count = async () => (await it.db.sql`SELECT id FROM task`).length;
    const before = await count();
    const { status, json } = await post(body);
    expect(await count()).toBe(before);
    return [status, json.code, json.detail];
  }

  test.each([
    ['no prompt', {}, /prompt: expected string/],
    ['an unknown field', { prompt: 'x', modle: 'y' }, /not known: modle\./],
    ['an unknown limit', { prompt: 'x', limits: { turn: 1 } }, /not known: limits\.turn\./],
    ['a limit of zero', { prompt: 'x', limits: { turns: 0 } }, /limits\.turns/],
    ['a limit beyond a year', { prompt: 'x', limits: { seconds: MAX_SECONDS + 1 } }, /limits\.seconds/],
    ['an unknown mode', { prompt: 'x', mode: 'yolo' }, /mode/],
    ['an unknown workspace', { prompt: 'x', workspace: { kind: 'ftp' } }, /workspace/],
    ['a list', [], /expected object/],
    ['too long a model', { prompt: 'x', model: 'm'.repeat(MAX_NAME_LENGTH + 1) }, /model/],
    ['a NUL in a name', { prompt: 'x', agent: 'a\0' }, /agent/],
    ['metadata that is no text', { prompt: 'x', metadata: { a: 1 } }, /metadata\.a/],
    ['a NUL in a name of metadata', { prompt: 'x', metadata: { 'a\0': '1' } }, /metadata/],
  ])('%s', async (_name, body, sentence) => {
    const [status, code, detail] = await refused(body);
    expect([status, code]).toEqual([400, 'invalid_request']);
    expect(detail).toMatch(sentence);
  });

  test('more metadata than is kept', async () => {
    const pairs = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`n${index}`, 'v']));
    expect((await post({ prompt: 'x', metadata: pairs(MAX_METADATA_PAIRS) })).status).toBe(201);
    expect((await refused({ prompt: 'x', metadata: pairs(MAX_METADATA_PAIRS + 1) }))[0]).toBe(400);
    const longest = { ['n'.repeat(MAX_METADATA_NAME_LENGTH)]: 'v'.repeat(MAX_METADATA_VALUE_LENGTH) };
    expect((await post({ prompt: 'x', metadata: longest })).status).toBe(201);
    const value = { n: 'v'.repeat(MAX_METADATA_VALUE_LENGTH + 1) };
    expect((await refused({ prompt: 'x', metadata: value }))[0]).toBe(400);
    const name = { ['n'.repeat(MAX_METADATA_NAME_LENGTH + 1)]: 'v' };
    expect((await refused({ prompt: 'x', metadata: name }))[0]).toBe(400);
  });

  test('a model without a name, an agent that is none', async () => {
    expect((await refused({ prompt: 'x', model: 'openai/' })).slice(0, 2)).toEqual([400, 'no_model']);
    expect((await refused({ prompt: 'x', agent: 'nobody' })).slice(0, 2)).toEqual([400, 'unknown_agent']);
  });

  test('a session that is none, another team’s, or given a second workspace', async () => {
    const other = await it.addPerson('theirs-sessions', 'Bo');
    const theirs = await it.ask('POST', '/v1/tasks', { body: { prompt: 'x' }, key: other.apiKey });
    for (const sessionId of ['x', 'ses_12', `ses_${'0'.repeat(32)}`, theirs.json.sessionId]) {
      expect((await refused({ prompt: 'x', sessionId })).slice(0, 2)).toEqual([404, 'not_found']);
    }
    const { sessionId } = await it.submit();
    const both = await refused({ prompt: 'x', sessionId, workspace: { kind: 'empty' } });
    expect(both.slice(0, 2)).toEqual([400, 'workspace_given']);
  });

  test('a session that is archived', async () => {
    const { sessionId } = await it.submit();
    await it.db
      .sql`UPDATE session SET archived_at = clock_timestamp() WHERE id = ${uuid('session', sessionId)}`;
    expect((await refused({ prompt: 'x', sessionId })).slice(0, 2)).toEqual([409, 'session_archived']);
  });
});

describe('a local workspace', () => {
  test('brings the rules of its project, which are read once, with each task', async () => {
    const root = realpathSync(mkdtempSync(join(tmpdir(), 'rules-')));
    const file = join(root, '.capybara/config.yaml');
    mkdirSync(join(root, '.capybara'));
    const rulesOf = async (taskId: string) => {
      const [row] = await it.db.sql<{ permissions: unknown }>`
        SELECT p.body->'permissions' AS permissions FROM task t JOIN profile p ON p.hash = t.profile_hash
         WHERE t.id = ${uuid('task', taskId)}`;
      return row?.permissions;
    };
    writeFileSync(file, 'model: openai/m\npermissions:\n  "bash(git push *)": ask\n');
    const first = await post({ prompt: 'x', workspace: { kind: 'local', path: root } });
    const restrictions = [{ decision: 'ask', tool: 'bash', pattern: 'git push *' }];
    expect(await rulesOf(first.json.id)).toEqual({ restrictions });
    writeFileSync(file, 'permissions:\n  bash: deny\n');
    const second = await post({ prompt: 'x', sessionId: first.json.sessionId });
    expect(await rulesOf(second.json.id)).toEqual({ restrictions: [{ decision: 'deny', tool: 'bash' }] });
    expect(await rulesOf(first.json.id)).toEqual({ restrictions });
    writeFileSync(file, 'permissions:\n  bash: allow\n');
    const refused = await post({ prompt: 'x', sessionId: first.json.sessionId });
    expect([refused.status, refused.json.code]).toEqual([400, 'config_not_allowed']);
    rmSync(root, { recursive: true });
    const none = await post({ prompt: 'x', sessionId: first.json.sessionId });
    expect(await rulesOf(none.json.id)).toBeNull();
  });

  test('keeps the MCP servers that its project had when the session began, whatever is written there since', async () => {
    const root = realpathSync(mkdtempSync(join(tmpdir(), 'servers-')));
    const file = join(root, '.capybara/config.yaml');
    mkdirSync(join(root, '.capybara'));
    const serversOf = async (session: string) => {
      const [row] = await it.db.sql<{ servers: unknown }>`
        SELECT w.project_servers AS servers FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${uuid('session', session)}`;
      return row?.servers;
    };
    const begin = async () =>
      (await post({ prompt: 'x', workspace: { kind: 'local', path: root } })).json.sessionId as string;
    const own = { own: { command: 'x', hosts: ['a.example'] } };
    writeFileSync(file, JSON.stringify({ mcp: { servers: own } }));
    const first = await begin();
    writeFileSync(file, JSON.stringify({ mcp: { servers: { ...own, more: { command: 'y' } } } }));
    await post({ prompt: 'x', sessionId: first });
    const fork = (await it.ask('POST', `/v1/sessions/${first}/fork`, { body: {} })).json.id;
    writeFileSync(file, '');
    const none = await begin();
    expect([await serversOf(first), await serversOf(fork), await serversOf(none)]).toEqual([own, own, null]);
    writeFileSync(file, 'mcp: {servers: {a: {command: x, hosts: ["private:db"]}}}');
    const refused = await post({ prompt: 'x', workspace: { kind: 'local', path: root } });
    expect([refused.status, refused.json.code]).toEqual([400, 'config_not_allowed']);
    rmSync(root, { recursive: true });
  });

  test('is the real path of a directory', async () => {
    const root = realpathSync(mkdtempSync(join(tmpdir(), 'local-')));
    mkdirSync(join(root, 'project'));
    symlinkSync(join(root, 'project'), join(root, 'link'));
    writeFileSync(join(root, 'file'), '');
    const local = (path: string) => post({ prompt: 'x', workspace: { kind: 'local', path } });
    const { json } = await local(join(root, 'link'));
    const session = await it.ask('GET', `/v1/sessions/${json.sessionId}`);
    expect(session.json.workspace).toEqual({ kind: 'local', path: join(root, 'project') });
    for (const path of [join(root, 'file'), join(root, 'none'), 'relative', '/', 'a\0b', it.dataDir]) {
      const refused = await local(path);
      expect([refused.status, refused.json.code]).toEqual([400, 'bad_workspace']);
    }
    rmSync(root, { recursive: true });
  });

  test('is refused where it is not allowed, and below roots where only those are', async () => {
    const root = realpathSync(mkdtempSync(join(tmpdir(), 'roots-')));
    mkdirSync(join(root, 'in', 'project'), { recursive: true });
    mkdirSync(join(root, 'inside-out'));
    const status = async (api: TestApi, path: string) => {
      const body = { prompt: 'x', workspace: { kind: 'local', path } };
      const { json, status } = await api.ask('POST', '/v1/tasks', { body });
      return json.code ?? status;
    };
    const none = await startTestApi(() => ({ allowLocal: false }));
    const some = await startTestApi(() => ({ allowLocal: [join(root, 'in')] }));
    expect(await status(none, join(root, 'in'))).toBe('local_workspace');
    expect(await status(some, join(root, 'in'))).toBe(201);
    expect(await status(some, join(root, 'in', 'project'))).toBe(201);
    expect(await status(some, join(root, 'inside-out'))).toBe('local_workspace');
    expect(await status(some, root)).toBe('local_workspace');
    await Promise.all([none.close(), some.close()]);
    rmSync(root, { recursive: true });
  });
});

describe('a repository', () => {
  const post = (workspace: object) => it.ask('POST', '/v1/tasks', { body: { prompt: 'x', workspace } });
  const codeOf = async (api: TestApi, workspace: object) => {
    const { json, status } = await api.ask('POST', '/v1/tasks', { body: { prompt: 'x', workspace } });
    return json.code ?? status;
  };

  test('is kept as it is cloned from, without anything of it being asked', async () => {
    const { json } = await post({ kind: 'git', url: 'git+https://Host.example/app/', ref: 'main' });
    const session = await it.ask('GET', `/v1/sessions/${json.sessionId}`);
    expect(session.json.workspace).toEqual({
      ...{ kind: 'git', path: null },
      repository: { url: 'https://host.example/app', ref: 'main', commit: null },
    });
    const diff = await it.ask('GET', `/v1/sessions/${json.sessionId}/diff`);
    expect([diff.status, diff.text]).toEqual([200, '']);
    const again = await it.ask('POST', '/v1/tasks', { body: { prompt: 'x', sessionId: json.sessionId } });
    expect(again.status).toBe(201);
  });

  test.each<[object, string]>([
    [{ url: 'ext::sh -c x' }, 'bad_repository'],
    [{ url: '--upload-pack=x' }, 'bad_repository'],
    [{ url: '/srv/git' }, 'bad_repository'],
    [{ url: 'https://ana:s3cret@host.example/app' }, 'bad_repository'],
    [{ url: '' }, 'invalid_request'],
    [{}, 'invalid_request'],
    [{ url: 'https://host.example/app', ref: '--exec=x' }, 'bad_ref'],
    [{ url: 'https://host.example/app', path: '/x' }, 'invalid_request'],
  ])('like %j is refused', async (given, code) => {
    const { json, status, text } = await post({ kind: 'git', ...given });
    expect([status, json.code]).toEqual([400, code]);
    expect(text).not.toContain('s3cret');
  });

  test('is refused where its host is not for everyone', async () => {
    const allowed = [readBeginning('http://git.internal/team')].flatMap((each) => each ?? []);
    const server = await startTestApi(() => ({ repositories: { own: false, online: true, allowed } }));
    const at = (url: string) => codeOf(server, { kind: 'git', url });
    expect(await at('https://host.example/app')).toBe(201);
    expect(await at('http://git.internal/team/app')).toBe(201);
    expect(await at('http://git.internal/other')).toBe('repository_not_allowed');
    expect(await at('file:///srv/git/app')).toBe('repository_not_allowed');
    expect(await at('git@host.example:app')).toBe('repository_not_allowed');
    await server.close();
  });
});

describe('after the commit', () => {
  async function listening(): Promise<{ heard: BusMessage[]; bus: Bus }> {
    const heard: BusMessage[] = [];
    const bus = createPostgresBus({ url: it.databaseUrl, log: silentLog });
    await bus.subscribe((message) => heard.push(message));
    return { heard, bus };
  }

  test('the bus hears of the events and the queue has the job', async () => {
    const { heard, bus } = await listening();
    const { sessionId } = await it.submit();
    const rootId = uuid('session', sessionId);
    await expect.poll(() => heard).toContainEqual({ type: 'events', rootId, seq: expect.any(Number) });
    const [turn] = await it.db.sql<{ id: string }>`SELECT id FROM turn WHERE session_id = ${rootId}`;
    const job = { turnId: turn?.id ?? '', wake: 1 };
    await expect.poll(() => it.deps.queue.states([job])).toEqual(['waiting']);
    await bus.close();
  });

  test('a queue that fails is neither waited for nor an error', async () => {
    const lines: string[] = [];
    const wake = () => Promise.reject(new Error('the queue is down'));
    const broken = await startTestApi(({ queue, log }) => ({
      queue: { wake, wakeAll: wake, states: (jobs) => queue.states(jobs), close: async () => {} },
      log: { ...log, warn: (_fields, message) => lines.push(message) },
    }));
    expect((await broken.submit()).status).toBe('queued');
    await expect.poll(() => lines.join()).toContain('the queue took no job');
    await broken.close();
  });

  test('cancel ends a task that waits, and tells the worker of one that runs', async () => {
    const { heard, bus } = await listening();
    const waiting = await it.submit();
    const cancelled = await it.ask('POST', `/v1/tasks/${waiting.id}/cancel`);
    expect([cancelled.status, cancelled.json.status]).toEqual([200, 'cancelled']);

    const running = await it.submit();
    const rootId = uuid('session', running.sessionId);
    const held = await worker.claim(rootId);
    const asked = await it.ask('POST', `/v1/tasks/${running.id}/cancel`);
    expect(asked.json).toMatchObject({ status: 'running', cancelRequested: true });
    const message = { type: 'cancel', rootId, taskId: uuid('task', running.id) };
    await expect.poll(() => heard).toContainEqual(message);

    const end = { kind: 'finish', status: 'cancelled' } as const;
    await settleTurn(it.db, held, { results: [], end, nextTurnId: newId() });
    const again = await it.ask('POST', `/v1/tasks/${running.id}/cancel`);
    expect([again.status, again.json.status]).toEqual([200, 'cancelled']);
    await bus.close();
  });
});

describe('the list of tasks', () => {
  test('comes in pages, the newest first, filtered', async () => {
    const person = await it.addPerson('listing', 'Lu');
    const ask = (path: string) => it.ask('GET', path, { key: person.apiKey });
    const submit = async (body: object) =>
      (await it.ask('POST', '/v1/tasks', { body, key: person.apiKey })).json as Task;
    const ids: string[] = [];
    for (let number = 0; number < 5; number++) ids.unshift((await submit({ prompt: `${number}` })).id);
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { json } = await ask(`/v1/tasks?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      const part = page(Task).parse(json);
      expect(part.data.length).toBeLessThanOrEqual(2);
      seen.push(...part.data.map(({ id }) => id));
      cursor = part.nextCursor;
    }
    expect(seen).toEqual(ids);

    await it.ask('POST', `/v1/tasks/${ids[1]}/cancel`, { key: person.apiKey });
    expect((await ask('/v1/tasks?status=cancelled')).json.data.map(({ id }: Task) => id)).toEqual([ids[1]]);
    const one = (await ask(`/v1/tasks/${ids[2]}`)).json;
    const ofSession = await ask(`/v1/tasks?sessionId=${one.sessionId}`);
    expect(ofSession.json.data).toEqual([one]);
  });

  test.each([
    '/v1/tasks?cursor=x',
    '/v1/tasks?limit=0',
    '/v1/tasks?limit=201',
    '/v1/tasks?limit=1&limit=2',
    '/v1/tasks?state=queued',
    '/v1/tasks?status=lost',
    '/v1/tasks?sessionId=x',
  ])('refuses %s', async (path) => {
    expect((await it.ask('GET', path)).status).toBe(400);
  });
});
