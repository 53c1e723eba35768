import { describe, expect, test } from 'vitest';
import { MAX_SENT_ID, wireId } from '../../src/model/history.ts';
import {
  bearer,
  chatIds,
  isOpenAi,
  MAX_CHAT_ID,
  methodBase,
  shortId,
  takesTemperature,
} from '../../src/model/openai-servers.ts';

/** What is known of a server by its address. */
const CHAT = '/chat/completions';
const AZURE = 'https://team.openai.azure.com';

test.each([
  ['http://127.0.0.1:1234', 'http://127.0.0.1:1234/v1'],
  ['https://openrouter.ai/api/v1/', 'https://openrouter.ai/api/v1'],
  ['https://openrouter.ai/api/v1/chat/completions', 'https://openrouter.ai/api/v1'],
  [
    'https://generativelanguage.googleapis.com/v1beta/openai/',
    'https://generativelanguage.googleapis.com/v1beta/openai',
  ],
  ['https://gateway.example/v1?team=a', 'https://gateway.example/v1?team=a'],
  [AZURE, `${AZURE}/openai/v1`],
  [`${AZURE}/openai`, `${AZURE}/openai/v1`],
  [`${AZURE}/openai/v1/`, `${AZURE}/openai/v1`],
  [`${AZURE}?api-version=2024-10-21`, `${AZURE}/openai/deployments/my%20gpt?api-version=2024-10-21`],
  [`${AZURE}/openai/deployments/d?api-version=v`, `${AZURE}/openai/deployments/d?api-version=v`],
  [`${AZURE}/openai/deployments/d${CHAT}?api-version=v`, `${AZURE}/openai/deployments/d?api-version=v`],
  ['not a url', 'not a url'],
])('%s leads to the methods at %s', (given, base) => {
  expect(methodBase(given, CHAT, 'my gpt')).toBe(base);
});

test('a key goes to Azure under its own name, and only there', () => {
  expect(bearer('k', `${AZURE}/openai/v1`)).toEqual({ 'api-key': 'k' });
  for (const address of ['https://api.openai.com/v1', 'https://openai.azure.com.evil.example', 'x'])
    expect(bearer('k', address)).toEqual({ authorization: 'Bearer k' });
  expect(bearer(undefined, AZURE)).toEqual({});
});

test.each([
  ['https://api.openai.com/v1', true],
  ['https://eu.api.openai.com/v1', true],
  [`${AZURE}/openai/v1`, true],
  ['https://team.services.ai.azure.com/models', false],
  ['https://api.openai.com.evil.example/v1', false],
  ['http://127.0.0.1/openai/v1', false],
])('at %s the models are OpenAI’s own: %s', (address, expected) => {
  expect(isOpenAi(address)).toBe(expected);
});

describe('a temperature', () => {
  const at = (model: string, baseUrl: string, temperature?: boolean) =>
    takesTemperature(model, { baseUrl, settings: temperature === undefined ? {} : { temperature } });

  test('is left out for OpenAI’s models that reason, and sent to the others', () => {
    const takes = (model: string) => at(model, 'https://api.openai.com/v1');
    expect(['gpt-5.5', 'o3-mini', 'o1', 'gpt-6', 'codex-mini-latest', 'GPT-5'].filter(takes)).toEqual([]);
    const others = ['gpt-4.1', 'gpt-4o', 'gpt-5-chat-latest', 'chatgpt-4o-latest', 'omni'];
    expect(others.filter(takes)).toEqual(others);
    expect(at('gpt-5.5', 'https://openrouter.ai/api/v1')).toBe(true);
  });

  test('goes by what is known of the model before its name', () => {
    expect(at('gpt-5.5', 'https://api.openai.com/v1', true)).toBe(true);
    expect(at('llama', 'http://127.0.0.1/v1', false)).toBe(false);
  });
});

describe('the id of a call', () => {
  test('is short enough for OpenAI, the same at every turn, and as it was anywhere else', () => {
    const [most, more] = ['x'.repeat(MAX_CHAT_ID), 'x'.repeat(MAX_CHAT_ID + 1)];
    const own = chatIds('https://api.openai.com/v1');
    expect(own(most)).toBe(most);
    expect(own(more)).toMatch(/^call_[0-9a-f]{32}$/);
    expect(own(more)).toBe(own(more));
    expect(own(`${more}y`)).not.toBe(own(more));
    expect(chatIds('https://gateway.example/v1')(more)).toBe(more);
    expect(shortId('x'.repeat(MAX_SENT_ID))).toHaveLength(MAX_SENT_ID);
    expect(shortId('x'.repeat(MAX_SENT_ID + 1))).toHaveLength(37);
    expect(shortId('functions.ls:0')).toMatch(/^call_/);
    expect(wireId('.'.repeat(MAX_SENT_ID))).toBe('_'.repeat(MAX_SENT_ID));
    expect(wireId('.'.repeat(MAX_SENT_ID + 1))).toHaveLength(37);
  });

  test('has nine letters and digits at Mistral', () => {
    const ids = chatIds('https://api.mistral.ai/v1');
    expect(ids('a1B2c3D4e')).toBe('a1B2c3D4e');
    expect(ids('call_1')).toMatch(/^[0-9a-f]{9}$/);
  });
});
