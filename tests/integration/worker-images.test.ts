import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type Entry, filesOf } from '../../src/core/entry.ts';
import { IMAGE_LIMITS } from '../../src/core/images.ts';
import { createModels } from '../../src/model/providers.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { defineTool } from '../../src/tools/tool.ts';
import { pngOf } from '../support/images.ts';
import {
  type Action,
  call,
  delay,
  error,
  hang,
  type Script,
  type ScriptedRequest,
  say,
  sequence,
} from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';

describe('an image that a tool returned', () => {
  const world = useWorld({ kind: 'postgres' });
  let directories = 0;

  /** A user's directory with the pictures 0.png, 1.png, …, each another. */
  function pictures(count = 1): string {
    directories += 1;
    const path = join(world.dir, `pictures-${directories}`);
    mkdirSync(path);
    for (let each = 0; each < count; each += 1) writeFileSync(join(path, `${each}.png`), picture(each));
    return path;
  }
  const picture = (shade: number) => pngOf({ shade });
  const read = (each: number): Action => call('read_file', { path: `${each}.png` }, `call_${each}`);
  const requests = ({ sessionId }: Task) => world.model.requestsOf(sessionId);
  const shown = (task: Task) => requests(task).map(({ images }) => images.map(({ base64 }) => base64));
  const base64 = (...shades: number[]) => shades.map((shade) => picture(shade).toString('base64'));
  async function storedRows(shade: number): Promise<number> {
    const hash = createHash('sha256').update(picture(shade)).digest();
    return (await world.db.sql`SELECT size FROM output WHERE hash = ${hash}`).length;
  }
  const noticesWithFiles = (entries: readonly Entry[]) =>
    entries.filter(({ kind, parts }) => kind === 'notice' && parts.some(({ type }) => type === 'file'));

  test('is shown with the next request, and stands in the log by its hash', async () => {
    await world.startWorker();
    const task = await world.submit({ path: pictures(), script: sequence([read(0), say('A picture.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(shown(task)).toEqual([[], base64(0)]);
    const result = (await world.entries(task)).find(({ kind }) => kind === 'tool_result');
    const hash = createHash('sha256').update(picture(0)).digest('hex');
    const { length: bytes } = picture(0);
    expect(result?.parts).toEqual([
      { type: 'text', text: `(0.png is an image: PNG, of 2 x 1 pixels, ${bytes} bytes.)` },
      { type: 'file', mediaType: 'image/png', name: '0.png', width: 2, height: 1, bytes, hash },
    ]);
    const [kept] = await world.db.sql<{ n: number }>`
      SELECT count(*)::int AS n FROM entry e, event v
       WHERE position(${base64(0)[0]} IN coalesce(e.parts::text, '') || v.data::text) > 0`;
    expect(kept?.n).toBe(0);
    const [event] = await world.db.sql<{ files: number }>`
      SELECT (data->>'files')::int AS files FROM event WHERE task_id = ${task.taskId} AND type = 'tool.completed'`;
    expect(event?.files).toBe(1);
  });

  test('is stored once, however often it is returned', async () => {
    await world.startWorker();
    const again = call('read_file', { path: '0.png' }, 'again');
    const script = sequence([[read(0), again], say('Twice.')]);
    const task = await world.submit({ path: pictures(), script });
    await world.taskEnds(task);
    expect(shown(task).at(-1)).toEqual(base64(0, 0));
    expect(await storedRows(0)).toBe(1);
  });

  test('is shown by a worker that never saw it in the very same request', async () => {
    const first = await world.startWorker();
    let isStopped = false;
    const script: Script = ({ answers }) => {
      if (answers < 2) return read(answers);
      return isStopped ? say('Two pictures.') : hang();
    };
    const task = await world.submit({ path: pictures(2), script });
    const isLast = (request: ScriptedRequest) =>
      request.sessionId === task.sessionId && request.answers === 2;
    await world.model.waitForRequest(isLast);
    isStopped = true;
    await first.stop();
    await world.startWorker();
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(shown(task)).toEqual([[], base64(0), base64(0, 1), base64(0, 1)]);
    const [warm, cold] = requests(task).filter(isLast);
    expect(JSON.stringify(cold?.body)).toBe(JSON.stringify(warm?.body));
  });

  test('is shown by whoever goes on where its worker was killed', async () => {
    const child = await world.startChild();
    const answer = [read(0), call('stumble', { text: 'x' })];
    const task = await world.submit({ path: pictures(), script: sequence([answer, say('A picture.')]) });
    await child.hears('noted x');
    await world.startWorker();
    child.kill('SIGKILL');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(await world.calls(task)).toEqual(['read_file succeeded', 'stumble unknown']);
    expect(shown(task)).toEqual([[], base64(0)]);
  });

  test('is read again, and stored once, where its worker was killed before its result was committed', async () => {
    const child = await world.startChild();
    const script = sequence([[read(0), call('endless_read')], say('Never.')]);
    const task = await world.submit({ path: pictures(), script });
    await world.until('it is stored', async () => (await storedRows(0)) === 1);
    await child.hears('started endless_read');
    await world.startWorker();
    child.kill('SIGKILL');
    await world.hears('started endless_read');
    await world.cancel(task);
    expect(await storedRows(0)).toBe(1);
  });

  test.each([
    ['400', error(400, { message: 'Could not process image' })],
    ['500', error(500, { message: 'image input is not supported' })],
    ['413', error(413, { message: 'too large' })],
    ['an error in the stream', [delay(1), error(400, { message: 'Could not process image' })]],
  ])('that the provider refuses (%s) is left out from then on, and the log says so', async (_, refusal) => {
    await world.startWorker();
    const script: Script = (request) => {
      if (request.images.some((image) => image.base64 === base64(1)[0])) return refusal;
      return request.answers < 2 ? read(request.answers) : say('Blind.');
    };
    const task = await world.submit({ path: pictures(3), script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(shown(task)).toEqual([[], base64(0), base64(0, 1), []]);
    const entries = await world.entries(task);
    const [notice, ...others] = noticesWithFiles(entries);
    expect(others).toEqual([]);
    expect(filesOf(notice?.parts ?? []).map(({ name }) => name)).toEqual(['0.png', '1.png']);
    expect(await world.attempts(task)).toEqual(['settled', 'settled', 'settled']);
    // A worker that knows nothing of it does not try again; what is read from then on is shown.
    await world.stopInProcess();
    await world.startWorker();
    const later = sequence([say('-'), say('-'), say('-'), read(2), say('Seen.')]);
    const next = await world.submit({ sessionId: task.sessionId, script: later });
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
    expect(shown(task).slice(4)).toEqual([[], base64(2)]);
    expect(noticesWithFiles(await world.entries(task))).toHaveLength(1);
  });

  test('is not left out where a part of an answer had come: that may have cost something', async () => {
    await world.startWorker();
    const broken = [say('Half'), error(500, { message: 'image trouble' })];
    const script: Script = ({ answers, attempt }) => {
      if (answers === 0) return read(0);
      return attempt === 1 ? broken : say('Whole.');
    };
    const task = await world.submit({ path: pictures(), script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(shown(task)).toEqual([[], base64(0), base64(0)]);
    expect(await world.attempts(task)).toEqual(['settled', 'retry', 'settled']);
    expect(await world.usage(task)).toEqual(['recorded', 'unknown', 'recorded']);
  });

  test('is not what a request failed for that fails without it as well', async () => {
    await world.startWorker();
    const script: Script = ({ answers }) => (answers === 0 ? read(0) : error(400, { message: 'no' }));
    const task = await world.submit({ path: pictures(), script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'bad_request' });
    expect(shown(task)).toEqual([[], base64(0), []]);
    expect(noticesWithFiles(await world.entries(task))).toEqual([]);
  });

  test.each(['read', 'workspace', 'external'] as const)(
    'is shown whatever the effect of its call is, but of none that failed: %s',
    async (effect) => {
      const tool = (name: string, isError: boolean) =>
        defineTool({
          ...{ name, description: 'Draws.', parameters: z.object({}), effect },
          async execute() {
            const image = { mediaType: 'image/png' as const, width: 2, height: 1, bytes: picture(0) };
            return { text: 'drawn', images: [{ ...image, name: 'half \ud800 a\0b' }], isError };
          },
        });
      await world.startWorker({ tools: createRegistry([tool('draw', false), tool('fail', true)]) });
      const script = sequence([[call('draw'), call('fail')], say('One.')]);
      const task = await world.submit({ tools: ['draw', 'fail'], script });
      expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
      expect(await world.calls(task)).toEqual(['draw succeeded', 'fail failed']);
      expect(shown(task)).toEqual([[], base64(0)]);
      const files = (await world.entries(task)).flatMap(({ parts }) => filesOf(parts));
      expect(files.map(({ name }) => name)).toEqual(['half \ufffd a\u2400b']);
    },
  );

  test('is told in words to a model that takes none', async () => {
    await world.startWorker({
      models: createModels({ env: { baseUrl: world.model.baseUrl } }, { images: false }),
    });
    const task = await world.submit({ path: pictures(), script: sequence([read(0), say('Blind.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(shown(task)).toEqual([[], []]);
    expect(requests(task).at(-1)?.lastToolResults[0]?.text).toMatch(
      /^\(0\.png is an image: .*\)\n\(Not shown: the model that is asked takes no images\./,
    );
  });

  test('goes with the older half once there are too many, also for a worker that is new', async () => {
    await world.startWorker();
    const { perRequest } = IMAGE_LIMITS;
    const all = Array.from({ length: perRequest }, (_, each) => read(each));
    const script = sequence([all, read(perRequest), say('Many.')]);
    const task = await world.submit({ path: pictures(perRequest + 1), script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const newest = base64(...Array.from({ length: perRequest / 2 }, (_, each) => each + perRequest / 2 + 1));
    expect(shown(task).map(({ length }) => length)).toEqual([0, perRequest, perRequest / 2]);
    expect(shown(task).at(-1)).toEqual(newest);
    await world.stopInProcess();
    await world.startWorker();
    const next = await world.submit({ sessionId: task.sessionId, script: () => say('Still.') });
    await world.taskEnds(next);
    expect(shown(task).at(-1)).toEqual(newest);
  });
});
