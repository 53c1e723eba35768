import { expect, test } from 'vitest';
import { detectKind, kindOf } from '../../src/model/kinds.ts';

test.each([
  ['https://api.openai.com/v1', 'openai', false],
  ['https://openai.com', 'openai', false],
  ['https://eu.api.openai.com/v1', 'openai', false],
  ['https://api.anthropic.com', 'anthropic', false],
  ['http://127.0.0.1:11434', 'ollama', true],
  ['http://[::1]:11434/v1', 'ollama', true],
  ['http://localhost:11434', 'ollama', true],
  ['http://ollama:8080', 'ollama', true],
  ['http://localhost:1234/v1', 'chat', true],
  ['http://127.8.9.1:9999/v1', 'chat', true],
  ['http://localhost.:11434', 'ollama', true],
  ['http://0x7f000001:11434', 'ollama', true],
  ['http://[::ffff:127.0.0.1]:11434', 'ollama', true],
  ['http://[::ffff:126.0.0.1]:11434', 'chat', false],
  ['https://api.openai.com./v1', 'openai', false],
  ['https://openai.com.evil.example/v1', 'chat', false],
  ['https://evil.example/openai.com', 'chat', false],
  ['https://user:openai.com@evil.example', 'chat', false],
  ['https://notopenai.com/v1', 'chat', false],
  ['http://gpu.internal:11434/v1', 'chat', false],
  ['http://my-ollama:80/v1', 'chat', false],
  ['http://localhost.evil.example:11434', 'chat', false],
  ['not a url', 'chat', false],
])('%s is %s, local: %s', (address, kind, isLocal) => {
  expect(detectKind(address)).toEqual({ kind, isLocal });
});

test('what a person says comes before the name, and the name before the address', () => {
  expect(kindOf('openai', {})).toBe('openai');
  expect(kindOf('openai', { kind: 'chat' })).toBe('chat');
  expect(kindOf('openai', { baseUrl: 'http://127.0.0.1:1234/v1' })).toBe('chat');
  expect(kindOf('anthropic', { baseUrl: 'http://gateway/v1' })).toBe('anthropic');
  expect(kindOf('env', { baseUrl: 'https://api.openai.com/v1' })).toBe('openai');
  expect(kindOf('work', {})).toBe('chat');
});
