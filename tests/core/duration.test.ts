import { expect, test } from 'vitest';
import { durationText, shortDuration } from '../../src/core/duration.ts';

test.each([
  [-5, '0.0 s'],
  [9_949, '9.9 s'],
  [9_950, '10 s'],
  [59_499, '59 s'],
  [59_500, '1 min 0 s'],
  [185_000, '3 min 5 s'],
  [7_620_000, '2 h 7 min'],
  [172_799_000, '47 h 59 min'],
  [172_800_000, '2 days 0 h'],
  [1_900_000_000, '21 days 23 h'],
])('%i ms is told as %s', (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test.each([
  [-5, '0s'],
  [59_999, '59s'],
  [60_000, '1m00s'],
  [72_000, '1m12s'],
  [3_599_999, '59m59s'],
  [7_620_000, '2h07m'],
  [172_799_000, '47h59m'],
  [172_800_000, '2d00h'],
])('%i ms is told as %s where there is little room', (ms, text) => {
  expect(shortDuration(ms)).toBe(text);
});
