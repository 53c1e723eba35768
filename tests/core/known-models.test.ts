import { describe, expect, test } from 'vitest';
import { pricesFor } from '../../src/core/provider.ts';
import { DEFAULT_MAX_TOKENS } from '../../src/model/anthropic.ts';
import { knownModel, knownModels, namesOf, parseKnownModels, saidOf } from '../../src/model/known-models.ts';
import { offersOf, WELL_KNOWN } from '../../src/model/makers.ts';
import { settingsOf, timeoutsOf } from '../../src/model/model-settings.ts';
import { requestWithin } from '../../src/model/within.ts';

const at = (maker?: string) => ({ maker, isLocal: false });

describe('the kept data', () => {
  test('is dated, names each model once for its maker, and has no number that cannot be', () => {
    const { asOf, models } = knownModels();
    expect(asOf).toMatch(/^20\d\d-\d\d-\d\d$/);
    const names = models.flatMap((known) => known.names.map((name) => `${known.maker} ${name}`));
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    for (const { names, contextTokens, outputTokens, prices } of models) {
      if (contextTokens && outputTokens)
        expect([names, outputTokens <= contextTokens]).toEqual([names, true]);
      const { cachedInput, input, output, long } = prices ?? { input: 1, output: 1 };
      expect([names, (cachedInput ?? 0) <= input, output > 0, (long?.input ?? input) >= input]).toEqual([
        ...[names, true, true, true],
      ]);
    }
  });

  test('knows the models that are taken where none is named', () => {
    expect(knownModel(at('anthropic'), 'claude-opus-5-5')).toEqual({
      ...{ contextTokens: 1_000_000, outputTokens: 128_000, images: true, temperature: false },
      prices: { input: 4, cachedInput: 0.2, cacheWrite: 5, output: 20 },
    });
    expect(knownModel(at('openai'), 'gpt-5.5').prices).toEqual({
      ...{ input: 5, cachedInput: 0.5, output: 30 },
      long: { above: 272_000, input: 10, cachedInput: 1, output: 45 },
    });
  });

  test.each([
    ['claude-opus-4-5-20251101', 64_000],
    ['claude-opus-4-20250514', 32_000],
    ['claude-opus-4-0', 32_000],
    ['gpt-5.5-2026-04-23', 128_000],
    ['gpt-4o-2024-05-13', 4_096],
    ['gpt-4o-2024-08-06', 16_384],
    ['anthropic/claude-opus-4.5:free', 64_000],
    ['openai/gpt-5.5', 128_000],
    ['Claude-Opus-5-5', 128_000],
    ['gpt-5.5-fast', undefined],
    ['gpt-5', 128_000],
    ['gpt-5-other', undefined],
    ['claude-opus-4-9', undefined],
    ['claude-opus-4-5-20251101-x', undefined],
    ['', undefined],
  ])('a name is known by itself or before a date, and never by a part of another: %s', (name, output) => {
    expect(knownModel(at(), name).outputTokens).toBe(output);
  });

  test('prices hold at their maker alone, and lengths not on one’s own machine', () => {
    const { prices, ...rest } = knownModel(at('anthropic'), 'claude-haiku-4-5');
    expect(prices).toBeDefined();
    expect(knownModel(at(), 'claude-haiku-4-5')).toEqual(rest);
    expect(knownModel(at('openai'), 'claude-haiku-4-5')).toEqual({});
    expect(knownModel({ maker: undefined, isLocal: true }, 'claude-haiku-4-5')).toEqual({
      ...{ images: true, temperature: true },
    });
    expect(namesOf('anthropic')).toContain('claude-opus-4');
    expect(namesOf(undefined)).toEqual([]);
  });

  test.each([
    ['', 'no date'],
    ['# As of: 2026-01-01\nmaker,names\n', 'other columns'],
    [
      '# As of: 2026-01-01\nmaker,names,context,output,images,temperature,above,input,cached,write,answer\nx,y,1\n',
      'no line of the kept data: x,y,1',
    ],
    [
      '# As of: 2026-01-01\nmaker,names,context,output,images,temperature,above,input,cached,write,answer\nx,y,many,,,,,,,,\n',
      'no number in the kept data: many',
    ],
  ])('a file that is none is refused', (text, said) => {
    expect(() => parseKnownModels(text)).toThrow(said);
  });
});

describe('whose models are where', () => {
  test.each([
    ['anthropic', {}, 'anthropic', false],
    ['openai', {}, 'openai', false],
    ['openai', { baseUrl: 'https://gateway.internal/v1' }, undefined, false],
    ['work', { baseUrl: 'https://api.anthropic.com' }, 'anthropic', false],
    ['work', { baseUrl: 'https://api.x.ai/v1' }, 'xai', false],
    ['work', { baseUrl: 'https://api.x.ai.evil.example/v1' }, undefined, false],
    ['work', { baseUrl: 'http://127.0.0.1:1234/v1' }, undefined, true],
    ['work', { kind: 'ollama' as const, baseUrl: 'http://gpu.internal:11434' }, undefined, true],
    ['work', { kind: 'ollama' as const }, undefined, true],
  ])('%s %j', (name, config, maker, isLocal) => {
    expect(offersOf(name, config)).toEqual({ maker, isLocal });
  });

  test('those that can be named without their address have one', () => {
    for (const [name, { baseUrl, maker }] of Object.entries(WELL_KNOWN)) {
      expect([name, offersOf(name, { baseUrl }).maker]).toEqual([name, maker]);
    }
  });
});

