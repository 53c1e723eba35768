import { expect, test } from 'vitest';
import { durationText } from '../../src/core/duration.ts';

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
