import { expect, test } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import type { Prices } from '../../src/core/provider.ts';
import { dearestOf, estimateTokens, isDearer, requestTokens } from '../../src/core/request-size.ts';

const said = (position: number, text: string): Entry => ({
  kind: 'user',
  position,
  parts: [{ type: 'text', text }],
});
const answer = (position: number): Entry => ({
  ...{ kind: 'assistant', position, stopReason: 'stop' },
  parts: [{ type: 'text', text: 'x'.repeat(400) }],
});
const count = estimateTokens;
const request = { system: 'x'.repeat(40), tools: [] };

test('a first request is counted whole', () => {
  expect(requestTokens(request, { resent: 0, entries: [said(1, 'x'.repeat(80))], count })).toBe(
    10 + 1 + 4 + 20,
  );
});

test('of one that goes on only what nobody has counted', () => {
  const entries = [said(1, 'x'.repeat(4_000)), answer(2), said(3, 'x'.repeat(8))];
  expect(requestTokens(request, { resent: 1_234, entries, count })).toBe(1_234 + 4 + 2);
});

test('the dearest of several models is what is reserved by; unknown where one of them is', () => {
  const [one, other] = [
    { input: 3, output: 10 },
    { input: 1, output: 15, cacheWrite: 4 },
  ];
  expect(dearestOf([one])).toEqual(one);
  expect(dearestOf([one, other])).toEqual({ input: 4, output: 15 });
  expect(dearestOf([one, undefined])).toBeNull();
  const dearer = (prices: Prices, than: Prices | null) => isDearer(prices, than, 101);
  expect([dearer(one, other), dearer(other, one), dearer(one, one), dearer(one, null)]).toEqual([
    ...[false, true, false, true],
  ]);
  const long = { ...one, long: { above: 100, input: 6, output: 12 } };
  expect(dearestOf([long, other])).toEqual({
    ...{ input: 4, output: 15 },
    long: { above: 100, input: 6, output: 15 },
  });
  expect([isDearer(long, one, 100), dearer(long, one), dearer(one, long)]).toEqual([false, true, false]);
});