describe('what holds for a model', () => {
  test('is what a person says of it at its provider, then of all of its name, then the kept data', () => {
    const config = { models: { 'gpt-5.5': { contextTokens: 5 }, other: { images: false } } };
    const models = { 'gpt-5.5': { contextTokens: 6, outputTokens: 7 }, 'gpt-5': { images: false } };
    const found = settingsOf('openai', config, { model: 'gpt-5.5-2026-04-23', models });
    expect(found).toMatchObject({ contextTokens: 5, outputTokens: 7, images: true, prices: { input: 5 } });
    expect(settingsOf('openai', config, { model: 'nobody-knows' })).toEqual({});
  });

  test('is said by provider and model, too, before what is said of all of its name', () => {
    const models = {
      'work/large': { contextTokens: 1 },
      large: { contextTokens: 2, outputTokens: 3 },
      'org/large': { images: false },
    };
    const of = (provider: string, model: string) => settingsOf(provider, {}, { model, models });
    expect(of('work', 'large-2026-01-01')).toEqual({ contextTokens: 1, outputTokens: 3 });
    expect(of('other', 'large')).toEqual({ contextTokens: 2, outputTokens: 3 });
    expect(of('other', 'org/large')).toEqual({ images: false });
  });

  test('costs nothing where it was recorded', () => {
    expect(settingsOf('again', { kind: 'replay' }, { model: 'recording' })).toEqual({
      prices: { input: 0, output: 0 },
    });
  });

  test('is said of the longest name that fits', () => {
    const said = [['a', 1] as const, ['a-2024', 2] as const];
    expect(saidOf(said, 'a-2024')).toBe(2);
    expect(saidOf(said, 'a-2023')).toBe(1);
    expect(saidOf(said, 'ab')).toBeUndefined();
  });

  test('waits for its first words as long as its provider says, then all, then a minute, or five on this machine', () => {
    const local = { baseUrl: 'http://localhost:1234/v1' };
    expect(timeoutsOf('openai', {})).toEqual({});
    expect(timeoutsOf('env', local)).toEqual({ firstTokenMs: 300_000 });
    expect(timeoutsOf('env', local, { firstTokenMs: 7, idleMs: 8 })).toEqual({ firstTokenMs: 7, idleMs: 8 });
    const said = { ...local, firstTokenSeconds: 2, idleSeconds: 3 };
    expect(timeoutsOf('env', said, { firstTokenMs: 7 })).toEqual({ firstTokenMs: 2_000, idleMs: 3_000 });
  });
});

describe('what a request is paid for with', () => {
  const prices = { input: 1, output: 2, cachedInput: 0.5, long: { above: 100, input: 3, output: 4 } };

  test('is the price of its length, all of it', () => {
    expect(pricesFor(prices, 100)).toEqual({ input: 1, output: 2, cachedInput: 0.5 });
    expect(pricesFor(prices, 101)).toEqual({ input: 3, output: 4 });
    expect(pricesFor({ input: 1, output: 2 }, 1e9)).toEqual({ input: 1, output: 2 });
  });
});

describe('a request', () => {
  const request = { system: '', messages: [], tools: [], trace: { sessionId: 's', taskId: 't', turn: 1 } };
  const within = (more: object, info: object) => {
    const { temperature, maxTokens } = requestWithin({ ...request, ...more }, info);
    return { temperature, maxTokens };
  };

  test('has no temperature where its model refuses one, and 0 is one', () => {
    expect(within({ temperature: 0 }, {}).temperature).toBe(0);
    expect(within({ temperature: 0.7 }, { temperature: true }).temperature).toBe(0.7);
    expect(Object.keys(requestWithin({ ...request, temperature: 0 }, { temperature: false }))).not.toContain(
      'temperature',
    );
  });

  test('asks for no longer an answer than its model can give, whoever chose the length', () => {
    expect(within({ maxTokens: 9 }, { outputTokens: 8 }).maxTokens).toBe(8);
    expect(within({ maxTokens: 7 }, { outputTokens: 8 }).maxTokens).toBe(7);
    expect(within({ maxTokens: 7 }, {}).maxTokens).toBe(7);
    expect(within({}, { outputTokens: DEFAULT_MAX_TOKENS }).maxTokens).toBeUndefined();
    expect(within({}, { outputTokens: DEFAULT_MAX_TOKENS - 1 }).maxTokens).toBe(DEFAULT_MAX_TOKENS - 1);
  });
});
