import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  askedAt,
  contextOf,
  nextCompaction,
  SUMMARY_REQUEST,
  summaryRequest,
  summaryWithin,
} from '../../src/core/compaction.ts';
import { type ContextMessage, messagesIn, messagesOf } from '../../src/core/context.ts';
import {
  type ContextLimits,
  contextTokens,
  countedSize,
  imageTokens,
  ratioOf,
} from '../../src/core/context-size.ts';
import type { Entry, FilePart, NewEntry, Part } from '../../src/core/entry.ts';
import { type ContextPolicy, DEFAULT_CONTEXT } from '../../src/core/profile.ts';
import { next } from '../../src/core/turn.ts';
import { PRUNED, SUMMARY_FOLLOWS, viewOf } from '../../src/core/view.ts';

/** A token for each four characters: what counts is that everybody counts alike. */
const count = (text: string) => Math.ceil(text.length / 4);
const text = (words: string) => ({ type: 'text' as const, text: words });
const user = (words: string): NewEntry => ({ kind: 'user', parts: [text(words)] });
const notice = (words: string): NewEntry => ({ kind: 'notice', parts: [text(words)] });
const tool = (callId: string): Part => ({ type: 'tool', callId, name: 'look', arguments: '{}' });
const answer = (parts: readonly Part[], input?: number): NewEntry => ({
  ...{ kind: 'assistant', parts, stopReason: 'stop' },
  ...(input === undefined ? {} : { noted: { input } }),
});
const result = (callId: string, words: string): NewEntry => ({
  ...{ kind: 'tool_result', callId, status: 'succeeded', parts: [text(words)] },
});
const revert = (to: number): NewEntry => ({ kind: 'revert', to, parts: [text('Back.')] });
const words = (tokens: number, word = 'word') => word.repeat(tokens).slice(0, tokens * 4);

function limitsOf(tokens: number, policy: Partial<ContextPolicy> = {}, overhead = 50): ContextLimits {
  return { policy: { ...DEFAULT_CONTEXT, ...policy }, tokens, overhead, count };
}

/** A log as it grows, turn by turn, with what the engine does about its size. */
class Session {
  readonly limits: ContextLimits;
  readonly entries: Entry[] = [];
  /** Each request, in order. */
  readonly requests: ContextMessage[][] = [];
  /** Turns before whose request the log was made shorter. */
  readonly shortened: { readonly turn: number; readonly summarised: boolean }[] = [];

  constructor(limits: ContextLimits) {
    this.limits = limits;
  }

  add(...entries: readonly NewEntry[]): this {
    for (const entry of entries) this.entries.push({ ...entry, position: this.entries.length + 1 } as Entry);
    return this;
  }

  get size(): number {
    return this.limits.overhead + countedSize(contextOf(this.entries, this.limits), count);
  }

  /** What `next` says of a turn without an answer, performed. */
  turn(more: readonly NewEntry[] = []): void {
    const log = { entries: this.entries, answerPosition: null, calls: [] };
    const step = next(log, { turn: 1, turnLimit: 9_999, context: this.limits });
    if (step.do === 'compact') {
      const { prunes, summary, before } = step.compaction;
      expect(before).toBe(Math.round(this.size * ratioOf(viewOf(this.entries), this.limits)));
      const replaces = summary && { after: summary.after, to: summary.to };
      this.add(
        replaces === undefined
          ? { kind: 'pruning', parts: [], replaces: { results: prunes } }
          : { kind: 'compaction', parts: [text(words(summary?.tokens ?? 0, 'sum '))], replaces },
      );
      this.shortened.push({ turn: this.requests.length, summarised: replaces !== undefined });
      expect(
        next({ ...log, entries: this.entries }, { turn: 1, turnLimit: 9_999, context: this.limits }).do,
      ).toBe('callModel');
    }
    this.requests.push(messagesIn(contextOf(this.entries, this.limits)));
    this.add(...more);
  }
}

/** A session in which each turn reads something. */
function longSession(
  limits: ContextLimits,
  turns: number,
  outputOf = (turn: number) => 200 + (turn % 7) * 40,
) {
  const session = new Session(limits).add(user('Port the parser to Rust.'), notice('A project.'));
  for (let turn = 0; turn < turns; turn++) {
    const id = `call_${turn}`;
    session.turn([answer([text(`Turn ${turn}.`), tool(id)]), result(id, words(outputOf(turn)))]);
  }
  return session;
}

