import { describe, expect, test } from 'vitest';
import type { Failure } from '../../src/core/errors.ts';
import { DEFAULT_RETRY, retryDelay, TAKEOVER_BACKOFF_MS } from '../../src/core/retry.ts';

const FAILURE: Failure = { kind: 'retryable', code: 'provider_unavailable', message: 'No.' };
const delay = (state: { retries?: number; random?: number }, failure: Partial<Failure> = {}) =>
  retryDelay({ ...FAILURE, ...failure }, { retries: 0, random: 0, ...state });

describe('retryDelay', () => {
  test('doubles with each failure, from one second', () => {
    expect([delay({ retries: 0 }), delay({ retries: 1 })]).toEqual([1_000, 2_000]);
  });

  test('ends after three tries', () => {
    expect([delay({ retries: 1 }), delay({ retries: 2 })]).toEqual([2_000, undefined]);
  });

  test('spreads over a quarter more', () => {
    expect(delay({ random: 0.5 })).toBe(1_125);
    expect(delay({ random: 0.999_999 })).toBe(1_250);
  });

  test('is never shorter than what the provider asked for, nor than its own', () => {
    expect(delay({}, { retryAfterMs: 30_000 })).toBe(30_000);
    expect(delay({ random: 0.999_999 }, { retryAfterMs: 30_000 })).toBe(37_500);
    expect(delay({}, { retryAfterMs: 0 })).toBe(1_000);
  });

  test('grows up to a minute, unless the provider asks for more', () => {
    const policy = { ...DEFAULT_RETRY, tries: 100 };
    const pause = (retries: number, retryAfterMs = 0) =>
      retryDelay({ ...FAILURE, retryAfterMs }, { retries, random: 0 }, policy);
    expect([pause(5), pause(6), pause(98)]).toEqual([32_000, 60_000, 60_000]);
    expect(pause(98, 3_600_000)).toBe(3_600_000);
  });

  test.each(['terminal', 'cancelled', 'bug'] as const)('is none for a failure that is %s', (kind) => {
    expect(delay({}, { kind, retryAfterMs: 1 })).toBeUndefined();
  });
});

test('a turn that loses its worker is tried at once, then later each time, and after four more tries no more', () => {
  expect(TAKEOVER_BACKOFF_MS).toEqual([0, 1_000, 5_000, 30_000]);
});
