import { expect, test } from 'vitest';
import { likely, nearest } from '../../src/core/nearest.ts';

test('the nearest is always one, and likely only where little is wrong', () => {
  const names = ['status', 'session', 'limit'];
  expect(nearest('xyz', names)).toBe('limit');
  expect(['stats', 'Sesion', 'limt', 'lmit'].map((name) => likely(name, names))).toEqual([
    ...['status', 'session', 'limit', 'limit'],
  ]);
  expect(['xyz', 'st', 'sessions-of'].map((name) => likely(name, names))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect([likely('a', ['b']), likely('up', ['us']), likely('a', [])]).toEqual([undefined, 'us', undefined]);
});
