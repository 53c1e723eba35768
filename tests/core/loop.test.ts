import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson, MAX_NESTING } from '../../src/core/canonical-json.ts';
import type { ClosedCallStatus } from '../../src/core/entry.ts';
import { LOOP_LIMITS, loopIn, loopMessage, loopNotice } from '../../src/core/loop.ts';
import { isWaiting, STATUS_CHARS } from '../../src/core/loop-waiting.ts';
import { withoutVolatile } from '../../src/core/volatile.ts';
import { entriesOf, type Trace, type TracedCall, type TracedTurn, tracesOf } from './loop-traces.ts';

function call(name: string, text: string, more: Partial<TracedCall> = {}): TracedCall {
  return { name, arguments: '{}', status: 'succeeded', text, ...more };
}

/** After each turn of a trace, as the engine asks: what the guard says of it. */
function verdicts(turns: readonly TracedTurn[], limits = LOOP_LIMITS) {
  const entries = entriesOf(turns);
  const ends = entries.flatMap(({ kind }, index) => {
    const next = entries[index + 1]?.kind;
    return kind === 'tool_result' && next !== 'tool_result' ? [index + 1] : [];
  });
  return ends.map((end) => loopIn(entries.slice(0, end), limits)?.verdict ?? '');
}

describe('500 labelled traces', () => {
  const traces = tracesOf(250);
  const isStopped = ({ turns }: Trace) => verdicts(turns).includes('end');

  test('at least 99 of 100 loops are ended, each after a notice', () => {
    const loops = traces.filter(({ isLoop }) => isLoop);
    const missed = loops.filter((trace) => !isStopped(trace));
    expect(loops).toHaveLength(250);
    expect(new Set(missed.map(({ kind }) => kind)), 'missed').toEqual(new Set());
    for (const { kind, turns } of loops) {
      const said = verdicts(turns);
      expect(said.indexOf('notice'), kind).toBeGreaterThanOrEqual(0);
      expect(said.indexOf('notice'), kind).toBeLessThan(said.indexOf('end'));
    }
  });

  test('nothing else is ended', () => {
    const work = traces.filter(({ isLoop }) => !isLoop);
    expect(work).toHaveLength(250);
    expect(work.filter(isStopped).map(({ kind }) => kind)).toEqual([]);
  });
});

