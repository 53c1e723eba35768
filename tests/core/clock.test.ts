import { expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';

test('ids are UUIDs of version 7, and say when they were made', () => {
  const id = newId(() => 0x0123_4567_89ab);
  expect(id).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('ids that are made in the same millisecond are in the order in which they were', () => {
  for (let ms = 1; ms < 20; ms += 1) {
    const ids = Array.from({ length: 3_000 }, () => newId(() => ms));
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  }
});
