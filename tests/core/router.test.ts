import { describe, expect, test } from 'vitest';
import type { Failure } from '../../src/core/errors.ts';
import type { Profile, Router } from '../../src/core/profile.ts';
import { DEFAULT_RETRY } from '../../src/core/retry.ts';
import {
  afterFailure,
  chooseModel,
  coolDownAfter,
  DEFAULT_COOL_DOWN,
  modelsInOrder,
  NO_TROUBLE,
  type Outlook,
  pauseAfter,
  type Route,
  strategyOf,
  type Trouble,
  waitForPause,
} from '../../src/core/router.ts';

const profileWith = (router?: Router): Profile => ({
  ...{ agent: 'build', prompt: '', tools: [], mode: 'safe', model: 'a/one' },
  ...(router === undefined ? {} : { router }),
});
const FALLBACKS = [
  { model: 'b/two', weight: 1 },
  { model: 'c/three', weight: 2 },
];
const ALL = ['a/one', 'b/two', 'c/three'];

function outlook(
  given: Partial<Outlook> & { readonly troubles?: Record<string, Partial<Trouble>> } = {},
): Outlook {
  const { troubles = {}, ...rest } = given;
  return {
    ...{ strategy: 'fallback', order: ALL, route: null, patienceMs: 60_000 },
    troubleOf: (model) => ({ ...NO_TROUBLE, ...troubles[model] }),
    ...rest,
  };
}

describe('the order of models', () => {
  test('is the one model where nothing else is said, or the strategy is single', () => {
    expect(modelsInOrder(profileWith(), 's')).toEqual(['a/one']);
    expect(strategyOf(profileWith())).toBe('single');
    const single = profileWith({ strategy: 'single', fallbacks: FALLBACKS });
    expect(modelsInOrder(single, 's')).toEqual(['a/one']);
  });

  test('is the primary, then the fallbacks as they are listed, each once', () => {
    const fallbacks = [...FALLBACKS, { model: 'a/one', weight: 1 }];
    expect(modelsInOrder(profileWith({ strategy: 'fallback', fallbacks }), 's')).toEqual(ALL);
  });

  test('is each session’s own where they are balanced, always the same, and by weight over many', () => {
    const profile = profileWith({ strategy: 'balance', weight: 5, fallbacks: FALLBACKS });
    const first = (session: number) => modelsInOrder(profile, `session ${session}`)[0];
    const sessions = Array.from({ length: 8_000 }, (_, index) => index);
    expect(sessions.slice(0, 50).map(first)).toEqual(sessions.slice(0, 50).map(first));
    const shares = ALL.map((model) => sessions.filter((session) => first(session) === model).length / 1_000);
    expect(shares.map((share) => Math.round(share * 2) / 2)).toEqual([5, 1, 2]);
  });

  test('keeps each session that is balanced where it was when another model goes', () => {
    const all = profileWith({ strategy: 'balance', fallbacks: FALLBACKS });
    const less = profileWith({ strategy: 'balance', fallbacks: FALLBACKS.slice(0, 1) });
    for (let session = 0; session < 100; session += 1) {
      const order = modelsInOrder(all, `${session}`);
      expect(modelsInOrder(less, `${session}`)).toEqual(order.filter((model) => model !== 'c/three'));
    }
  });
});

describe('the model that is asked', () => {
  test.each<[string, Parameters<typeof outlook>[0], string]>([
    ['is the first', {}, 'a/one'],
    ['is the next where that one cools down', { troubles: { 'a/one': { coolMs: 1 } } }, 'b/two'],
    [
      'is the first again when that is over, though it is on probation',
      { troubles: { 'a/one': { strikes: 3 } } },
      'a/one',
    ],
    [
      'is the first that is well',
      { troubles: { 'a/one': { coolMs: 1 }, 'b/two': { coolMs: 1 } } },
      'c/three',
    ],
    ['is none that the turn has given up', { route: { model: 'b/two', passed: ['a/one'] } }, 'b/two'],
    [
      'is the first that is left where none is well',
      {
        route: { model: 'b/two', passed: ['a/one'] },
        troubles: { 'b/two': { coolMs: 1 }, 'c/three': { coolMs: 9 } },
      },
      'b/two',
    ],
    ['is waited for while it asks to wait', { troubles: { 'a/one': { pauseMs: 60_000 } } }, 'a/one'],
    ['is not waited for too long', { troubles: { 'a/one': { pauseMs: 60_001 } } }, 'b/two'],
    [
      'is waited for where there is no other',
      { order: ['a/one'], troubles: { 'a/one': { pauseMs: 60_001 } } },
      'a/one',
    ],
    [
      'is another at once where they are balanced',
      { strategy: 'balance', troubles: { 'a/one': { pauseMs: 1 } } },
      'b/two',
    ],
    ['is the last where all were given up', { route: { model: 'c/three', passed: ALL } }, 'c/three'],
  ])('%s', (_, given, model) => {
    expect(chooseModel(outlook(given))).toBe(model);
  });
});