describe('the guard', () => {
  const same = call('bash', 'no', { status: 'failed' });
  const other = call('read_file', 'yes');
  const news = (number: number) => call('read_file', 'new', { arguments: `{"path":"${number}"}` });

  test.each<[string, readonly TracedTurn[], readonly string[]]>([
    [
      'the third of the same brings a notice, the fifth ends',
      Array(5).fill([same]),
      ['', '', 'notice', '', 'end'],
    ],
    [
      'pairs likewise: one notice at the third, the end at the fifth',
      Array(5)
        .fill([[same], [other]])
        .flat(),
      ['', '', '', '', '', 'notice', '', '', '', 'end'],
    ],
    [
      'another outcome is no repetition',
      [1, 2, 3, 4, 5].map((n) => [call('bash', `${n} left`)]),
      ['', '', '', '', ''],
    ],
    [
      'another image in the same words is none either',
      ['a', 'b', 'c'].map((hash) => [{ ...other, images: [hash] }]),
      ['', '', ''],
    ],
    ['the same image is one', Array(3).fill([{ ...other, images: ['a'] }]), ['', '', 'notice']],
    [
      'another status is none either',
      (['succeeded', 'failed', 'denied'] as const).map((status) => [{ ...same, status }]),
      ['', '', ''],
    ],
    [
      'news in the same answer starts anew',
      [1, 2, 3, 4, 5].map((n) => [same, news(n)]),
      ['', '', '', '', ''],
    ],
    ['news in between starts anew', [[same], [same], [news(1)], [same], [same]], ['', '', '', '', '']],
    [
      'after news the count goes on from there',
      [[same], [news(1)], [same], [same], [same], [same], [same]],
      ['', '', '', '', 'notice', '', 'end'],
    ],
    ['a person starts anew', [[same], [same], 'Go on.', [same], [same]], ['', '', '', '']],
    [
      'equal calls of one answer count once',
      [
        [same, same, same],
        [same, same],
      ],
      ['', ''],
    ],
  ])('%s', (_, turns, said) => {
    expect(verdicts(turns)).toEqual(said);
  });

  test('turns that only repeat, in whatever order, end at their limit', () => {
    const paths = Array.from({ length: 20 }, (_, number) => [news(number)]);
    const said = verdicts([...paths, ...paths, ...paths]);
    // The first round is news, its last file the newest of it; the second repeats it once, which is no loop yet.
    expect(said.indexOf('notice')).toBe(20 + 19 + LOOP_LIMITS.idle.notice - 1);
    expect(said.indexOf('end')).toBe(20 + 19 + LOOP_LIMITS.idle.end - 1);
  });

  test('a tool that fails in the same words ends at its limit, and does not after a success', () => {
    const fails = (number: number) =>
      call('edit_file', 'Error: the text is not there', { status: 'failed', arguments: `{"n":${number}}` });
    const { notice, end } = LOOP_LIMITS.failures;
    const said = verdicts(Array.from({ length: end }, (_, number) => [fails(number)]));
    expect([said.indexOf('notice'), said.indexOf('end')]).toEqual([notice - 1, end - 1]);
    const mixed = Array.from({ length: 3 * end }, (_, number) => [
      number % 4 === 3 ? news(number) : fails(number),
    ]);
    expect(new Set(verdicts(mixed))).toEqual(new Set(['']));
  });

  test('looks at no more turns and entries than it may', () => {
    const round = Array.from({ length: 12 }, (_, number) => [news(number)]);
    const turns = Array(5).fill(round).flat();
    expect(verdicts(turns)).toContain('end');
    expect(verdicts(turns, { ...LOOP_LIMITS, turns: 30 })).not.toContain('notice');
    expect(verdicts(turns, { ...LOOP_LIMITS, turns: 31 })).toContain('notice');
    expect(verdicts(turns, { ...LOOP_LIMITS, entries: 24 })).not.toContain('notice');
  });

  test('costs no more in a long log than in a short one, and does not depend on what it was asked before', () => {
    const long = entriesOf(Array.from({ length: 2_000 }, (_, number) => [news(number)]));
    const touched = new Set<PropertyKey>();
    const watched = new Proxy(long, {
      get: (entries, key) => {
        if (/^\d+$/.test(String(key))) touched.add(key);
        return Reflect.get(entries, key);
      },
    });
    expect(loopIn(watched)).toBeUndefined();
    expect(touched.size).toBeLessThanOrEqual(2 * LOOP_LIMITS.turns + 1);

    const loop = [...Array.from({ length: 40 }, (_, n) => [news(n)]), ...Array(5).fill([same])];
    expect(loopIn(entriesOf(loop))).toEqual(loopIn(entriesOf(loop)));
    expect(verdicts(loop).at(-1)).toBe('end');
  });

  test('survives arguments of every kind', () => {
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    for (const args of ['', 'null', '[]', '"x"', '{', '7', deep, '{"__proto__":{"a":1}}', '\ud800']) {
      expect(verdicts(Array(5).fill([{ ...same, arguments: args }])).at(-1), args.slice(0, 20)).toBe('end');
    }
  });

  test('says which call it was, to the model and to a person, and what to do', () => {
    const turns = Array(5).fill([
      call('bash', 'no', { status: 'failed', arguments: '{"command": "npm test"}' }),
    ]);
    const third = loopIn(entriesOf(turns.slice(0, 3)));
    const fifth = loopIn(entriesOf(turns));
    if (third === undefined || fifth === undefined) throw new Error('no loop was found');
    expect(loopNotice(third)).toBe(
      'You have made the same call 3 times, with the same outcome and nothing new in between: bash {"command": "npm test"}. ' +
        'Doing the same again will not lead on. Do something else: look at the cause, try another way, or, if you cannot go on, ' +
        'answer without calling a tool and say what is missing. If you wait for something to happen, wait for it (sleep) before ' +
        'you look again. At 5 the task is ended.',
    );
    expect(loopMessage(fifth)).toBe(
      'The agent has made the same call 5 times, with the same outcome and nothing new in between: bash {"command": "npm test"}. ' +
        'It was told so and went on. Say what it should do instead, in a next task of this session (--continue): that starts ' +
        'counting anew.',
    );
  });

  test('shows no more of a call than its beginning', () => {
    const long = call('write_file', 'ok', { arguments: JSON.stringify({ content: '😀'.repeat(10_000) }) });
    const loop = loopIn(entriesOf(Array(5).fill([long])));
    if (loop === undefined) throw new Error('no loop was found');
    expect(loopMessage(loop).length).toBeLessThan(500);
    expect(loopMessage(loop).isWellFormed()).toBe(true);
  });
});

