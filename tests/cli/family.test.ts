import { beforeEach, describe, expect, test } from 'vitest';
import type { Event, SessionTree } from '../../src/api/wire.ts';
import { Family, REFRESH_MS } from '../../src/cli/flow/family.ts';
import { ProblemError } from '../../src/client/errors.ts';
import { AT, aNode, aTree, event, SESSION_ID, TASK_ID } from './scripted-api.ts';

const CHILD = aNode().sessionId;
const CHILD_TASK = aNode().task?.id ?? '';

let seq: number;
let now: number;
let tree: SessionTree;
let readings: number;
let family: Family;
/** Holds readings up until it resolves. */
let gate: Promise<void> | undefined;

beforeEach(() => {
  [seq, now, readings, gate] = [0, 0, 0, undefined];
  tree = aTree([aNode()]);
  const read = async () => {
    readings += 1;
    const told = structuredClone(tree);
    await gate;
    return told;
  };
  family = new Family({ task: { id: TASK_ID, sessionId: SESSION_ID }, read, now: () => now });
});

function own(type: Event['type'], data: Event['data'] = {}): Event {
  seq += 1;
  return event(seq, type, data);
}

function below(type: Event['type'], data: Event['data'] = {}, change: Partial<Event> = {}): Event {
  return { ...own(type, data), sessionId: CHILD, taskId: CHILD_TASK, ...change };
}

/** As it is seen: the child alone. */
const child = () => family.tree.root?.children[0];

describe('whose an event is', () => {
  test('is known without a reading where nothing is delegated', async () => {
    expect(await family.take(own('task.started'))).toBe('own');
    expect(await family.take({ ...own('session.created'), taskId: undefined })).toBe('own');
    expect(await family.take({ ...own('task.started'), taskId: 'task_other' })).toBe('other');
    expect([readings, family.shown]).toEqual([0, undefined]);
  });

  test('takes one reading for all sessions that this tells, and one for each that it does not', async () => {
    await family.take(own('task.started'));
    expect(await family.take(below('task.started'))).toBe('below');
    expect(await family.take(below('turn.started'))).toBe('below');
    expect(readings).toBe(1);
    for (const _ of [1, 2])
      expect(await family.take(below('task.started', {}, { sessionId: 'ses_x' }))).toBe('other');
    expect(readings).toBe(2);
    tree = aTree([aNode(), aNode({ sessionId: 'ses_y', title: 'docs' })]);
    expect(await family.take(below('session.created', {}, { sessionId: 'ses_y' }))).toBe('below');
    expect(family.tree.pathOf('ses_y').map(({ title }) => title)).toEqual(['do it', 'docs']);
  });

  test("is nobody's where an earlier task has delegated it", async () => {
    expect(await family.take(below('turn.started'))).toBe('other');
    await family.take(own('task.started'));
    expect(await family.take(below('turn.started'))).toBe('below');
    tree = aTree([aNode({ endedAt: '2026-01-02T03:04:04.000Z' })]);
    await family.refresh();
    expect(family.shown).toBeUndefined();
    tree = aTree([aNode({ endedAt: AT })]);
    await family.refresh();
    expect(family.shown?.children).toHaveLength(1);
    tree = aTree([aNode()], { task: { id: 'task_later', status: 'running' } });
    await family.refresh();
    expect(family.shown).toBeUndefined();
  });

  test('is asked of a server that knows no trees once for each session', async () => {
    const refused = new ProblemError(
      { type: '', title: '', status: 404, code: 'not_found', detail: 'No.' },
      { url: 'http://localhost' },
    );
    const read = async () => {
      readings += 1;
      throw refused;
    };
    family = new Family({ task: { id: TASK_ID, sessionId: SESSION_ID }, read });
    for (const _ of [1, 2]) expect(await family.take(below('task.started'))).toBe('other');
    expect(readings).toBe(1);
  });
});

