import { createHash } from 'node:crypto';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { messagesOf } from '../../src/core/context.ts';
import type { Entry } from '../../src/core/entry.ts';
import { recordingOf } from '../../src/core/recording.ts';
import { createModels } from '../../src/model/providers.ts';
import { MAX_RECORDED_TURNS, MAX_RECORDING_BYTES } from '../../src/model/recording-file.ts';
import { answerOf, collect, failureOf, requestOf, textIn } from './model-harness.ts';

const hash = (text: string) => createHash('sha256').update(text).digest('hex');
const TEXT = 'The capybara 🦫 is the largest living rodent, and gets along with everyone.';
const LOG: readonly Entry[] = [
  { kind: 'user', position: 1, parts: [{ type: 'text', text: 'Look.' }] },
  {
    ...{ kind: 'assistant', position: 2, stopReason: 'tool_calls' },
    parts: [
      { type: 'reasoning', text: 'Hm.' },
      { type: 'text', text: TEXT },
      { type: 'tool', callId: 'c1', name: 'ls', arguments: '{"path":"."}' },
    ],
  },
];

async function fileOf(text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'capybara-replay-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'session.json');
  await writeFile(file, text);
  return file;
}

const recorded = () => fileOf(JSON.stringify(recordingOf(LOG, hash)));
const modelOf = (file: string, strict?: boolean) =>
  createModels({ again: { kind: 'replay', file, ...(strict === undefined ? {} : { strict }) } }).resolve();
const at = (text: string) => requestOf({ messages: [{ role: 'user', text }] });

test('a recorded answer streams again, whole, and costs nothing', async () => {
  const model = modelOf(await recorded());
  expect(model.name).toBe('again/recording');
  const events = await collect(model, requestOf({ messages: messagesOf(LOG.slice(0, 1)) }));
  expect(events.filter(({ type }) => type === 'text').length).toBeGreaterThan(1);
  expect(textIn(events, 'text')).toBe(TEXT);
  expect(answerOf(events)).toEqual({
    parts: LOG[1]?.parts,
    stopReason: 'tool_calls',
    usage: { input: 0, output: 0, cached: 0, reasoning: 0 },
    model: 'recording',
  });
  expect(await collect(model, requestOf({ messages: messagesOf(LOG.slice(0, 1)) }))).toEqual(events);
});

test('a request that differs is answered all the same and told so, or refused where it is strict', async () => {
  const file = await recorded();
  const difference = 'turn 1 of the recording: message 1 is another text (5 characters recorded, 5 now)';
  const lenient = await collect(modelOf(file), at('Peek.'));
  expect(textIn(lenient, 'reasoning')).toContain(`the request differs from ${difference}.`);
  expect(answerOf(lenient).parts).toEqual(LOG[1]?.parts);
  const failure = failureOf(await collect(modelOf(file, true), at('Peek.')));
  expect(failure).toMatchObject({ kind: 'terminal', code: 'replay_differs', mayHaveCost: false });
  expect(failure.message).toContain(difference);
});

test('behind the last answer it fails, and says so', async () => {
  const messages = messagesOf([
    ...LOG,
    { kind: 'user', position: 3, parts: [{ type: 'text', text: 'More.' }] },
  ]);
  const events = await collect(
    modelOf(await recorded()),
    requestOf({ messages: [...messages, ...messages] }),
  );
  expect(failureOf(events)).toMatchObject({ kind: 'terminal', code: 'replay_ended' });
});

test('an aborted one ends as cancelled', async () => {
  const model = modelOf(await recorded());
  expect(await collect(model, at('Look.'), AbortSignal.abort())).toMatchObject([
    { type: 'failed', failure: { kind: 'cancelled', mayHaveCost: false } },
  ]);
});

test('without its file it says so', async () => {
  const nameless = createModels({ again: { kind: 'replay' } }).resolve();
  expect(failureOf(await collect(nameless, at('Look.'))).message).toBe(
    'Provider again names no recording: set its file.',
  );
});

const turn = { answers: 0, heard: [], answer: { parts: [], stopReason: 'stop' } };
const withTurns = (turns: number) =>
  JSON.stringify({ format: 'capybara-recording', version: 1, turns: Array(turns).fill(turn) });

test.each([
  ['no JSON', 'sk-secret', /is not JSON: make it with/],
  ['something else', '{"secret":1}', /is no recording of a session/],
  [
    'another version',
    '{"format":"capybara-recording","version":2}',
    /of another version; this Capybara reads version 1/,
  ],
  ['a wrong turn', withTurns(1).replace('stop"', 'secret"'), /is wrong at turns.0.answer.stopReason/],
  ['too many turns', withTurns(MAX_RECORDED_TURNS + 1), /is wrong at turns: Too big/],
])('%s is told, and nothing of it', async (_, text, message) => {
  const failure = failureOf(await collect(modelOf(await fileOf(text)), at('Look.')));
  expect(failure).toMatchObject({ kind: 'terminal', code: 'bad_recording' });
  expect(failure.message).toMatch(message);
  expect(failure.message).not.toContain('secret');
});

test('as many turns as are allowed are played, and a file that is larger than allowed is not read', async () => {
  expect(
    answerOf(await collect(modelOf(await fileOf(withTurns(MAX_RECORDED_TURNS))), at('Look.'))).parts,
  ).toEqual([]);
  const file = await recorded();
  await truncate(file, MAX_RECORDING_BYTES + 1);
  expect(failureOf(await collect(modelOf(file), at('Look.'))).message).toContain(
    `at most ${MAX_RECORDING_BYTES}`,
  );
  expect(failureOf(await collect(modelOf(`${file}.none`), at('Look.'))).message).toContain('(ENOENT)');
});
