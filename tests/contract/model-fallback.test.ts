import { describe, expect, test } from 'vitest';
import type { ModelMessage } from '../../src/model/model.ts';
import { call, say, think } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, kitOf, requestOf, serve } from './model-harness.ts';
import { kinds } from './model-kinds.ts';

/** A session that one provider began and another goes on with. */
const pairs = kinds.flatMap((from) => kinds.map((to) => ({ from, to })));

describe.each(pairs)('what $from.provider answered, sent to $to.provider', ({ from, to }) => {
  test('is accepted by it, and nothing that only the first can read is in it', async () => {
    const { events } = await kitOf(from).answerTo(() => [
      think('Secretly.', 'planted-proof'),
      say('Looking.'),
      call('ls', { path: 'a' }),
      call('no such.tool', { a: 1 }, `functions.x:0${'y'.repeat(80)}`),
    ]);
    const { parts } = answerOf(events);
    const results = parts.flatMap((part): ModelMessage[] =>
      part.type === 'tool' ? [{ role: 'tool', callId: part.callId, text: 'ok', isError: true }] : [],
    );
    const messages: ModelMessage[] = [
      { role: 'user', text: 'Hello' },
      { role: 'assistant', parts },
      ...results,
      // Of an answer that was cut nothing but its reasoning is left.
      { role: 'assistant', parts: parts.slice(0, 1) },
      { role: 'user', text: 'Go on' },
    ];
    const server = await serve(() => say('ok'));
    answerOf(await collect(kitOf(to).modelAt(server), requestOf({ messages })));
    expect(server.refusals).toEqual([]);
    const [request] = server.requests;
    // Another server of the same kind is another as well, but where thinking is words that any may read.
    const isRead = from === to && from.lacks.includes('a seal by its address');
    const told = isRead ? /planted-proof/ : /planted-proof|Secretly/;
    expect(JSON.stringify(request?.body)).not.toMatch(told);
    expect(request?.messages.find(({ role }) => role === 'assistant')).toMatchObject({ text: 'Looking.' });
    expect(request?.answers).toBe(1);
    const ids = results.map((result) => (result.role === 'tool' ? to.sentId(result.callId) : ''));
    expect(request?.lastToolResults.map(({ callId }) => callId)).toEqual(ids);
  });
});
