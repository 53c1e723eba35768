import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { createTask, postMessage } from '../../src/store/tasks.ts';
import { recordAnswer } from '../../src/store/turns.ts';
import {
  addTeam,
  answerOf,
  changesBetween,
  checkWitnesses,
  claim,
  PROFILE,
  running,
  snapshotRows,
  submissionOf,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

describe('create_task', () => {
  test('commits session, workspace, tree, task, first turn, prompt and events together', async () => {
    const submission = submissionOf(store, {
      limits: { tokens: 900, seconds: 60 },
      idempotency: { key: 'k', requestHash: 'ab' },
    });
    const { task, session } = submission;
    const before = await snapshotRows(store.db);
    const outcome = await createTask(store.db, submission);
    const workspaceId = 'workspace' in session ? session.workspace.id : '';
    const owner = { team_id: store.teamId, created_at: 'time' };
    expect(outcome).toEqual({
      outcome: 'created',
      taskId: task.id,
      sessionId: session.id,
      rootId: session.id,
      wake: { turnId: task.turnId, wake: 1 },
      seq: 2,
    });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      event: ['session.created', 'task.created'],
      idempotency_key: [
        {
          '+': {
            ...{ ...owner, key: 'k', request_hash: '\\xab', task_id: task.id },
            ...{ answer: null, session_id: null },
          },
        },
      ],
      message: [
        {
          '+': {
            id: task.messageId,
            session_id: session.id,
            task_id: task.id,
            user_id: store.userId,
            parts: task.parts,
            created_at: 'time',
            taken_position: null,
          },
        },
      ],
      profile: [{ '+': { hash: `\\x${task.profileHash}`, body: PROFILE } }],
      session: [
        {
          '+': {
            ...owner,
            id: session.id,
            root_id: session.id,
            ...{ parent_id: null, depth: 0 },
            user_id: store.userId,
            workspace_id: workspaceId,
            title: 'A session',
            archived_at: null,
            forked_from: null,
            forked_at: null,
          },
        },
      ],
      task: [
        {
          '+': {
            ...owner,
            id: task.id,
            session_id: session.id,
            root_id: session.id,
            user_id: store.userId,
            ordinal: 1,
            status: 'queued',
            waiting_on: null,
            profile_hash: `\\x${task.profileHash}`,
            turn_limit: 70,
            tree_turn_limit: 1000,
            token_limit: 900,
            usd_limit: null,
            seconds_limit: 60,
            ...{ on_limit: 'fail', answer_tokens: null, prices: null, traceparent: null },
            paused_at: null,
            ...{ child_limit: 0, concurrent_limit: 0, depth_limit: 0, parent_task_id: null },
            ...{ own_token_limit: null, own_usd_limit: null, result_schema: null, clock_stopped_at: null },
            deadline_at: null,
            cancel_requested_at: null,
            result_position: null,
            error_code: null,
            error_message: null,
            metadata: {},
            webhook_url: null,
            schedule_id: null,
            started_at: null,
            ended_at: null,
          },
        },
      ],
      tree: [
        {
          '+': {
            root_id: session.id,
            children: 0,
            last_seq: 2,
            turns: 0,
            tokens_used: 0,
            tokens_reserved: 0,
            usd_used: 0,
            usd_reserved: 0,
          },
        },
      ],
      turn: [
        {
          '+': {
            id: task.turnId,
            session_id: session.id,
            task_id: task.id,
            root_id: session.id,
            number: 1,
            format: 1,
            status: 'queued',
            due_at: null,
            wake: 1,
            checked_at: 'time',
            attempt_id: null,
            answer_position: null,
            ...{ for_slot: false, is_paused: false },
            open_waits: 0,
            takeovers: 0,
            kind: 'answer',
            uncounted: 0,
            overflows: 0,
            retries: 0,
            route: null,
            tokens_to_resend: 0,
            tokens_reserved: 0,
            usd_reserved: 0,
            at_limit: null,
            created_at: 'time',
            started_at: null,
            ended_at: null,
          },
        },
      ],
      workspace: [
        {
          '+': {
            ...{
              ...owner,
              id: workspaceId,
              kind: 'local',
              path: '/srv/project',
              source: null,
              rules: null,
              project_servers: null,
            },
            ...{ lineage: session.id, base: null, head: null },
          },
        },
      ],
    });
  });

  test('queues a second task of a session behind the first, without a turn of its own', async () => {
    const first = await submit(store);
    const before = await snapshotRows(store.db);
    const second = await submit(store, { sessionId: first.sessionId });
    expect(second.outcome).toMatchObject({ outcome: 'created', wake: null, seq: 3 });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      event: ['task.created'],
      message: [{ '+': expect.objectContaining({ task_id: second.taskId }) }],
      task: [{ '+': expect.objectContaining({ id: second.taskId, ordinal: 2, status: 'queued' }) }],
      tree: [{ '~': first.sessionId, last_seq: [2, 3] }],
    });
  });

  test('answers a repeat as the first time, with the wake-up while that waits, and writes nothing', async () => {
    const submission = submissionOf(store, { idempotency: { key: newId(), requestHash: 'ab' } });
    const { seq, ...first } = (await createTask(store.db, submission)) as Record<string, unknown>;
    const before = await snapshotRows(store.db);
    expect(seq).toBe(2);
    expect(await createTask(store.db, submission)).toEqual({ ...first, outcome: 'repeated' });
    const { idempotency: _, ...bare } = submission;
    expect(await createTask(store.db, bare)).toEqual({ ...first, outcome: 'repeated' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    await claim(store.db, submission.task.turnId);
    expect(await createTask(store.db, submission)).toEqual({ ...first, outcome: 'repeated', wake: null });
  });

  test('answers the same idempotency key with the task that it made, whatever ids come with it', async () => {
    const idempotency = { key: newId(), requestHash: 'ab' };
    const first = await submit(store, { idempotency });
    const before = await snapshotRows(store.db);
    expect(await createTask(store.db, submissionOf(store, { idempotency }))).toMatchObject({
      outcome: 'repeated',
      taskId: first.taskId,
      sessionId: first.sessionId,
    });
    const other = submissionOf(store, { idempotency: { ...idempotency, requestHash: 'cd' } });
    expect(await createTask(store.db, other)).toEqual({ outcome: 'idempotency_conflict' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('keeps the idempotency keys of teams apart', async () => {
    const idempotency = { key: newId(), requestHash: 'ab' };
    const first = await submit(store, { idempotency });
    const other = { ...store, db: store.db, ...(await addTeam(store.db)) };
    expect((await submit(other, { idempotency })).taskId).not.toBe(first.taskId);
  });

  test('creates one task for 20 identical requests at once', async () => {
    const idempotency = { key: newId(), requestHash: hashOf('request') };
    const before = await snapshotRows(store.db);
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, () =>
        createTask(store.db, submissionOf(store, { idempotency, prompt: newId() })),
      ),
    );
    expect(outcomes.filter(({ outcome }) => outcome === 'created')).toHaveLength(1);
    expect(outcomes.filter(({ outcome }) => outcome === 'repeated')).toHaveLength(19);
    expect(new Set(outcomes.map((each) => 'taskId' in each && each.taskId)).size).toBe(1);
    const { task, session, turn, profile } = changesBetween(before, await snapshotRows(store.db));
    expect([task, session, turn, profile].map((rows) => rows?.length)).toEqual([1, 1, 1, 1]);
  });

  test('refuses a session that does not exist, is another team’s or is archived, and frees the key', async () => {
    const { sessionId } = await submit(store);
    const idempotency = { key: newId(), requestHash: 'ab' };
    const stranger = { ...store, db: store.db, ...(await addTeam(store.db)) };
    const before = await snapshotRows(store.db);
    expect(await createTask(store.db, submissionOf(store, { sessionId: newId(), idempotency }))).toEqual({
      outcome: 'session_not_found',
    });
    expect(await createTask(store.db, submissionOf(stranger, { sessionId, idempotency }))).toEqual({
      outcome: 'session_not_found',
    });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    await store.db.sql`UPDATE session SET archived_at = clock_timestamp() WHERE id = ${sessionId}`;
    expect(await createTask(store.db, submissionOf(store, { sessionId, idempotency }))).toEqual({
      outcome: 'session_archived',
    });
    await submit(store, { idempotency });
  });

  test('makes nothing where one part of it is illegal', async () => {
    const before = await snapshotRows(store.db);
    for (const limits of [{ turns: 0 }, { treeTurns: 0 }, { tokens: 0 }, { seconds: 0 }]) {
      await expect(createTask(store.db, submissionOf(store, { limits }))).rejects.toThrow(/task_limits/);
    }
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    await submit(store, { limits: { turns: 1, treeTurns: 1, tokens: 1, seconds: 1 } });
  });

  test('stores text that Postgres would refuse', async () => {
    const odd = submissionOf(store, { text: 'NUL \0 and half a pair \ud800' });
    const metadata = { 'key\0': '\udc00' };
    await createTask(store.db, { ...odd, task: { ...odd.task, metadata } });
    const [row] = await store.db.sql`
      SELECT m.parts, t.metadata FROM message m JOIN task t ON t.id = m.task_id WHERE t.id = ${odd.task.id}`;
    expect(row).toEqual({
      parts: [{ type: 'text', text: 'NUL \uFFFD and half a pair \uFFFD' }],
      metadata: { 'key\uFFFD': '\uFFFD' },
    });
  });
});

describe('post_message', () => {
  const message = (taskId: string, text = 'Stop using tabs.') => ({
    teamId: store.teamId,
    userId: store.userId,
    taskId,
    id: newId(),
    parts: [{ type: 'text' as const, text }],
  });

  test('adds one row that no turn has taken in, once', async () => {
    const held = await running(store);
    const posted = message(held.taskId);
    const before = await snapshotRows(store.db);
    expect(await postMessage(store.db, posted)).toEqual({ outcome: 'posted' });
    const after = await snapshotRows(store.db);
    expect(await postMessage(store.db, posted)).toEqual({ outcome: 'repeated' });
    expect(changesBetween(before, after)).toEqual({
      message: [
        {
          '+': {
            id: posted.id,
            session_id: held.sessionId,
            task_id: held.taskId,
            user_id: store.userId,
            parts: posted.parts,
            created_at: 'time',
            taken_position: null,
          },
        },
      ],
    });
    expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
  });

  test('finds no task of another team, and none that has ended', async () => {
    const held = await running(store, { limits: { turns: 1 } });
    const stranger = await addTeam(store.db);
    await recordAnswer(store.db, held, answerOf());
    const before = await snapshotRows(store.db);
    expect(await postMessage(store.db, { ...message(held.taskId), teamId: stranger.teamId })).toEqual({
      outcome: 'not_found',
    });
    expect(await postMessage(store.db, message(newId()))).toEqual({ outcome: 'not_found' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('keeps the order of messages, also of many in one millisecond', async () => {
    const { taskId, turnId } = await submit(store, { text: '0' });
    const ids = Array.from({ length: 10 }, () => newId())
      .sort()
      .reverse();
    for (const [index, id] of ids.entries())
      await postMessage(store.db, { ...message(taskId, String(index + 1)), id });
    await claim(store.db, turnId);
    const rows = await store.db.sql<{ text: string }>`
      SELECT m.parts->0->>'text' AS text FROM entry e JOIN message m ON m.id = e.message_id
       WHERE e.task_id = ${taskId} ORDER BY e.position`;
    expect(rows.map(({ text }) => Number(text))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});
