/** Providers, names of models and agents in settings: maps whose names people choose. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MAX_MODEL_SECONDS, MAX_NAMES } from '../../src/config/maps.ts';
import { type LoadOptions, loadConfig } from '../../src/config.ts';
import { createModels } from '../../src/model/providers.ts';

let home: string;
let userFile: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'capybara-config-'));
  userFile = join(home, '.config', 'capybara', 'config.yaml');
  mkdirSync(dirname(userFile), { recursive: true });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function load(options: LoadOptions = {}) {
  return loadConfig({ env: {}, cwd: home, home, ...options });
}

const YAML = `
providers:
  openai:
    apiKey: sk-own
    headers: {x-team: a}
  work:
    kind: chat
    baseUrl: https://models.internal/v1
    apiKeyVariable: WORK_KEY
    requestsPerMinute: 60
    models:
      small/v1.5: {contextTokens: 32000, prices: {input: 0.5, output: 2}}
aliases: {fast: work/small}
agents:
  docs:
    prompt: Write the docs.
    model: fast
    fallbacks: [openai/gpt-5.5, {model: work/large, weight: 3}]
profiles:
  home:
    providers:
      work: {kind: ollama}
`;

test('the example of the README is one', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
  writeFileSync(userFile, yaml);
  writeFileSync(join(dirname(userFile), 'docs-prompt.md'), 'Write.');
  const { config } = load({ env: { WORK_KEY: 'key-of-work' } });
  expect(config.model).toBe('work/large');
  expect(config.agents).toMatchObject({
    build: { fallbacks: [{ model: 'small', weight: 1 }], effort: 'high', limits: { usd: 5 } },
    docs: { like: 'ask', prompt: 'Write.' },
  });
  const models = createModels(config.providers, config);
  // The limit of its agent in usd holds for both.
  const prices = ['work/large', 'small'].map((name) => models.resolve(name).info.prices);
  expect(prices).toMatchObject([{ input: 3, cacheWrite: 3.75 }, { input: 0 }]);
});

test('a map stands in YAML as itself, beside the settings that have keys of their own', () => {
  writeFileSync(userFile, YAML);
  const { config, shown } = load({ env: { WORK_KEY: ' key-of-work ' } });
  expect(config.providers).toEqual({
    openai: { apiKey: 'sk-own', headers: { 'x-team': 'a' } },
    work: {
      kind: 'chat',
      baseUrl: 'https://models.internal/v1',
      apiKey: 'key-of-work',
      apiKeyVariable: 'WORK_KEY',
      requestsPerMinute: 60,
      models: { 'small/v1.5': { contextTokens: 32_000, prices: { input: 0.5, output: 2 } } },
    },
  });
  expect(config.aliases).toEqual({ fast: 'work/small' });
  expect(config.agents).toEqual({
    docs: {
      prompt: 'Write the docs.',
      model: 'fast',
      fallbacks: [
        { model: 'openai/gpt-5.5', weight: 1 },
        { model: 'work/large', weight: 3 },
      ],
    },
  });
  expect(shown).toMatchObject({ providers: 'openai, work', aliases: 'fast', agents: 'docs' });
});

test('a name that several places define is taken from the first, whole; the others stay', () => {
  writeFileSync(userFile, YAML);
  expect(load({ profile: 'home' }).config.providers.work).toEqual({ kind: 'ollama' });
  const env = {
    CAPYBARA_PROVIDERS: '{"work": {"kind": "anthropic"}, "more": {"baseUrl": "http://more/v1"}}',
    OPENAI_API_KEY: 'sk-env',
  };
  const { providers } = load({ env, profile: 'home' }).config;
  expect(providers).toMatchObject({
    work: { kind: 'anthropic' },
    more: { baseUrl: 'http://more/v1' },
    openai: { apiKey: 'sk-env', headers: { 'x-team': 'a' } },
  });
});

test('nothing is set where nothing is said, and one load does not change another', () => {
  expect(load({ env: { OPENAI_API_KEY: 'one' } }).config.providers).toEqual({ openai: { apiKey: 'one' } });
  expect(load().config).toMatchObject({ providers: {}, aliases: {}, models: {}, agents: {} });
});

test.each([
  ['{', 'must be a map of at most'],
  ['[]', 'must be a map of at most'],
  ['{"a b": {}}', 'providers.a b is wrong'],
  ['{"a": {"kind": "other"}}', 'providers.a.kind is wrong'],
  ['{"a": {"apiKey": "planted key"}}', 'providers.a.apiKey is wrong: expected a key of printable ASCII'],
  ['{"a": {"baseUrl": "planted:11434"}}', 'providers.a.baseUrl is wrong: expected an address that begins'],
  ['{"a": {"basUrl": 1}}', 'providers.a has no setting "basUrl"; the nearest one is "baseUrl"'],
  [
    '{"a": {"models": {"m": {"contextToken": 1}}}}',
    'providers.a.models.m has no setting "contextToken"; the nearest one is "contextTokens"',
  ],
  [
    '{"a": {"models": {"m": {"prices": {"input": 1, "output": 1, "long": {"abov": 1}}}}}}',
    'providers.a.models.m.prices.long has no setting "abov"; the nearest one is "above"',
  ],
  ['{"a": {"headers": {"x y": "planted"}}}', 'providers.a.headers.x y is wrong'],
])('what is wrong in one is named, and never quoted: %s', (raw, said) => {
  expect(() => load({ env: { CAPYBARA_PROVIDERS: raw } })).toThrow(said);
  expect(() => load({ env: { CAPYBARA_PROVIDERS: raw } })).not.toThrow(/planted/);
});

test('an unknown setting of an agent, and of a file, is answered with the nearest', () => {
  const agents = '{"docs": {"limits": {"turn": 3}}}';
  expect(() => load({ env: { CAPYBARA_AGENTS: agents } })).toThrow(
    'CAPYBARA_AGENTS (environment): agents.docs.limits has no setting "turn"; the nearest one is "turns".',
  );
  writeFileSync(userFile, 'agents:\n  docs:\n    promt: x\n');
  expect(() => load()).toThrow(
    `agents (${userFile}, line 3): agents.docs has no setting "promt"; the nearest one is "prompt".`,
  );
});

test('a provider that nobody knows says who answers there', () => {
  writeFileSync(userFile, 'model: a/b\nproviders:\n  opnai:\n    apiKey: planted\n');
  expect(() => load()).toThrow(
    `providers.opnai (${userFile}, line 4) must have a kind or a baseUrl; only anthropic, openai, env need none.`,
  );
});

test('what is said of models has their names, with what belongs to them', () => {
  writeFileSync(
    userFile,
    'models:\n  org/small-1.5: {contextTokens: 9, prices: {input: 1, output: 2, long: {above: 5, input: 2, output: 3}}}\n',
  );
  const prices = { input: 1, output: 2, long: { above: 5, input: 2, output: 3 } };
  expect(load().config.models).toEqual({ 'org/small-1.5': { contextTokens: 9, prices } });
  expect(() => load({ env: { CAPYBARA_MODELS: '{"a": {"contextTokens": 0}}' } })).toThrow(
    'models.a.contextTokens is wrong',
  );
});

test('a provider’s own waiting times are from a second to five minutes', () => {
  const of = (firstTokenSeconds: number) => ({
    env: { CAPYBARA_PROVIDERS: JSON.stringify({ openai: { firstTokenSeconds, idleSeconds: 300 } }) },
  });
  for (const seconds of [1, MAX_MODEL_SECONDS])
    expect(load(of(seconds)).config.providers.openai?.firstTokenSeconds).toBe(seconds);
  for (const seconds of [0, MAX_MODEL_SECONDS + 1, 1.5])
    expect(() => load(of(seconds))).toThrow('providers.openai.firstTokenSeconds is wrong');
});

test('has so many names and no more', () => {
  const aliases = (count: number) => {
    const names = Array.from({ length: count }, (_, number) => [`a${number}`, 'x/y']);
    return { CAPYBARA_ALIASES: JSON.stringify(Object.fromEntries(names)) };
  };
  expect(Object.keys(load({ env: aliases(MAX_NAMES) }).config.aliases)).toHaveLength(MAX_NAMES);
  expect(() => load({ env: aliases(MAX_NAMES + 1) })).toThrow(`at most ${MAX_NAMES}`);
});

test('a directory sets none of them', () => {
  writeFileSync(join(home, '.env'), 'CAPYBARA_PROVIDERS={"evil":{"baseUrl":"http://evil/v1"}}\n');
  expect(load().config.providers).toEqual({});
  mkdirSync(join(home, '.capybara'));
  writeFileSync(join(home, '.capybara', 'config.yaml'), 'providers: {evil: {kind: chat}}\n');
  expect(() => load()).toThrow('may not be set by a project');
});
