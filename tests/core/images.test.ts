import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ContextMessage, messagesOf } from '../../src/core/context.ts';
import type { Entry, FilePart, NewEntry } from '../../src/core/entry.ts';
import type { Failure } from '../../src/core/errors.ts';
import { IMAGE_LIMITS, mayBeForImages, refusedImages, shownImages } from '../../src/core/images.ts';

const LIMITS = { ...IMAGE_LIMITS, perRequest: 6, requestBytes: 600 };

function image(name: string, bytes = 1): FilePart {
  const hash = name.padEnd(64, '0');
  return { type: 'file', mediaType: 'image/png', hash, name, bytes, width: 2, height: 1 };
}

const text = (said: string) => ({ type: 'text' as const, text: said });

function result(...files: FilePart[]): NewEntry {
  return { kind: 'tool_result', parts: [text('seen'), ...files], callId: 'a', status: 'succeeded' };
}

const answer: NewEntry = {
  kind: 'assistant',
  parts: [{ type: 'tool', callId: 'a', name: 'read_file', arguments: '{}' }],
  stopReason: 'tool_calls',
};

const refusal = (...files: FilePart[]): NewEntry => ({ kind: 'notice', parts: [text('refused'), ...files] });

function log(...entries: NewEntry[]): Entry[] {
  return entries.map((entry, index) => ({ ...entry, position: index + 1 }));
}

const names = (entries: readonly Entry[], limits = LIMITS) =>
  [...shownImages(entries, limits).shown].map(({ name }) => name);

const many = (count: number, bytes?: number) =>
  log(...Array.from({ length: count }, (_, index) => result(image(`${index + 1}`, bytes))));

describe('the images of a request', () => {
  test('are all there are, up to as many as there may be; of one more the newer half', () => {
    expect(names(many(6))).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(names(many(7))).toEqual(['5', '6', '7']);
    expect(names(many(10))).toEqual(['5', '6', '7', '8', '9', '10']);
    expect(names(many(11))).toEqual(['9', '10', '11']);
    expect(shownImages(many(11), LIMITS).dropped).toBe(8);
  });

  test('are as many bytes as there may be; of one more the newest of half as many', () => {
    expect(names(many(3, 200))).toEqual(['1', '2', '3']);
    expect(names(many(4, 200))).toEqual(['4']);
    expect(names(many(3, 201))).toEqual(['3']);
    expect(names(many(5, 150))).toEqual(['4', '5']);
  });

  test('are also cut within one result', () => {
    const files = Array.from({ length: 7 }, (_, index) => image(`${index + 1}`));
    expect(names(log(result(...files)))).toEqual(['5', '6', '7']);
  });

  test('are none of those that the provider refused, which may be read again', () => {
    const bad = image('bad');
    const entries = log(result(image('a')), result(bad), refusal(image('a'), bad), result(image('c')));
    expect(names(entries)).toEqual(['c']);
    expect(names(log(...entries, result(image('a'))))).toEqual(['c', 'a']);
    expect(shownImages(entries, LIMITS).dropped).toBe(2);
  });

  test('stay within what every provider takes', () => {
    const { bytes, perRequest, requestBytes } = IMAGE_LIMITS;
    expect(Math.ceil(bytes / 3) * 4).toBe(5 * 1024 * 1024);
    expect((requestBytes / 3) * 4).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(bytes).toBeLessThanOrEqual(requestBytes / 2);
    expect(names(many(perRequest), IMAGE_LIMITS)).toHaveLength(perRequest);
    expect(names(many(perRequest + 1), IMAGE_LIMITS)).toHaveLength(perRequest / 2);
  });

  const anyEntry = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 300 }).map((bytes) => result(image('x', bytes))) },
    { weight: 1, arbitrary: fc.constantFrom<NewEntry>(answer, result(), refusal(image('x'))) },
  );

  test('of a log that grows only go, never come back, and the newest stays', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 40 }), (made) => {
        const entries = log(...made);
        let before = 0;
        for (let length = 1; length <= entries.length; length += 1) {
          const { shown, dropped } = shownImages(entries.slice(0, length), LIMITS);
          expect(dropped).toBeGreaterThanOrEqual(before);
          before = dropped;
          expect(shown.size).toBeLessThanOrEqual(LIMITS.perRequest);
          const bytes = [...shown].reduce((sum, each) => sum + each.bytes, 0);
          expect(bytes).toBeLessThanOrEqual(LIMITS.requestBytes);
          const last = entries[length - 1]?.parts.at(-1);
          if (entries[length - 1]?.kind === 'tool_result' && last?.type === 'file')
            expect([...shown].at(-1)).toBe(last);
        }
      }),
    );
  });
});

const imagesIn = (messages: readonly ContextMessage[]) =>
  messages.flatMap((message) => (message.role === 'tool' ? (message.images ?? []) : []));

