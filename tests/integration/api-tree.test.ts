import { afterAll, beforeAll, expect, test } from 'vitest';
import { MAX_ABOUT_LENGTH, MAX_TREE_SESSIONS } from '../../src/api/tree-routes.ts';
import { Approval, page, SessionTree, type TreeNode } from '../../src/api/wire.ts';
import { newId } from '../../src/clock.ts';
import { toPublicId } from '../../src/core/id.ts';
import { parkTurn, recordResults } from '../../src/store/turns.ts';
import { addChild } from '../support/family.ts';
import { aCall, HandWorker, type Person, startTestApi, type TestApi, USAGE, uuid } from './api-harness.ts';

let it: TestApi;
let worker: HandWorker;
let stranger: Person;

beforeAll(async () => {
  it = await startTestApi();
  worker = await new HandWorker(it.db).register();
  stranger = await it.addPerson('theirs', 'Bo');
});
afterAll(() => it.close());

async function treeOf(sessionId: string): Promise<SessionTree> {
  const { status, json } = await it.ask('GET', `/v1/sessions/${sessionId}/tree`);
  expect(status).toBe(200);
  return SessionTree.parse(json);
}

/** A child with a task of its own. */
async function delegated(parentId: string, title: string): Promise<{ sessionId: string; id: string }> {
  const id = await addChild(it.db, uuid('session', parentId), title);
  return it.submit({ sessionId: toPublicId('session', id) });
}

const bash = (json: string) => ({ type: 'tool' as const, callId: 'c1', name: 'bash', arguments: json });

test('a session that delegates to nobody is a tree of one, of its own team alone', async () => {
  const { id, sessionId } = await it.submit({ prompt: 'Mend it' });
  expect(await treeOf(sessionId)).toEqual({
    ...{ sessionId, parentId: null, title: 'Mend it', agent: 'build', state: 'idle', seq: 2, more: false },
    ...{ task: { id, status: 'queued' }, turns: 0, startedAt: null, endedAt: null, seconds: 0 },
    ...{ tokens: { input: 0, output: 0 }, usd: null, todos: [], children: [] },
  });
  const path = `/v1/sessions/${sessionId}/tree`;
  const theirs = await it.ask('GET', path, { key: stranger.apiKey });
  expect([theirs.status, theirs.json.code]).toEqual([404, 'not_found']);
  expect((await it.ask('GET', `/v1/sessions/${toPublicId('session', newId())}/tree`)).status).toBe(404);
});

test('a tree shows what each of its agents does, what it used and what it waits for', async () => {
  const root = await it.submit({ prompt: 'Plan' });
  const tests = await delegated(root.sessionId, 'tests');
  const docs = await delegated(root.sessionId, 'docs');
  const deep = await delegated(tests.sessionId, 'deep');
  await it.db
    .sql`UPDATE task SET status = 'waiting', waiting_on = 'retry', started_at = clock_timestamp() - interval '72 s'
                   WHERE id = ${uuid('task', root.id)}`;

  const held = await worker.claim(uuid('session', tests.sessionId));
  const calls = [aCall({ status: 'started' }), aCall({ ordinal: 1, callId: 'c2' })];
  const json = JSON.stringify({ timeout: 5, command: `npm\u0000\ttest\n${'x'.repeat(500)}` });
  await worker.answer(held, {
    parts: [bash(json), bash('{"path":"a.ts"}')],
    calls,
    usage: { ...USAGE, latencyMs: 1, firstTokenMs: 1, prices: { input: 1, output: 10 } },
  });
  const asking = await worker.claim(uuid('session', docs.sessionId));
  const call = aCall({ status: 'awaiting_approval', approvalId: newId() });
  await worker.answer(asking, { parts: [bash('{}')], calls: [call] });
  await parkTurn(it.db, asking, []);
  await worker.finish(uuid('session', deep.sessionId));

  await it.db
    .sql`INSERT INTO todo (session_id, position, text, status) VALUES (${uuid('session', root.sessionId)}, 1, 'Plan', 'done')`;
  const tree = await treeOf(root.sessionId);
  expect(tree).toMatchObject({ state: 'waiting', waitingOn: { on: 'retry' } });
  expect(tree.todos).toEqual([{ text: 'Plan', status: 'done' }]);
  expect(tree.seconds).toBeGreaterThanOrEqual(72);
  const [first, second] = tree.children as [TreeNode, TreeNode];
  expect([first.title, second.title]).toEqual(['tests', 'docs']);
  expect(first).toMatchObject({
    ...{
      parentId: root.sessionId,
      state: 'executing',
      turns: 1,
      tokens: { input: 100, output: 20 },
      usd: '0.0003',
    },
    ...{ doing: { tool: 'bash' }, task: { id: tests.id, status: 'running' }, endedAt: null },
  });
  expect(first.doing?.about).toMatch(/^npm test x+…$/);
  expect(first.doing?.about).toHaveLength(MAX_ABOUT_LENGTH);
  expect(first.children).toMatchObject([{ title: 'deep', state: 'completed', children: [] }]);
  expect(second).toMatchObject({ state: 'waiting', waitingOn: { on: 'approval' }, usd: null });
  expect(second).not.toHaveProperty('doing');

  const done = { id: calls[0]?.id ?? '', status: 'succeeded' as const, parts: [] };
  await recordResults(it.db, held, { results: [done], start: [] });
  const below = await treeOf(tests.sessionId);
  expect(below).toMatchObject({
    parentId: root.sessionId,
    doing: { tool: 'bash', callId: 'c2', about: 'a.ts' },
  });
  expect(below.children.map(({ title }) => title)).toEqual(['deep']);
});