/** How many of its messages a request has in common with the one before it, from the beginning. */
function sharedWith(before: readonly ContextMessage[], request: readonly ContextMessage[]): number {
  const at = before.findIndex((message, index) => JSON.stringify(message) !== JSON.stringify(request[index]));
  return at === -1 ? before.length : at;
}

function isValid(messages: readonly ContextMessage[]): void {
  expect(messages[0]?.role ?? 'user').toBe('user');
  let open: string[] = [];
  for (const message of messages) {
    if (message.role === 'tool') expect(open.shift()).toBe(message.callId);
    else expect(open).toEqual([]);
    if (message.role === 'assistant')
      open = message.parts.flatMap((part) => (part.type === 'tool' ? [part.callId] : []));
  }
  expect(open).toEqual([]);
}

describe('a session of 500 turns', () => {
  const limits = limitsOf(32_000 - 4_096);
  const session = longSession(limits, 500);

  test('stays within a window of 32k, and every request of it is one that providers accept', () => {
    for (const request of session.requests) {
      isValid(request);
      expect(
        request.reduce((sum, message) => sum + count(JSON.stringify(message)), limits.overhead),
      ).toBeLessThan(32_000);
    }
  });

  test('keeps its first instruction word for word', () => {
    for (const request of session.requests)
      expect(request[0]).toEqual({ role: 'user', text: 'Port the parser to Rust.' });
  });

  test('keeps its first instruction also where what a large project says of itself does not fit beside it', () => {
    const grown = new Session(limitsOf(8_000)).add(user('Port the parser.'), notice(words(2_000)));
    for (let turn = 0; turn < 60; turn++) {
      const said = turn === 20 ? [user('And the lexer.')] : [];
      grown.turn([answer([tool(`${turn}`)]), result(`${turn}`, words(300)), ...said]);
    }
    expect(grown.shortened.some(({ summarised }) => summarised)).toBe(true);
    for (const request of grown.requests)
      expect(request[0]).toEqual({ role: 'user', text: 'Port the parser.' });
    expect(grown.requests.at(-1)).toContainEqual({ role: 'user', text: 'And the lexer.' });
  });

  test('keeps the beginning of each request from the one before it, but where it was made shorter', () => {
    const breaks = session.requests.flatMap((request, turn) => {
      const before = session.requests[turn - 1] ?? [];
      return sharedWith(before, request) === before.length ? [] : [turn];
    });
    expect(breaks).toEqual(session.shortened.map(({ turn }) => turn));
  });

  test('is made shorter rarely: 500 turns of 330 tokens in less than 20 times', () => {
    expect(session.shortened.length).toBeLessThan(20);
    expect(session.shortened.length).toBeGreaterThan(5);
  });

  test('is first freed of old output, and summarised where that is not enough', () => {
    expect(session.shortened[0]?.summarised).toBe(false);
    expect(session.shortened.some(({ summarised }) => summarised)).toBe(true);
  });
});

describe('what stands in a request', () => {
  const limits = limitsOf(2_000, {}, 0);
  const words_ = (messages: readonly ContextMessage[]) =>
    messages.map((message) => (message.role === 'assistant' ? message.parts.length : message.text));

  test('of a result that was taken out it is told that it was there, and the log keeps it', () => {
    const session = new Session(limits).add(
      user('Go.'),
      answer([tool('a')]),
      result('a', 'long'),
      answer([tool('b')]),
    );
    session.add(result('b', 'short'), { kind: 'pruning', parts: [], replaces: { results: [3] } });
    expect(words_(messagesOf(session.entries))).toEqual(['Go.', 1, PRUNED, 1, 'short']);
  });

  test('a summary stands behind what was said first, and before what the user said last and all that came after', () => {
    const session = new Session(limits).add(
      user('1'),
      answer([text('2')]),
      user('3'),
      answer([text('4')]),
      user('5'),
      answer([text('6')]),
    );
    session.add(
      { kind: 'compaction', parts: [text('sum')], replaces: { after: 1, to: 4 } },
      answer([text('8')]),
    );
    const summary = `${SUMMARY_FOLLOWS}\n\nsum`;
    expect(words_(messagesOf(session.entries))).toEqual(['1', summary, '5', 1, 1]);
    session.add({ kind: 'compaction', parts: [text('sum')], replaces: { after: 0, to: 8 } });
    expect(words_(messagesOf(session.entries))).toEqual([summary, '5']);
  });

  test('where a person went back to before them all is told again', () => {
    const session = new Session(limits).add(
      user('Go.'),
      answer([tool('a')]),
      result('a', 'long'),
      answer([text('4')]),
    );
    const before = messagesOf(session.entries);
    session.add({ kind: 'pruning', parts: [], replaces: { results: [3] } });
    session.add({ kind: 'compaction', parts: [text('sum')], replaces: { after: 0, to: 5 } }, revert(4));
    expect(messagesOf(session.entries)).toEqual([...before, { role: 'user', text: 'Back.' }]);
    session.add(revert(6));
    expect(words_(messagesOf(session.entries))[0]).toContain('sum');
  });

  test('images of a result that was taken out are no more shown', () => {
    const file: FilePart = {
      type: 'file',
      mediaType: 'image/png',
      hash: 'h',
      name: 'a.png',
      bytes: 9,
      width: 1500,
      height: 1000,
    };
    const session = new Session(limits).add(user('Go.'), answer([tool('a')]));
    session.add({ kind: 'tool_result', callId: 'a', status: 'succeeded', parts: [text('A picture.'), file] });
    expect(messagesOf(session.entries)[2]).toMatchObject({ images: [file] });
    session.add({ kind: 'pruning', parts: [], replaces: { results: [3] } });
    expect(messagesOf(session.entries)[2]).toEqual({
      role: 'tool',
      callId: 'a',
      isError: false,
      text: PRUNED,
    });
  });
});