describe('a request', () => {
  const NOT_SHOWN =
    '(Not shown any more: only the newest images are, and none that was refused. Read it again to see it.)';

  test('shows an image behind the words of its result', () => {
    const file = image('a');
    expect(messagesOf(log(answer, result(file)))).toEqual([
      { role: 'assistant', parts: answer.parts },
      { role: 'tool', callId: 'a', text: 'seen', isError: false, images: [file] },
    ]);
    expect(messagesOf(log(answer, result()))[1]).not.toHaveProperty('images');
  });

  test('tells of one that it shows no more', () => {
    const entries = log(answer, result(image('a')), refusal(image('a')), answer, result(image('b')));
    expect(messagesOf(entries)).toMatchObject([
      {},
      { role: 'tool', text: `seen\n${NOT_SHOWN}` },
      { role: 'user', text: 'refused' },
      {},
      { images: [{ name: 'b' }] },
    ]);
    expect(imagesIn(messagesOf(entries))).toHaveLength(1);
  });

  test('to a model that takes none has none, and says so', () => {
    const entries = log(answer, result(image('a')), answer, result(image('b')));
    const messages = messagesOf(entries, { images: false });
    expect(imagesIn(messages)).toEqual([]);
    expect(messages.filter(({ role }) => role === 'tool')).toMatchObject(
      ['a', 'b'].map(() => ({
        text: expect.stringMatching(/^seen\n\(Not shown: the model that is asked takes no images\./),
      })),
    );
    expect(imagesIn(messagesOf(entries))).toHaveLength(2);
  });

  const turn = fc
    .tuple(fc.integer({ min: 0, max: 4 }), fc.boolean())
    .map(([count, refused]) => [
      answer,
      result(...Array.from({ length: count }, (_, index) => image(`${index}`, IMAGE_LIMITS.bytes / 2))),
      ...(refused ? [refusal(image('x'))] : []),
    ]);

  test('of a log that grows turn by turn is what it would be if the log were new, for either model', () => {
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 12 }), fc.array(fc.boolean()), (turns, takes) => {
        const entries = log(...turns.flat());
        for (let length = 1; length <= entries.length; length += 1) {
          const now = entries.slice(0, length);
          const images = takes[length] ?? true;
          const anew = now.map((entry) => ({ ...entry }));
          expect(messagesOf(now, { images })).toEqual(messagesOf(anew, { images }));
        }
      }),
    );
  });

  test('keeps its beginning, the very same messages, until images go', () => {
    const turns = Array.from({ length: IMAGE_LIMITS.perRequest + 1 }, (_, index) => [
      answer,
      result(image(`${index}`)),
    ]).flat();
    const entries = log(...turns);
    let before = messagesOf(entries.slice(0, 2));
    let rewritten = 0;
    for (let length = 4; length <= entries.length; length += 2) {
      const now = messagesOf(entries.slice(0, length));
      const over = before.slice(0, -2);
      if (!over.every((message, index) => now[index] === message)) rewritten += 1;
      before = now;
    }
    expect(rewritten).toBe(1);
  });
});

describe('a failure that may be for the images', () => {
  const failure = (more: Partial<Failure>): Failure => ({
    ...{ kind: 'terminal', code: 'bad_request', message: 'Provider env refused the request (400).' },
    ...more,
  });

  test.each<[Partial<Failure>, boolean]>([
    [{}, true],
    [{ code: 'context_overflow' }, true],
    [{ code: 'model_not_found', message: 'No endpoints found that support image input' }, true],
    [{ code: 'model_not_found' }, false],
    [
      { kind: 'retryable', code: 'provider_unavailable', message: 'image input is not supported (500)' },
      true,
    ],
    [{ kind: 'retryable', code: 'provider_unavailable', message: 'it needs the mmproj' }, true],
    [{ kind: 'retryable', code: 'provider_unavailable', message: 'overloaded' }, false],
    [{ kind: 'retryable', code: 'rate_limited', message: 'too many images per minute' }, false],
    [{ code: 'provider_auth', message: 'no images for you' }, false],
    [{ kind: 'cancelled', code: 'cancelled', message: 'image' }, false],
    [{ kind: 'bug', code: 'model_bug', message: 'image' }, false],
  ])('%j: %s', (more, expected) => {
    expect(mayBeForImages(failure(more))).toBe(expected);
  });

  test('is told with the names of the images, each once and on one line', () => {
    const files = [image('a.png'), image('b\nc'), image('a.png')];
    expect(refusedImages(files, failure({}))).toBe(
      'The provider of the model refused a request with these images, which are not shown from here on: "a.png", "b\\nc". ' +
        'Provider env refused the request (400). One that the work needs may be read again, changed where it may be the ' +
        'cause: converted to PNG, or made smaller.',
    );
  });
});

describe('the images that a person sent', () => {
  const user = (...files: FilePart[]): NewEntry => ({ kind: 'user', parts: [text('Look'), ...files] });
  const mentioned = (...files: FilePart[]): NewEntry => ({
    kind: 'notice',
    parts: [text('refused'), ...files],
    noted: { mentioned: ['a'] },
  });

  test('are shown like those of calls, and so are those that they mentioned', () => {
    const entries = log(user(image('1')), mentioned(image('2')), answer, result(image('3')));
    expect(names(entries)).toEqual(['1', '2', '3']);
    expect(messagesOf(entries)).toEqual([
      { role: 'user', text: 'Look\n\n(Attached: "1".)', images: [image('1')] },
      { role: 'user', text: 'refused', images: [image('2')] },
      { role: 'assistant', parts: answer.parts },
      { role: 'tool', callId: 'a', isError: false, text: 'seen', images: [image('3')] },
    ]);
  });

  test('are told of where the provider refused them, or the model takes none', () => {
    const [refused] = messagesOf(log(user(image('1')), refusal(image('1'))));
    expect(refused).toMatchObject({ text: expect.stringContaining('(Not shown any more') });
    expect(refused).not.toHaveProperty('images');
    const [plain] = messagesOf(log(user(image('1'))), { images: false });
    expect(plain).toMatchObject({ text: expect.stringContaining('takes no images') });
  });

  test('stand beside documents, which are named', () => {
    const document = {
      type: 'file',
      mediaType: 'text/plain',
      hash: '0'.repeat(64),
      name: 'b.txt',
      bytes: 1,
    } as const;
    const entries = log({ kind: 'user', parts: [text('Look'), document, image('1')] });
    expect(messagesOf(entries)).toEqual([
      { role: 'user', text: 'Look\n\n(Attached: "1", "b.txt".)', images: [image('1')] },
    ]);
  });
});