describe('whatever came before', () => {
  const anyCall = fc
    .record({ name: fc.constantFrom('read_file', 'bash'), n: fc.nat(3), text: fc.constantFrom('one', 'two') })
    .map(({ name, n, text }) => call(name, text, { arguments: `{"n":${n}}` }));
  const anyTurns = fc.array(fc.array(anyCall, { minLength: 1, maxLength: 3 }), { maxLength: 40 });
  const last = (turns: readonly TracedTurn[]) => loopIn(entriesOf(turns));

  test('five times the same in a row is ended', () => {
    const property = fc.property(anyTurns, anyCall, (before, again) => {
      expect(last([...before, ...Array(5).fill([again])])?.verdict).toBe('end');
    });
    fc.assert(property);
  });

  test('four times the same is not, where nothing of it came before', () => {
    const fresh = call('bash', 'three', { arguments: '{}' });
    const property = fc.property(anyTurns, (before) => {
      expect(verdicts([...before, ...Array(4).fill([fresh])]).slice(-4)).toEqual(['', '', 'notice', '']);
    });
    fc.assert(property);
  });

  test('turns that each find something out are no loop', () => {
    const property = fc.property(anyTurns, (turns) => {
      const finding = turns.map((turn, index) => [...turn, call('grep', `found ${index}`)]);
      expect(new Set(['', ...verdicts(finding)])).toEqual(new Set(['']));
    });
    fc.assert(property);
  });

  test('it counts for nothing once a person has spoken', () => {
    const property = fc.property(anyTurns, anyTurns, (before, after) => {
      expect(last([...before, 'Go on.', ...after])?.verdict).toBe(last(after)?.verdict);
    });
    fc.assert(property);
  });
});

describe('what is volatile', () => {
  test.each([
    ['at 2026-11-26T00:39:26.123Z', 'at <time>'],
    ['at 2026-11-26 00:39:26,5 +0200 it', 'at <time> it'],
    ['Thu Nov 26 00:39:26 UTC 2026', 'Thu Nov 26 <time> UTC 2026'],
    ['stamp 1795567166 1795567166123', 'stamp <time> <time>'],
    ['done in 1.2s (12 ms)', 'done in <duration>(<duration>)'],
    ['real\t0m1.005s', 'real\t<duration>'],
    ['took 3 minutes 5 seconds', 'took <duration>'],
    ['pid 4242, PID: 77, process id 5', 'pid <pid>, PID: <pid>, process id <pid>'],
    ['[1] 4242', '[1] <pid>'],
    ['at 0x7ffe12345678', 'at <address>'],
    ['id 0197f0a2-1b2c-7d3e-8f40-0123456789ab', 'id <uuid>'],
    ['/tmp/build.aB3dE9/x', '/tmp/build.<name>/x'],
  ])('%s', (text, rest) => {
    expect(withoutVolatile(text)).toBe(rest);
  });

  test.each([
    '12 of 60 files',
    '45%',
    '3 failed, 12 passed',
    'line 1200000000000',
    'v1.2.3',
    'port 3000',
    '/tmp/out.txt',
    '5 MB',
  ])('%s is kept', (text) => {
    expect(withoutVolatile(text)).toBe(text);
  });

  test('a hostile text takes no longer than an ordinary one', () => {
    const lines = [
      '/tmp'.repeat(8_000),
      '/tmp/-'.repeat(6_000),
      '1h'.repeat(15_000),
      '9'.repeat(30_000),
      '-'.repeat(30_000),
      '1 1 '.repeat(8_000),
    ];
    const began = process.cpuUsage().user;
    for (const line of lines) withoutVolatile(line);
    expect(process.cpuUsage(undefined).user - began).toBeLessThan(1_000_000);
  });
});