describe('a session below', () => {
  beforeEach(async () => {
    await family.take(own('task.started'));
    await family.refresh();
  });

  test('goes through its states, with what it does and for how long', async () => {
    now = 5_000;
    expect(child()).toMatchObject({ state: 'thinking', seconds: 14 });
    const call = (callId: string) => ({ callId, name: 'bash' });
    for (const callId of ['c1', 'c2']) await family.take(below('tool.requested', call(callId)));
    await family.take(below('agent.state_changed', { state: 'executing' }));
    expect(child()).toMatchObject({ state: 'executing', doing: { tool: 'bash', callId: 'c1' } });
    await family.take(below('tool.started', call('c2')));
    expect(child()?.doing?.callId).toBe('c2');
    await family.take(below('tool.completed', call('c2')));
    await family.take(below('tool.completed', call('c1')));
    expect(child()).not.toHaveProperty('doing');
    await family.take(below('task.waiting', { on: 'approval' }));
    await family.take(below('agent.state_changed', { state: 'waiting' }));
    expect(child()).toMatchObject({
      state: 'waiting',
      waitingOn: { on: 'approval' },
      task: { status: 'waiting' },
    });
    await family.take(below('task.resumed'));
    expect(child()).not.toHaveProperty('waitingOn');
    await family.take(below('task.failed'));
    await family.take(below('agent.state_changed', { state: 'failed' }));
    now = 60_000;
    expect(child()).toMatchObject({ state: 'failed', seconds: 14, endedAt: AT, task: { status: 'failed' } });
  });

  test('begins anew with its next task, and not with one that waits behind another', async () => {
    await family.take(below('task.created', {}, { taskId: 'task_next' }));
    await family.take(below('task.cancelled', {}, { taskId: 'task_next' }));
    await family.take(below('agent.state_changed', { state: 'idle' }, { taskId: 'task_next' }));
    expect(child()).toMatchObject({ state: 'thinking', task: { id: CHILD_TASK } });
    await family.take(below('task.succeeded'));
    await family.take(below('task.created', {}, { taskId: 'task_more' }));
    expect(child()).toMatchObject({ state: 'idle', seconds: 0, task: { id: 'task_more', status: 'queued' } });
    now = 1_000;
    await family.take(below('task.started', {}, { taskId: 'task_more' }));
    now = 3_000;
    expect(child()).toMatchObject({ seconds: 2, task: { status: 'running' }, endedAt: null });
  });

  test('waits on for what it waited for when a pause is over', async () => {
    await family.take(below('task.paused'));
    expect(child()?.task?.status).toBe('paused');
    await family.take(below('task.resumed'));
    expect(child()?.task?.status).toBe('running');
    await family.take(below('task.waiting', { on: 'approval' }));
    for (const type of ['task.paused', 'task.resumed'] as const) await family.take(below(type));
    expect(child()).toMatchObject({ task: { status: 'waiting' }, waitingOn: { on: 'approval' } });
  });

  test('of a newer server, a state changes nothing and what it waits for is told as it is', async () => {
    await family.take(below('task.waiting', { on: 'weather' }));
    await family.take(below('agent.state_changed', { state: { a: 1 } }));
    await family.take(below('agent.state_changed', { state: 'dreaming' }));
    expect(child()).toMatchObject({ state: 'thinking', waitingOn: { on: 'weather' } });
    expect(family.tree.isAtRest).toBe(false);
    await family.take(below('task.waiting', { on: 1 }));
    expect(child()).not.toHaveProperty('waitingOn');
  });

  test('adds up what it uses', async () => {
    await family.take(below('usage.recorded', { input: 10, output: 5, usd: '0.02' }));
    await family.take(below('usage.recorded', { input: 1, output: 1, usd: null }));
    expect(child()).toMatchObject({ tokens: { input: 111, output: 26 }, usd: '0.03' });
  });

  test('is counted by its parent as long as it is unfinished', async () => {
    const waits = () => family.tree.root?.waitingOn;
    expect(waits()).toEqual({ on: 'children', children: 1 });
    await family.take(below('task.succeeded'));
    expect(waits()).toEqual({ on: 'children', children: 0 });
  });

  test('lets everybody rest only where it waits for a person', async () => {
    const rests = async (change: Event) => {
      await family.take(change);
      return family.tree.isAtRest;
    };
    expect(family.tree.isAtRest).toBe(false);
    expect(await rests(below('task.waiting', { on: 'retry' }))).toBe(false);
    for (const on of ['approval', 'input', 'budget', 'slot'])
      expect(await rests(below('task.waiting', { on }))).toBe(true);
    expect(await rests(own('task.resumed'))).toBe(false);
  });
});

describe('a reading', () => {
  test('is not changed again by events that it tells of, however late either comes', async () => {
    await family.take(own('task.started'));
    await family.refresh();
    let open = () => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    tree = aTree([aNode({ usd: '0.05', state: 'executing' })], { seq: seq + 1 });
    const reading = family.refresh();
    await family.take(below('usage.recorded', { input: 1, output: 1, usd: '0.04' }));
    await family.take(below('task.succeeded'));
    await family.take(below('agent.state_changed', { state: 'completed' }));
    open();
    await reading;
    expect(child()).toMatchObject({ usd: '0.05', state: 'completed', task: { status: 'succeeded' } });
    tree = aTree([aNode({ usd: '0.09' })], { seq: seq + 1 });
    await family.refresh();
    await family.take(below('usage.recorded', { input: 1, output: 1, usd: '0.04' }));
    expect(child()?.usd).toBe('0.09');
  });

  test('says what a call is about, and is asked for that now and then', async () => {
    await family.take(own('task.started'));
    await family.refresh();
    family.keepFresh();
    expect(readings).toBe(1);
    await family.take(below('tool.requested', { callId: 'c1', name: 'bash' }));
    await family.take(below('agent.state_changed', { state: 'executing' }));
    now = REFRESH_MS - 1;
    family.keepFresh();
    expect(readings).toBe(1);
    now = REFRESH_MS;
    tree = aTree([aNode({ state: 'executing', doing: { tool: 'bash', callId: 'c1', about: 'npm test' } })], {
      seq,
    });
    family.keepFresh();
    await family.refresh();
    expect(readings).toBe(2);
    expect(child()?.doing).toEqual({ tool: 'bash', callId: 'c1', about: 'npm test' });
    now = 10 * REFRESH_MS;
    family.keepFresh();
    expect(readings).toBe(2);
  });

  test('is taken again where the stream broke', async () => {
    family.lost();
    family.keepFresh();
    expect(readings).toBe(0);
    await family.take(own('task.started'));
    await family.refresh();
    family.lost();
    now = REFRESH_MS;
    family.keepFresh();
    await family.refresh();
    now = 9 * REFRESH_MS;
    family.keepFresh();
    expect(readings).toBe(2);
  });
});

test('what was cancelled with a task is waited for until it has stopped', async () => {
  await family.take(own('task.started'));
  await family.refresh();
  await family.take(own('task.cancelled'));
  const settled = family.settle(new AbortController().signal);
  await expect.poll(() => readings).toBe(2);
  const node = aNode();
  tree = aTree(
    [aNode({ state: 'idle', task: { id: CHILD_TASK, status: 'cancelled' }, endedAt: node.startedAt })],
    {
      seq,
      startedAt: node.startedAt,
    },
  );
  await settled;
  expect(readings).toBe(3);
  expect(child()?.task?.status).toBe('cancelled');
  await family.settle(new AbortController().signal);
  expect(readings).toBe(3);
});
