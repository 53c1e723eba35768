import { describe, expect, test } from 'vitest';
import { textOf } from '../../src/core/entry.ts';
import { call, hang, type Script, say } from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';

const TOLD =
  /^You have made the same call 3 times, .*: look \{"text":"same"\}\. .* At 5 the task is ended\.$/;

/** The same call for ever, whatever it is told; two of the ways in which its result may reach the log. */
const circles = (name: 'look' | 'note') => () => call(name, { text: 'same' });

describe('an agent that goes round in circles', () => {
  const world = useWorld({ kind: 'postgres' });
  const kinds = async (task: Task) => (await world.entries(task)).map(({ kind }) => kind);
  const notices = async (task: Task) =>
    (await world.entries(task)).flatMap((entry) => (entry.kind === 'notice' ? [textOf(entry.parts)] : []));
  const round = ['assistant', 'tool_result'];

  test('is told at the third call, before it answers, and ended at the fifth', async () => {
    await world.startWorker();
    const task = await world.submit({ script: circles('look') });
    expect(await world.taskEnds(task)).toMatchObject({
      status: 'failed',
      error_code: 'loop',
      error_message:
        'The agent has made the same call 5 times, with the same outcome and nothing new in between: look {"text":"same"}. ' +
        'It was told so and went on. Say what it should do instead, in a next task of this session (--continue): that ' +
        'starts counting anew.',
    });
    expect(await kinds(task)).toEqual(['user', 'notice', round, round, round, 'notice', round, round].flat());
    const requests = world.model.requestsOf(task.sessionId);
    expect(requests).toHaveLength(5);
    const said = requests.map(({ body }) => body.messages.at(-1));
    expect(said.map(({ role }) => role)).toEqual(['user', 'tool', 'tool', 'user', 'tool']);
    expect(said[3].content).toMatch(TOLD);
    // Each request begins as the one before did, the notice included.
    expect(requests[4]?.body.messages.slice(0, -2)).toEqual(requests[3]?.body.messages);
  });

  test('is ended too where its calls change something, and each of them ran', async () => {
    await world.startWorker();
    const task = await world.submit({ script: circles('note') });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'loop' });
    expect(world.noted(task)).toEqual(Array(5).fill('same'));
  });

  test('may listen to the notice, and succeed', async () => {
    await world.startWorker();
    const script: Script = ({ body }) =>
      TOLD.test(String(body.messages.at(-1).content)) ? say('I stop.') : call('look', { text: 'same' });
    const task = await world.submit({ script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(world.model.requestsOf(task.sessionId)).toHaveLength(4);
  });

  test('is counted anew in the next task of its session', async () => {
    await world.startWorker();
    const first = await world.submit({ script: circles('look') });
    await world.taskEnds(first);
    const { sessionId } = first;
    const second = await world.submit({ sessionId, prompt: 'Go on.', script: circles('look') });
    expect(await world.taskEnds(second)).toMatchObject({ status: 'failed', error_code: 'loop' });
    expect(world.model.requestsOf(sessionId)).toHaveLength(10);
    expect((await notices(first)).filter((text) => TOLD.test(text))).toHaveLength(2);
  });

  test.each(['dies', 'stops'] as const)(
    'is told once, and ended at the fifth, where its worker %s in between',
    async (how) => {
      const child = await world.startChild();
      const script: Script = ({ answers, attempt }) =>
        answers === 3 && attempt === 1 ? hang() : call('look', { text: 'same' });
      const task = await world.submit({ script });
      await world.until(
        'the fourth is asked for',
        async () => world.model.requestsOf(task.sessionId).length === 4,
      );
      await world.startWorker();
      child.kill(how === 'dies' ? 'SIGKILL' : 'SIGTERM');
      expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'loop' });
      const requests = world.model.requestsOf(task.sessionId);
      expect(requests.map(({ turn }) => turn)).toEqual([1, 2, 3, 4, 4, 5]);
      expect(requests[4]?.body).toEqual(requests[3]?.body);
      expect((await notices(task)).filter((text) => TOLD.test(text))).toHaveLength(1);
    },
  );
});