test("what a child asks stands in its root's inbox, with the path of who asks", async () => {
  const root = await it.submit({ prompt: 'Plan' });
  const tests = await delegated(root.sessionId, 'tests');
  const deep = toPublicId('session', await addChild(it.db, uuid('session', tests.sessionId), 'deep'));
  await it.submit({ sessionId: deep });
  const approvalId = newId();
  const held = await worker.claim(uuid('session', deep));
  await worker.answer(held, {
    parts: [bash('{}')],
    calls: [aCall({ status: 'awaiting_approval', approvalId })],
  });
  const inbox = async (sessionId: string) => {
    const { json } = await it.ask('GET', `/v1/approvals?sessionId=${sessionId}`);
    return page(Approval)
      .parse(json)
      .data.map(({ id, path }) => ({ id, path }));
  };
  const path = [
    { sessionId: root.sessionId, title: 'Plan', agent: 'build' },
    { sessionId: tests.sessionId, title: 'tests', agent: 'build' },
    { sessionId: deep, title: 'deep', agent: 'build' },
  ];
  const asked = [{ id: toPublicId('approval', approvalId), path }];
  for (const id of [root.sessionId, tests.sessionId, deep]) expect(await inbox(id)).toEqual(asked);
  const other = await it.submit();
  expect(await inbox(other.sessionId)).toEqual([]);
  const theirs = await it.ask('GET', `/v1/approvals?sessionId=${deep}`, { key: stranger.apiKey });
  expect(theirs.json.data).toEqual([]);
});

test(`a tree of more than ${MAX_TREE_SESSIONS} sessions tells the nearest ones, and that there are more`, async () => {
  const { sessionId } = await it.submit();
  const child = await addChild(it.db, uuid('session', sessionId), 'first');
  const fill = (count: number, parentId: string) => it.db.sql`
    INSERT INTO session (id, root_id, parent_id, team_id, user_id, workspace_id, title, depth)
    SELECT gen_random_uuid(), root_id, id, team_id, user_id, workspace_id, 'more', depth + 1
      FROM session, generate_series(1, ${count}) WHERE id = ${parentId}`;
  await fill(2, child);
  await fill(MAX_TREE_SESSIONS - 4, uuid('session', sessionId));
  const whole = await treeOf(sessionId);
  expect([whole.more, whole.children.length, whole.children[0]?.children.length]).toEqual([
    false,
    MAX_TREE_SESSIONS - 3,
    2,
  ]);
  await fill(1, uuid('session', sessionId));
  const more = await treeOf(sessionId);
  expect([more.more, more.children.length, more.children[0]?.children.length]).toEqual([
    true,
    MAX_TREE_SESSIONS - 2,
    1,
  ]);
});
