import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messagesOf } from '../../src/core/context.ts';
import type { Entry, NewEntry, Part } from '../../src/core/entry.ts';

const text = (words: string) => ({ type: 'text' as const, text: words });
const tool = (callId: string): Part => ({ type: 'tool', callId, name: 'bash', arguments: '{}' });
const user = (words: string): NewEntry => ({ kind: 'user', parts: [text(words)] });
const notice = (words: string): NewEntry => ({ kind: 'notice', parts: [text(words)] });
const answer = (...parts: Part[]): NewEntry => ({ kind: 'assistant', parts, stopReason: 'stop' });
const result = (callId: string, words: string, status: 'succeeded' | 'failed' = 'succeeded'): NewEntry => ({
  kind: 'tool_result',
  callId,
  status,
  parts: [text(words)],
});
const log = (...entries: NewEntry[]): Entry[] =>
  entries.map((entry, index) => ({ ...entry, position: index + 1 }) as Entry);

const NOT_RUN = 'Not run: the work was interrupted before this call.';

const revert = (to: number): NewEntry => ({ kind: 'revert', to, parts: [text('Back.')] });

describe('a log that a person took back', () => {
  const said = (...entries: NewEntry[]) =>
    messagesOf(log(...entries)).map((message) =>
      message.role === 'assistant'
        ? message.parts.map((part) => ('text' in part ? part.text : '')).join()
        : message.text,
    );

  test('is told as it was there, and goes on behind it', () => {
    expect(said(user('1'), answer(text('2')), user('3'), answer(text('4')), revert(2), user('6'))).toEqual([
      ...['1', '2', 'Back.', '6'],
    ]);
  });

  test('to its beginning has nothing before', () => {
    expect(said(user('1'), answer(text('2')), revert(0), user('4'))).toEqual(['Back.', '4']);
  });

  test('twice is what it was at the place that the second names, also where the first had left that out', () => {
    const begun = [
      user('1'),
      answer(text('2')),
      user('3'),
      answer(text('4')),
      revert(2),
      user('6'),
      answer(text('7')),
    ];
    expect(said(...begun, revert(4), user('9'))).toEqual(['1', '2', '3', '4', 'Back.', '9']);
    expect(said(...begun, revert(6), user('9'))).toEqual(['1', '2', 'Back.', '6', 'Back.', '9']);
  });

  test('is made of the very same messages as it grows', () => {
    const entries = log(
      user('1'),
      answer(text('2')),
      user('3'),
      answer(text('4')),
      revert(2),
      user('6'),
      answer(text('7')),
    );
    const before = messagesOf(entries.slice(0, 4));
    const after = messagesOf(entries);
    expect(after[0]).toEqual(before[0]);
    expect(
      messagesOf([...entries, ...log(user('8')).map((each) => ({ ...each, position: 8 }))]).slice(0, 4),
    ).toEqual(after.slice(0, 4));
  });
});

