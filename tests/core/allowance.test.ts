import { expect, test } from 'vitest';
import { allowancesOf, MOST_PER_MINUTE } from '../../src/model/allowance.ts';

const keyOf = (config: { apiKey?: string; baseUrl?: string }) => allowancesOf({ work: config }).work?.key;

test('a limit is shared by those that have the same address and key, and tells nothing of the key', () => {
  const one = { apiKey: 'sk-one', baseUrl: 'https://models.internal/v1' };
  expect(keyOf(one)).toBe(keyOf({ ...one, apiKey: ' sk-one ' }));
  expect(keyOf(one)).toMatch(/^[0-9a-f]{16}$/);
  const others = [
    keyOf({ ...one, apiKey: 'sk-two' }),
    keyOf({ ...one, baseUrl: 'https://other/v1' }),
    keyOf({}),
  ];
  expect(new Set([keyOf(one), ...others]).size).toBe(4);
});

test('a provider has the limits of its settings, up to what is counted to', () => {
  const work = {
    kind: 'chat',
    requestsPerMinute: MOST_PER_MINUTE,
    tokensPerMinute: MOST_PER_MINUTE + 1,
  } as const;
  expect(allowancesOf({ work, open: { kind: 'chat' } })).toEqual({
    work: {
      key: expect.any(String),
      requestsPerMinute: MOST_PER_MINUTE,
      tokensPerMinute: MOST_PER_MINUTE,
      countsCached: true,
    },
    open: { key: expect.any(String), countsCached: true },
  });
});

test('what is read from a cache counts everywhere but at Anthropic', () => {
  const { anthropic, openai } = allowancesOf({ anthropic: { apiKey: 'a' }, openai: { apiKey: 'o' } });
  expect([anthropic?.countsCached, openai?.countsCached]).toEqual([false, true]);
});