describe('a window', () => {
  const turns = (session: Session, from: number, more: number) => {
    for (let turn = from; turn < from + more; turn++)
      session.turn([answer([tool(`c${turn}`)]), result(`c${turn}`, `${turn}`)]);
  };
  const newest = (session: Session) => session.requests.at(-1) ?? [];

  test.each([
    ['one message less than it holds', 49],
    ['as many as it holds', 50],
  ])('of 50 messages, %s, shows all', (_, messages) => {
    const session = new Session(limitsOf(9_000, { strategy: 'window' })).add(user('Go.'));
    if (messages === 50) session.add(user('And.'));
    turns(session, 0, 24);
    session.turn();
    expect(newest(session)).toHaveLength(messages);
  });

  test('of more than 50 lets the oldest half go, and keeps what the user said last', () => {
    const session = new Session(limitsOf(9_000, { strategy: 'window' })).add(user('Go.'), user('Port it.'));
    turns(session, 0, 60);
    for (const request of session.requests) {
      isValid(request);
      expect(request.length).toBeLessThanOrEqual(52);
      expect(JSON.stringify(request)).toContain('Port it.');
    }
    expect(JSON.stringify(newest(session))).not.toContain('Go.');
    expect(session.entries.every(({ kind }) => kind !== 'compaction' && kind !== 'pruning')).toBe(true);
  });

  test('without a number of messages holds what there is room for', () => {
    const session = new Session(limitsOf(600, { strategy: 'window', maxMessages: null }, 0)).add(user('Go.'));
    turns(session, 0, 100);
    for (const request of session.requests)
      expect(
        request.reduce((sum, message) => sum + 4 + count('text' in message ? message.text : ''), 0),
      ).toBeLessThan(640);
    expect(Math.max(...session.requests.map(({ length }) => length))).toBeGreaterThan(50);
  });

  test('keeps its beginning most of the time', () => {
    const session = new Session(limitsOf(9_000, { strategy: 'window' })).add(user('Go.'));
    turns(session, 0, 200);
    const breaks = session.requests.filter((request, turn) => {
      const before = session.requests[turn - 1] ?? [];
      return sharedWith(before, request) < before.length;
    });
    expect(breaks.length).toBeLessThan(20);
  });
});