describe('messagesOf', () => {
  test('an empty log is no message', () => {
    expect(messagesOf([])).toEqual([]);
  });

  test('prompts and notices are the user’s, answers the assistant’s', () => {
    expect(messagesOf(log(user('Go.'), notice('A project.'), answer(text('Done.'))))).toEqual([
      { role: 'user', text: 'Go.' },
      { role: 'user', text: 'A project.' },
      { role: 'assistant', parts: [text('Done.')] },
    ]);
  });

  test('results stand behind their answer in the order of its calls', () => {
    const entries = log(
      user('Go.'),
      answer(tool('a'), tool('b')),
      result('b', '2', 'failed'),
      result('a', '1'),
    );
    expect(messagesOf(entries).slice(2)).toEqual([
      { role: 'tool', callId: 'a', text: '1', isError: false },
      { role: 'tool', callId: 'b', text: '2', isError: true },
    ]);
  });

  test('a call without a result is told as not run', () => {
    expect(messagesOf(log(user('Go.'), answer(tool('a')), user('And?'))).slice(2)).toEqual([
      { role: 'tool', callId: 'a', text: NOT_RUN, isError: true },
      { role: 'user', text: 'And?' },
    ]);
  });

  test('a result belongs to the answer before it, also where an id is used again, which is told as another', () => {
    const entries = log(
      ...[answer(tool('a')), result('a', '1'), answer(tool('a')), result('a', '2')],
      ...[answer(tool('a_2'), tool('a')), result('a_2', '3'), result('a', '4')],
    );
    const told = (callId: string, text: string) => ({ role: 'tool', callId, text, isError: false });
    expect(messagesOf(entries)).toEqual([
      ...[{ role: 'assistant', parts: [tool('a')] }, told('a', '1')],
      ...[{ role: 'assistant', parts: [tool('a_2')] }, told('a_2', '2')],
      { role: 'assistant', parts: [tool('a_2_2'), tool('a_3')] },
      ...[told('a_2_2', '3'), told('a_3', '4')],
    ]);
    // The same where the beginning was told before.
    const alone = (end: number) => messagesOf(log(...entries.slice(0, end)));
    for (const end of [1, 2, 3, 4, 5, 6, 7]) expect(messagesOf(entries.slice(0, end))).toEqual(alone(end));
    expect(messagesOf(entries)).toEqual(alone(7));
  });

  test('no two calls have the same id, also in the form in which it is sent', () => {
    const entries = log(
      answer(tool('a.b'), tool('a_b'), tool('a:b'), tool('')),
      answer(tool('a.b'), tool('')),
    );
    const ids = messagesOf(entries).flatMap((message) =>
      message.role === 'tool' ? [message.callId.replace(/[^a-z0-9]/g, '_')] : [],
    );
    expect(new Set(ids).size).toBe(6);
  });

  test('a result that nobody asked for, and an answer with nothing in it, are left out', () => {
    const entries = log(user('Go.'), answer(), result('x', '?'), answer(text('Hm.')));
    expect(messagesOf(entries)).toEqual([
      { role: 'user', text: 'Go.' },
      { role: 'assistant', parts: [text('Hm.')] },
    ]);
  });

  const turn = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.boolean()).map(([calls, ask]) => {
    const ids = Array.from({ length: calls }, (_, n) => `c${n}`);
    return [
      ...(ask ? [user('Go.')] : []),
      answer(text('Hm.'), ...ids.map(tool)),
      ...ids.map((id) => result(id, id)),
    ];
  });

  test('a log that ends with a whole turn has the same messages once it is longer', () => {
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 8 }), turn, (turns, more) => {
        const short = messagesOf(log(...turns.flat()));
        const long = messagesOf(log(...turns.flat(), ...more));
        expect(long.slice(0, short.length)).toEqual(short);
      }),
    );
  });

  test('a log that grows entry by entry has the messages it would have if it were new', () => {
    const entry = fc.oneof(
      fc.constantFrom(user('Go.'), notice('Hm.')),
      fc.constantFrom(answer(tool('a')), answer(text('Hm.'), tool('a'), tool('b')), answer()),
      fc.constantFrom(result('a', '1'), result('b', '2')),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), fc.array(fc.nat(20)), (made, lengths) => {
        const entries = log(...made);
        for (const length of lengths) {
          expect(messagesOf(entries.slice(0, length))).toEqual(messagesOf(log(...made.slice(0, length))));
        }
      }),
    );
  });

  test('whatever is missing, each call has exactly one result, right behind its answer', () => {
    const entry = fc.oneof(
      fc.constant(user('Go.')),
      fc.constantFrom(answer(tool('a')), answer(text('Hm.'), tool('a'), tool('b')), answer()),
      fc.constantFrom(result('a', '1'), result('b', '2')),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), (entries) => {
        const messages = messagesOf(log(...entries));
        for (const [index, message] of messages.entries()) {
          if (message.role !== 'assistant') continue;
          const ids = message.parts.flatMap((part) => (part.type === 'tool' ? [part.callId] : []));
          const next = messages.slice(index + 1, index + 1 + ids.length);
          expect(next.map((m) => m.role === 'tool' && m.callId)).toEqual(ids);
          expect(messages[index + 1 + ids.length]?.role).not.toBe('tool');
        }
      }),
    );
  });
});
