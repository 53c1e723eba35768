import { expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { createModels } from '../../src/model/providers.ts';
import { say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, requestOf, serve } from './model-harness.ts';

const anthropic = { apiKey: 'key-a' };
const openai = { apiKey: 'key-o' };
const env = { baseUrl: 'http://127.0.0.1:1/v1' };

function refusal(act: () => unknown): UserError {
  try {
    act();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

test('a name with a configured provider before the slash is a model there', () => {
  const models = createModels({ anthropic, openai, env });
  expect(models.resolve('openai/gpt-x').name).toBe('openai/gpt-x');
  expect(models.resolve('env/org/model:free').name).toBe('env/org/model:free');
  expect(models.resolve(' anthropic/claude-x ').name).toBe('anthropic/claude-x');
});

test('with one provider any other name is a model there, slashes included', () => {
  const models = createModels({ env });
  expect(models.resolve('qwen3').name).toBe('env/qwen3');
  expect(models.resolve('openai/gpt-x').name).toBe('env/openai/gpt-x');
  expect(models.resolve('/odd').name).toBe('env//odd');
});

test('at its own address a provider has no model of another provider', () => {
  for (const [providers, found, name] of [
    [{ anthropic }, 'anthropic', 'openai/gpt-x'],
    [{ openai }, 'openai', 'anthropic/claude-x'],
    [{ openai }, 'openai', '/odd'],
  ] as const) {
    const error = refusal(() => createModels(providers).resolve(name));
    expect(error.code).toBe('unknown_model');
    expect(error.message).toContain(`Model "${name}" names no configured provider (found: ${found})`);
  }
  expect(refusal(() => createModels({ anthropic }, { model: 'openai/x' }).resolve()).code).toBe(
    'unknown_model',
  );
});

test('behind a gateway of the user a slash belongs to the name of the model', () => {
  const gateway = { ...openai, baseUrl: 'http://127.0.0.1:1/v1' };
  const models = createModels({ openai: gateway });
  expect(models.resolve('anthropic/claude-x').name).toBe('openai/anthropic/claude-x');
  expect(models.resolve('openai/gpt-x').name).toBe('openai/gpt-x');
});

test('with several providers a name without one is refused with their names', () => {
  const error = refusal(() => createModels({ anthropic, env }).resolve('org/model'));
  expect(error.code).toBe('unknown_model');
  expect(error.message).toBe(
    'Model "org/model" names no configured provider (found: anthropic, env): write it as provider/model.',
  );
});

test('a provider alone stands for its own choice, and one that has none is told so', () => {
  const models = createModels({ anthropic, env });
  expect(models.resolve('anthropic').name).toBe('anthropic/claude-opus-5-5');
  expect(refusal(() => models.resolve('env')).message).toBe(
    'No model was named, and provider env has none of its own choice: set CAPYBARA_MODEL or pass --model; ' +
      '`capybara models list` has what there is.',
  );
  expect(createModels({ env }).resolve('env').name).toBe('env/env');
});

test('a provider without a model after it is refused', () => {
  expect(refusal(() => createModels({ openai }).resolve('openai/ ')).code).toBe('no_model');
});

test('without a provider the variables to set are named', () => {
  for (const providers of [{}, { openai: { apiKey: ' ' }, env: {} }]) {
    const error = refusal(() => createModels(providers, { model: 'x' }).resolve());
    expect(error.code).toBe('no_provider');
    for (const name of [
      'ANTHROPIC_API_KEY',
      'OPENAI_API_KEY',
      'CAPYBARA_MODEL_ENDPOINT',
      'CAPYBARA_MODEL_API_KEY',
    ]) {
      expect(error.message).toContain(name);
    }
    expect(error.message).toMatch(/CAPYBARA_MODEL to/);
  }
});

test('the configured model is used where none is named, and only there', () => {
  const models = createModels({ openai }, { model: 'gpt-configured' });
  expect(models.resolve().name).toBe('openai/gpt-configured');
  expect(models.resolve(' ').name).toBe('openai/gpt-configured');
  expect(models.resolve('gpt-named').name).toBe('openai/gpt-named');
});

test('a provider with models of its own has a default; an endpoint has none', () => {
  expect(createModels({ anthropic }).resolve().name).toMatch(/^anthropic\/claude-/);
  expect(createModels({ openai }).resolve().name).toMatch(/^openai\/gpt-/);
  const error = refusal(() => createModels({ env }).resolve());
  expect(error.code).toBe('no_model');
  expect(error.message).toContain('set CAPYBARA_MODEL or pass --model');
  expect(refusal(() => createModels({ anthropic, openai }).resolve()).code).toBe('no_model');
});

test('an alias stands for a model, or for another alias, also where it is what is configured', () => {
  const aliases = { fast: ' quick ', quick: 'openai/gpt-small', constructor: 'env/m' };
  const models = createModels({ openai, env }, { aliases, model: 'fast' });
  expect(models.resolve('quick').name).toBe('openai/gpt-small');
  expect(models.resolve('fast').name).toBe('openai/gpt-small');
  expect(models.resolve().name).toBe('openai/gpt-small');
  expect(models.resolve('constructor').name).toBe('env/m');
  expect(refusal(() => createModels({ openai, env }).resolve('toString')).code).toBe('unknown_model');
});

test('an alias that leads in a circle, or to nothing, is refused with its way', () => {
  const aliases = { a: 'b', b: 'c', c: 'b', self: 'self', lost: 'other/m', empty: 'openai/' };
  const models = createModels({ openai, env }, { aliases });
  const circle = refusal(() => models.resolve('a'));
  expect(circle.code).toBe('alias_cycle');
  expect(circle.message).toContain('The alias a names no model, it leads in a circle (a → b → c → b):');
  expect(refusal(() => models.resolve('self')).message).toContain('(self → self)');
  const lost = refusal(() => models.resolve('lost'));
  expect(lost.code).toBe('unknown_model');
  expect(lost.message).toBe(
    'The alias lost stands for other/m. Model "other/m" names no configured provider (found: openai, env): write it as ' +
      'provider/model.',
  );
  expect(refusal(() => models.resolve('empty')).code).toBe('no_model');
});

test('a provider on this machine needs no key, and one without an address is not taken for OpenAI', () => {
  const models = createModels({ home: { baseUrl: 'http://localhost:1234/v1' } });
  expect(models.resolve('qwen').name).toBe('home/qwen');
  for (const [name, setting] of [
    ['work', 'providers.work.baseUrl'],
    ['env', 'CAPYBARA_MODEL_ENDPOINT'],
  ] as const) {
    const error = refusal(() => createModels({ [name]: { apiKey: 'k', kind: 'chat' } }).resolve('m'));
    expect(error.message).toBe(`Provider ${name} has no address: set ${setting} to its URL.`);
  }
});

test('a model knows what is kept of it and what is said of it, and is asked for no more', async () => {
  const server = await serve(() => say('ok'));
  const gateway = { apiKey: 'k', baseUrl: server.url, models: { 'claude-sonnet-4-5': { outputTokens: 9 } } };
  const models = createModels(
    { anthropic: gateway },
    { models: { 'claude-sonnet-4-5': { outputTokens: 10, contextTokens: 99, temperature: false } } },
  );
  const model = models.resolve('claude-sonnet-4-5-20250929');
  expect(models.resolve('claude-haiku-4-5').takesImages).toBe(true);
  expect(createModels({ anthropic: gateway }, { images: false }).resolve('m').takesImages).toBe(false);
  const blind = { models: { m: { images: false } }, images: true };
  expect(createModels({ anthropic: gateway }, blind).resolve('m').takesImages).toBe(false);
  expect(model.info).toEqual({ contextTokens: 99, outputTokens: 9, images: true, temperature: false });
  await collect(model, requestOf({ temperature: 0.5, maxTokens: 100 }));
  await collect(models.resolve('m'), requestOf({ temperature: 0.5, maxTokens: 100 }));
  const asked = server.requests.map(({ body }) => [body.max_tokens, body.temperature]);
  expect(asked).toEqual([
    [9, undefined],
    [100, 0.5],
  ]);
});

test('the configured providers are listed without their keys', () => {
  const models = createModels({ anthropic, env: { ...env, apiKey: 'key-e' } });
  expect(models.list()).toEqual([
    { provider: 'anthropic', kind: 'anthropic', defaultModel: expect.stringMatching(/^anthropic\//) },
    { provider: 'env', kind: 'chat', baseUrl: 'http://127.0.0.1:1/v1' },
  ]);
});

test('a resolved model asks the configured endpoint with the configured key', async () => {
  const server = await serve(() => say('ok'), { apiKey: 'key-e' });
  const models = createModels({ env: { baseUrl: server.baseUrl, apiKey: 'key-e' } });
  expect(models.resolve('m-1')).toBe(models.resolve('env/m-1'));
  expect(answerOf(await collect(models.resolve('m-1'))).model).toBe('m-1');
});