describe('the mark', () => {
  const at = (tokens: number, more: Partial<ContextPolicy> = {}) => {
    const session = new Session(limitsOf(1_000, more, 0)).add(user('Go.'), answer([tool('a')]));
    const rest = tokens - countedSize(viewOf(session.entries), count) - 4;
    return session.add(result('a', words(rest)), answer([text('')])).entries;
  };

  test.each([
    ['one token below it nothing is done', 795, {}, false],
    ['at it the log is made shorter', 796, {}, true],
    ['it is where the setting says', 496, { compactAt: 0.5 }, true],
    ['a window has none', 3_000, { strategy: 'window' as const }, false],
  ])('%s', (_, tokens, policy, isDone) => {
    const limits = limitsOf(1_000, policy, 0);
    expect(nextCompaction(at(tokens), limits) !== undefined).toBe(isDone);
  });

  test('is reached as the provider counts, where it counts otherwise', () => {
    const entries = at(500).slice(0, -1);
    const answered = [...entries, { ...answer([text('')], 900), position: entries.length + 1 } as Entry];
    expect(ratioOf(viewOf(answered), { overhead: 0, count })).toBeCloseTo(900 / 500, 1);
    expect(nextCompaction(answered, limitsOf(1_000, {}, 0))).toBeDefined();
  });

  test('says nothing where nobody has answered since the last time', () => {
    const entries = at(3_000);
    const shorter = new Session(limitsOf(1_000)).add(...entries);
    shorter.add({ kind: 'compaction', parts: [text(words(2_000))], replaces: { after: 0, to: 3 } });
    expect(nextCompaction(shorter.entries, limitsOf(1_000, {}, 0))).toBeUndefined();
  });

  test('after an overflow it is made shorter whatever was counted, or the task fails with the reason', () => {
    const entries = at(300);
    const log = { entries, answerPosition: null, calls: [], overflowed: true };
    const limits = { turn: 2, turnLimit: 9, context: limitsOf(100_000, {}, 0) };
    expect(next(log, limits)).toMatchObject({ do: 'compact' });
    const nothing = new Session(limitsOf(1_000)).add(user(words(5_000))).entries;
    expect(next({ ...log, entries: nothing }, limits)).toMatchObject({
      do: 'finish',
      end: { status: 'failed', code: 'context_overflow' },
    });
  });
});

describe('a summary that a person asks for', () => {
  const limits = limitsOf(1_000_000, {}, 0);
  const wish: NewEntry = { ...notice('A summary, please.'), noted: { compacts: true } } as NewEntry;
  const said = () =>
    new Session(limits).add(
      user('Go.'),
      answer([tool('a')]),
      result('a', words(3_000)),
      answer([text('So.')]),
    );

  test('stands for all up to there, whatever room there is, and what was said since stays', () => {
    const { entries } = said().add(wish, user(words(4_000)), notice('Of the project.'));
    expect(nextCompaction(entries, limits)).toMatchObject({ prunes: [], summary: { after: 1, to: 5 } });
    expect(
      nextCompaction(entries, limitsOf(1_000_000, { strategy: 'window', maxMessages: 50 })),
    ).toBeDefined();
  });

  test.each<[string, readonly NewEntry[]]>([
    ['it is there', [{ kind: 'compaction', parts: [text('sum')], replaces: { after: 1, to: 5 } }]],
    ['an answer came first', [answer([text('Anyway.')])]],
    ['it was taken back', [revert(4)]],
  ])('is wished for no more once %s', (_, more) => {
    expect(askedAt(said().add(wish, ...more).entries)).toBeUndefined();
  });

  test('is left out where it would make nothing shorter', () => {
    const { entries } = new Session(limits).add(user('Hi.'), answer([text('Hi.')]), wish, user('So?'));
    expect(nextCompaction(entries, limits)).toBeUndefined();
  });
});

test.each([
  ['what is configured, where the model’s window is not known', {}, undefined, 100_000],
  ['the window less the longest answer', { contextTokens: 32_000, outputTokens: 8_000 }, undefined, 24_000],
  [
    'the window less the answer that is asked for',
    { contextTokens: 32_000, outputTokens: 8_000 },
    1_000,
    31_000,
  ],
  [
    'the window less 4,096, where nobody says how long an answer is',
    { contextTokens: 32_000 },
    undefined,
    27_904,
  ],
  [
    'half of a window that an answer may fill',
    { contextTokens: 8_000, outputTokens: 8_000 },
    undefined,
    4_000,
  ],
  ['what is configured, where the window is larger', { contextTokens: 1_000_000 }, undefined, 100_000],
])('a request may have %s', (_, info, asked, tokens) => {
  expect(contextTokens(DEFAULT_CONTEXT, info, asked)).toBe(tokens);
});

test('an image takes tokens by its pixels, up to what providers make of a large one', () => {
  const image = (width: number, height: number) => imageTokens({ width, height } as FilePart);
  expect([image(1, 1), image(750, 100), image(1_000, 1_000), image(8_000, 8_000)]).toEqual([
    1, 100, 1_334, 1_600,
  ]);
});

test('a summary that became too long is cut', () => {
  expect(summaryWithin(' short ', 10, count)).toBe('short');
  const cut = summaryWithin(words(500), 100, count);
  expect(count(cut)).toBeLessThanOrEqual(100);
  expect(count(cut)).toBeGreaterThan(90);
  expect(cut.endsWith('…')).toBe(true);
});