describe('a request that failed', () => {
  const of = (code: string, more: Partial<Failure> = {}): Failure => ({
    kind: 'retryable',
    code,
    message: 'No.',
    ...more,
  });
  const terminal = (code: string) => of(code, { kind: 'terminal' });
  const next = (
    failure: Failure,
    retries: number,
    given: Parameters<typeof outlook>[0] = {},
    model = 'a/one',
  ) =>
    afterFailure(failure, { model, retries, random: 0 }, { outlook: outlook(given), policy: DEFAULT_RETRY });
  const to = (model: string, passed = ['a/one']) => ({ do: 'fallBack', to: model, route: { model, passed } });

  test.each([
    [0, { do: 'again', delayMs: 1_000 }],
    [1, { do: 'again', delayMs: 2_000 }],
    [2, to('b/two')],
  ])('of the primary, after %i before it', (retries, expected) => {
    expect(next(of('provider_unavailable'), retries)).toEqual(expected);
  });

  test('of a fallback has tries of its own, then the next has its', () => {
    const route: Route = { model: 'b/two', passed: ['a/one'] };
    expect(next(of('stream_cut'), 1, { route }, 'b/two')).toEqual({ do: 'again', delayMs: 2_000 });
    expect(next(of('stream_cut'), 2, { route }, 'b/two')).toEqual(to('c/three', ['a/one', 'b/two']));
    const last: Route = { model: 'c/three', passed: ['a/one', 'b/two'] };
    expect(next(of('stream_cut'), 2, { route: last }, 'c/three')).toEqual({ do: 'fail' });
  });

  test.each(['provider_auth', 'provider_quota', 'bad_endpoint', 'model_not_found'])(
    'with %s falls back at once, and fails where nothing is left',
    (code) => {
      expect(next(terminal(code), 0)).toEqual(to('b/two'));
      expect(next(terminal(code), 0, { order: ['a/one'] })).toEqual({ do: 'fail' });
    },
  );

  test.each(['bad_request', 'context_overflow', 'answer_too_long'])(
    'with %s fails: no model is at fault',
    (code) => {
      expect(next(terminal(code), 0)).toEqual({ do: 'fail' });
    },
  );

  test('by a bug of Capybara’s own fails', () => {
    expect(next(of('model_bug', { kind: 'bug' }), 0)).toEqual({ do: 'fail' });
  });

  test('on probation falls back after one try, where there is another model', () => {
    const troubles = { 'a/one': { strikes: 1 } };
    expect(next(of('provider_unavailable'), 0, { troubles })).toEqual(to('b/two'));
    expect(next(of('provider_unavailable'), 0, { troubles, order: ['a/one'] })).toEqual({
      do: 'again',
      delayMs: 1_000,
    });
  });

  test('waits as long as it is asked to, up to a minute where another model can answer', () => {
    const asks = (retryAfterMs: number) => of('rate_limited', { retryAfterMs });
    expect(next(asks(60_000), 0)).toEqual({ do: 'again', delayMs: 60_000 });
    expect(next(asks(60_001), 0)).toEqual(to('b/two'));
    expect(next(asks(60_001), 0, { order: ['a/one'] })).toEqual({ do: 'again', delayMs: 60_001 });
  });

  test('for its rate goes elsewhere at once where models are balanced', () => {
    expect(next(of('rate_limited'), 0, { strategy: 'balance' })).toEqual(to('b/two'));
    expect(next(of('provider_unavailable'), 0, { strategy: 'balance' })).toMatchObject({ do: 'again' });
  });

  test('falls back to the first that is well', () => {
    const troubles = { 'b/two': { coolMs: 1 } };
    expect(next(terminal('provider_auth'), 0, { troubles })).toEqual(to('c/three'));
  });
});

describe('a model that was given up cools down', () => {
  const failure: Failure = { kind: 'retryable', code: 'provider_unavailable', message: '' };

  test('twice as long each time, up to a limit, and no less than its provider asked for', () => {
    const ms = (strikes: number, retryAfterMs = 0) =>
      coolDownAfter({ ...failure, retryAfterMs }, strikes)?.ms;
    expect([ms(0), ms(1), ms(4), ms(5)]).toEqual([30_000, 60_000, 480_000, 600_000]);
    expect([ms(0, 29_999), ms(0, 30_001)]).toEqual([30_000, 30_001]);
    expect(ms(1_000)).toBe(DEFAULT_COOL_DOWN.longestMs);
  });

  test.each([
    ['provider_auth', 'terminal', true],
    ['provider_quota', 'terminal', true],
    ['bad_endpoint', 'terminal', true],
    ['provider_unreachable', 'retryable', true],
    ['model_not_found', 'terminal', false],
    ['provider_unavailable', 'retryable', false],
    ['rate_limited', 'retryable', false],
  ] as const)('for %s, with all models of its account: %s, %s', (code, kind, isOfAccount) => {
    expect(coolDownAfter({ kind, code, message: '' }, 0)).toEqual({ ms: 30_000, isOfAccount });
  });

  test('not at all where the conversation is at fault', () => {
    expect(coolDownAfter({ kind: 'terminal', code: 'bad_request', message: '' }, 0)).toBeUndefined();
  });
});

test('those who wait for a pause come back over a quarter of it, a second at least', () => {
  expect([waitForPause(100_000, 0), waitForPause(100_000, 0.5)]).toEqual([100_000, 112_500]);
  expect([waitForPause(10, 0), waitForPause(10, 0.5)]).toEqual([10, 510]);
});

test('a rate limit is a pause for everyone: as long as the provider says, also where it says nothing, or at once', () => {
  const limited = (retryAfterMs?: number): Failure => ({
    ...{ kind: 'retryable', code: 'rate_limited', message: 'Wait.' },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
  const again = { do: 'again', delayMs: 2_300 } as const;
  const pauses = [7_000, 0, undefined].map((ms) => pauseAfter(limited(ms), again, DEFAULT_RETRY));
  expect(pauses).toEqual([7_000, 2_300, 2_300]);
  expect(pauseAfter(limited(0), { do: 'fail' }, DEFAULT_RETRY)).toBe(DEFAULT_RETRY.firstMs);
  expect(
    pauseAfter({ ...limited(7_000), code: 'provider_unavailable' }, again, DEFAULT_RETRY),
  ).toBeUndefined();
});