describe('waiting', () => {
  const waits = (name: string, args: object, text: string, succeeded = true) =>
    isWaiting({ type: 'tool', callId: 'c', name, arguments: JSON.stringify(args) }, { text, succeeded });

  test.each([
    'sleep 5',
    'make & wait',
    'cd x && sleep 1 && ls',
    'until nc -z h 80; do sleep 1; done',
    'sudo sleep 3',
    'tail --pid=7 -f /dev/null',
    'kubectl rollout status deploy/web',
    'gh run watch 7',
    'python3 -c "import time; time.sleep(3)"',
    'ls\nsleep 2',
  ])('%s lets time pass', (command) => {
    expect(waits('bash', { description: 'x', command }, 'no', false)).toBe(true);
  });

  test.each([
    'grep -rn sleep src',
    'echo "please wait"',
    'cat sleep.txt',
    'git commit -m "do not wait"',
    './waiter',
    'man sleep',
  ])('%s does not', (command) => {
    expect(waits('bash', { command }, 'no')).toBe(false);
  });

  test.each([
    ['a poll whose process goes on', 'bash', { poll: 'j' }, '', true, true],
    [
      'a poll of what runs, whatever it says',
      'bash_poll',
      { id: 'bg_1' },
      'a worker exited\n(bg_1 is still running)',
      true,
      true,
    ],
    ['a poll that tells the end', 'bash_poll', { id: 'bg_1' }, '(bg_1 has ended: exit code 0)', true, false],
    ['a poll whose process has ended', 'bash', { poll: 'j' }, '(exit code 0)', true, false],
    ['a poll that failed', 'bash', { poll: 'j' }, 'no such job', false, false],
    ['a short status of a file', 'read_file', { path: 'status' }, '     1\trunning', true, true],
    [
      'a file that speaks of what is pending',
      'read_file',
      { path: 'TODO' },
      'a\nb\nc\nd pending',
      true,
      false,
    ],
    ['tests of which some are pending', 'bash', { command: 'mocha' }, '5 passing\n2 pending', true, false],
    ['a failure that speaks of what runs', 'bash', { command: 'x' }, 'still running', false, false],
    ['a status at its longest', 'ci', {}, `queued ${' '.repeat(STATUS_CHARS - 7)}`, true, true],
    ['a text that is longer', 'ci', {}, `queued ${' '.repeat(STATUS_CHARS - 6)}`, true, false],
  ] as const)('%s', (_, name, args, text, succeeded, expected) => {
    expect(waits(name, args, text, succeeded)).toBe(expected);
  });
});

describe('canonical JSON', () => {
  test.each([
    ['{"b": 1.0, "a": [1e1, "é"]}', '{"a":[10,"é"],"b":1}'],
    [' {"z":{"y":null,"x":true}} ', '{"z":{"x":true,"y":null}}'],
    ['not json ', 'not json'],
    ['"\\u0041"', '"A"'],
  ])('%s', (text, canonical) => {
    expect(canonicalJson(text)).toBe(canonical);
  });

  test('leaves out what it is told to, at the top only', () => {
    expect(canonicalJson('{"a":{"d":1},"d":2}', ['d'])).toBe('{"a":{"d":1}}');
  });

  test('gives back what is nested too deep, and sorts what is just not', () => {
    const nested = (depth: number) => `${'['.repeat(depth - 1)}{"b":1,"a":2}${']'.repeat(depth - 1)}`;
    expect(canonicalJson(nested(MAX_NESTING))).toContain('"a":2,"b":1');
    expect(canonicalJson(nested(MAX_NESTING + 1))).toContain('"b":1,"a":2');
  });
});

test('every state that a call may end in has its place', () => {
  const states: Record<ClosedCallStatus, string> = {
    succeeded: 'end',
    failed: 'end',
    denied: 'end',
    interrupted: '',
    unknown: '',
  };
  for (const [status, said] of Object.entries(states)) {
    const turn = [call('bash', 'no', { status: status as ClosedCallStatus })];
    expect(verdicts(Array(5).fill(turn)).at(-1), status).toBe(said);
  }
});