/** Any log that a session can come to: answers with calls, some of them without a result, prompts, notices, going back. */
const anyLog = fc
  .array(
    fc.record({
      kind: fc.constantFrom('turn', 'turn', 'turn', 'user', 'notice', 'revert', 'cut'),
      size: fc.integer({ min: 0, max: 400 }),
      calls: fc.integer({ min: 0, max: 3 }),
      counted: fc.option(fc.integer({ min: 0, max: 4_000 }), { nil: undefined }),
    }),
    { maxLength: 60 },
  )
  .map((steps) => {
    const entries: NewEntry[] = [user('First.')];
    for (const [index, { kind, size, calls, counted }] of steps.entries()) {
      const ids = Array.from({ length: calls }, (_, each) => `c${index}_${each}`);
      if (kind === 'user') entries.push(user(words(size)));
      else if (kind === 'notice') entries.push(notice(words(size)));
      else if (kind === 'revert') entries.push(revert(size % entries.length));
      else {
        entries.push(answer([text(words(size)), ...ids.map(tool)], counted));
        if (kind === 'turn') for (const id of ids) entries.push(result(id, words(size)));
      }
    }
    return entries;
  });
const anyPolicy = fc.record({
  strategy: fc.constantFrom('window' as const, 'compact' as const),
  maxMessages: fc.option(fc.integer({ min: 2, max: 20 }), { nil: null }),
  compactAt: fc.double({ min: 0.3, max: 0.95, noNaN: true }),
});

describe('whatever a log holds', () => {
  test('every request is one that providers accept, with what the user said last, and the log only grows', () => {
    fc.assert(
      fc.property(anyLog, anyPolicy, fc.boolean(), (entries, policy, overflowed) => {
        const limits = limitsOf(1_500, policy);
        const session = new Session(limits).add(...entries);
        const before = JSON.stringify(session.entries);
        const compaction = nextCompaction(session.entries, limits, { overflowed });
        if (compaction !== undefined) {
          const { prunes, summary } = compaction;
          if (summary === undefined)
            session.add({ kind: 'pruning', parts: [], replaces: { results: prunes } });
          else
            session.add({
              kind: 'compaction',
              parts: [text('sum')],
              replaces: { after: summary.after, to: summary.to },
            });
          expect(
            summary === undefined || (summary.to < session.entries.length && summary.after <= summary.to),
          ).toBe(true);
        }
        const messages = messagesIn(contextOf(session.entries, limits));
        isValid(messages);
        isValid(summaryRequest(session.entries, limits, { tokens: 1_000, images: true }));
        const said = viewOf(JSON.parse(before)).entries.findLast(({ kind }) => kind === 'user');
        if (said !== undefined)
          expect(messages).toContainEqual({ role: 'user', text: (said.parts[0] as { text: string }).text });
        expect(JSON.stringify(session.entries).startsWith(before.slice(0, -1))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('a compaction leaves it well below the mark where it can, and never asks for a second one at once', () => {
    fc.assert(
      fc.property(anyLog, (entries) => {
        const limits = limitsOf(2_500);
        const session = new Session(limits).add(...entries);
        const compaction = nextCompaction(session.entries, limits);
        if (compaction === undefined) return;
        expect(compaction.after).toBeLessThanOrEqual(compaction.before * 0.9);
        session.turn();
        expect(session.shortened).toHaveLength(1);
        session.turn();
        expect(session.shortened).toHaveLength(1);
      }),
      { numRuns: 200 },
    );
  });

  test('a request for a summary is no longer than it may be, but for the newest answer and the user’s last words', () => {
    fc.assert(
      fc.property(anyLog, fc.integer({ min: 900, max: 3_000 }), (entries, tokens) => {
        const limits = limitsOf(100_000);
        const session = new Session(limits).add(...entries);
        const ratio = ratioOf(viewOf(session.entries), limits);
        const messages = summaryRequest(session.entries, limits, { tokens, images: true });
        expect(messages.at(-1)).toEqual({ role: 'user', text: SUMMARY_REQUEST });
        const size = messages.reduce(
          (sum, message) =>
            sum +
            4 +
            count(
              message.role === 'assistant'
                ? message.parts.map((part) => ('text' in part ? part.text : '')).join()
                : message.text,
            ),
          0,
        );
        // What stays whatever it takes: the newest group (up to four times 400), what was said last, the notes.
        expect(size * ratio).toBeLessThan(Math.max(tokens, 0) + 2_600 * ratio);
      }),
      { numRuns: 100 },
    );
  });
});
