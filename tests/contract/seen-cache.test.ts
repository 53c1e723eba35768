import { describe, expect, it } from 'vitest';
import type { Entry, SeenFile } from '../../src/core/entry.ts';
import { SEEN_SESSIONS, SeenCache } from '../../src/worker/seen-cache.ts';
import { CallSeen, MAX_SEEN_FILES } from '../../src/workspace/seen-files.ts';

/** The result of a call that showed or made these; a number takes the log back to that position. */
function logOf(...steps: (readonly SeenFile[] | number)[]): Entry[] {
  return steps.map((step, index) => {
    const position = index + 1;
    if (typeof step === 'number') return { kind: 'revert', position, parts: [], to: step };
    const noted = step.length === 0 ? {} : { noted: { seen: step } };
    return {
      kind: 'tool_result',
      position,
      callId: `c${position}`,
      parts: [],
      status: 'succeeded',
      ...noted,
    };
  });
}

/** Counts how often it is looked into. */
function watched(entry: Entry): { readonly entry: Entry; reads: number } {
  const watch = {
    reads: 0,
    entry: new Proxy(entry, {
      get: (of, key) => {
        watch.reads += 1;
        return Reflect.get(of, key);
      },
    }),
  };
  return watch;
}

const whole = (entries: readonly Entry[]) => ({ entries, told: entries.length });
const versions = (cache: SeenCache, entries: readonly Entry[], told = entries.length) => {
  const seen = cache.of('s', { entries, told });
  return ['a', 'b'].map((path) => seen.versionOf(path));
};

