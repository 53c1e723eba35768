import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { SEEN_SESSIONS, SeenCache } from '../../src/worker/seen-cache.ts';

/** A log of answers: `c` with a call, which its result follows; `t` with a text alone, which a prompt follows. */
function logOf(answers: string): Entry[] {
  const entries: Entry[] = [];
  const add = (entry: object) => entries.push({ position: entries.length + 1, ...entry } as Entry);
  const call = { type: 'tool', callId: 'x', name: 'look', arguments: '' };
  for (const answer of answers) {
    add({
      kind: 'assistant',
      parts: answer === 'c' ? [call] : [{ type: 'text', text: '' }],
      stopReason: 'stop',
    });
    if (answer === 'c') add({ kind: 'tool_result', callId: 'x', parts: [], status: 'succeeded' });
    else add({ kind: 'user', parts: [] });
  }
  return entries;
}

/** As a worker asks for it that runs the calls of the last answer. */
const seenAt = (cache: SeenCache, answers: string) => {
  const entries = logOf(answers).slice(0, -1);
  return cache.of('s', { entries, answerPosition: entries.length });
};

describe('SeenCache', () => {
  it('knows from turn to turn what was seen in turns that ran here', () => {
    const cache = new SeenCache();
    const seen = seenAt(cache, 'c');
    expect(seenAt(cache, 'c')).toBe(seen);
    expect(seenAt(cache, 'cc')).toBe(seen);
    expect(seenAt(cache, 'ccttc')).toBe(seen);
  });

  it('forgets all where calls ran elsewhere meanwhile', () => {
    const cache = new SeenCache();
    const seen = seenAt(cache, 'c');
    const after = seenAt(cache, 'ccc');
    expect(after).not.toBe(seen);
    expect(seenAt(cache, 'cccc')).toBe(after);
  });

  it('remembers as many sessions as its limit, the last ones', () => {
    const cache = new SeenCache();
    const log = { entries: logOf('c'), answerPosition: 1 };
    const first = cache.of('s0', log);
    const second = cache.of('s1', log);
    for (let number = 2; number < SEEN_SESSIONS; number++) cache.of(`s${number}`, log);
    expect(cache.of('s0', log)).toBe(first);
    cache.of('one more', log);
    expect(cache.of('s0', log)).toBe(first);
    expect(cache.of('s1', log)).not.toBe(second);
  });
});