describe('SeenCache', () => {
  it('knows the last version of each file that a log tells of, and nothing of one that is gone', () => {
    const log = logOf(
      [['a', '1']],
      [],
      [
        ['a', '2'],
        ['b', '1'],
      ],
      [['b']],
    );
    expect(versions(new SeenCache(), log)).toEqual(['2', undefined]);
  });

  it('knows the same of a log, whether it saw it grow or reads it for the first time', () => {
    const log = logOf([['a', '1']], [['b', '1']], 1, [['a', '2']], 2, [['b', '2']], [['a']], 6);
    const growing = new SeenCache();
    for (let length = 0; length <= log.length; length++) {
      const entries = log.slice(0, length);
      expect(versions(growing, entries)).toEqual(versions(new SeenCache(), entries));
    }
    expect(versions(growing, log)).toEqual(['1', '2']);
  });

  it('takes back what a person took back', () => {
    const log = logOf(
      [['a', '1']],
      [
        ['a', '2'],
        ['b', '1'],
      ],
      1,
    );
    const cache = new SeenCache();
    expect(versions(cache, log.slice(0, 2))).toEqual(['2', '1']);
    expect(versions(cache, log)).toEqual(['1', undefined]);
  });

  it('keeps nothing of results that Postgres has not told: another attempt may write others', () => {
    const cache = new SeenCache();
    const first = logOf([['a', '1']], [['a', '2']]);
    expect(versions(cache, first, 1)).toEqual(['2', undefined]);
    const second = [...first.slice(0, 1), ...logOf([], [['b', '1']]).slice(1)];
    expect(versions(cache, second, 1)).toEqual(['1', '1']);
    expect(versions(cache, second)).toEqual(['1', '1']);
  });

  it('reads a log that it knows otherwise from its beginning', () => {
    const cache = new SeenCache();
    versions(cache, logOf([['a', '1']], [['b', '1']]));
    expect(versions(cache, logOf([['a', '3']], []))).toEqual(['3', undefined]);
    expect(versions(cache, logOf([['a', '4']]))).toEqual(['4', undefined]);
  });

  it('reads of a log that it knows only what is new', () => {
    const cache = new SeenCache();
    const log = logOf([['a', '1']], [['b', '1']]) as [Entry, Entry];
    const first = watched(log[0]);
    versions(cache, [first.entry]);
    expect(first.reads).toBeGreaterThan(0);
    first.reads = 0;
    expect(versions(cache, [first.entry, log[1]])).toEqual(['1', '1']);
    expect(first.reads).toBe(0);
  });

  it('knows which ignored files were there last, as a result or a notice says', () => {
    const ignoredIn = (cache: SeenCache, entries: readonly Entry[], told: number) =>
      cache.of('s', { entries, told }).ignored;
    const result = { kind: 'tool_result', callId: 'c', parts: [], status: 'succeeded' } as const;
    const log: Entry[] = [
      { ...result, position: 1, noted: { ignored: ['a/', 'b'] } },
      { ...result, position: 2 },
      { kind: 'notice', position: 3, parts: [], noted: { ignored: ['b'] } },
      { ...result, position: 4, noted: { ignored: [] } },
      { kind: 'revert', position: 5, parts: [], to: 2 },
    ];
    const expected = [[], ['a/', 'b'], ['a/', 'b'], ['b'], [], ['a/', 'b']];
    const growing = new SeenCache();
    for (const [length, ignored] of expected.entries()) {
      expect(ignoredIn(growing, log.slice(0, length), length)).toEqual(ignored);
      expect(ignoredIn(new SeenCache(), log.slice(0, length), length)).toEqual(ignored);
    }
    for (const told of [0, 1, 2, 3]) expect(ignoredIn(new SeenCache(), log.slice(0, 4), told)).toEqual([]);
  });

  it('remembers as many sessions as its limit, the last ones', () => {
    const cache = new SeenCache();
    const logs = new Map<string, ReturnType<typeof watched>>();
    const knows = (session: string) => {
      const log = logs.get(session) ?? watched(logOf([['a', '1']])[0] as Entry);
      logs.set(session, log);
      log.reads = 0;
      cache.of(session, whole([log.entry]));
      return log.reads === 0;
    };
    for (let number = 0; number < SEEN_SESSIONS; number++) knows(`s${number}`);
    expect(knows('s0')).toBe(true);
    knows('one more');
    expect(knows('s0')).toBe(true);
    expect(knows('s1')).toBe(false);
  });

  it('knows of as many files as its limit, those that were seen last', () => {
    const seen = Array.from({ length: MAX_SEEN_FILES }, (_, number) => [`${number}`, 'v'] as const);
    const full = new SeenCache().of('s', whole(logOf(seen)));
    expect([full.versionOf('0'), full.versionOf('1')]).toEqual(['v', 'v']);
    const over = new SeenCache().of('s', whole(logOf(seen, [['one more', 'v']])));
    expect([over.versionOf('0'), over.versionOf('1'), over.versionOf('one more')]).toEqual([
      undefined,
      'v',
      'v',
    ]);
  });
});

describe('CallSeen', () => {
  const before = new Map([
    ['a', '1'],
    ['dir/b', '1'],
  ]);
  const open = () => new CallSeen('/place/files', { versionOf: (path) => before.get(path) });

  it('knows what was seen before, by paths that mean the same wherever the files are', () => {
    expect([open().versionOf('/place/files/a'), open().versionOf('/place/files/dir/b')]).toEqual(['1', '1']);
  });

  it('notes what the call saw or made last, in that order', () => {
    const seen = open();
    seen.note('/place/files/a', '2');
    seen.note('/place/files/dir/b', undefined);
    seen.note('/place/files/a', '3');
    expect(seen.noted).toEqual([['dir/b'], ['a', '3']]);
    expect([seen.versionOf('/place/files/a'), seen.versionOf('/place/files/dir/b')]).toEqual([
      '3',
      undefined,
    ]);
  });

  it('names a file as the disk does where its name can neither be stored nor be on a disk', () => {
    const seen = open();
    seen.note('/place/files/\ud800x', '1');
    expect(seen.noted).toEqual([['\ufffdx', '1']]);
    expect(seen.versionOf('/place/files/\ufffdx')).toBe('1');
  });
});
