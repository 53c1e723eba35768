/**
 * The real services, where their keys are in the environment under names that nobody has by accident: each test is one cheap
 * request or two. `CAPYBARA_TEST_REAL_OPENAI_KEY`, `CAPYBARA_TEST_REAL_ANTHROPIC_KEY`, and `CAPYBARA_TEST_REAL_CHAT_URL` with
 * `…_CHAT_KEY` for any compatible endpoint; `…_MODEL` beside each names the model.
 */
import { describe, expect, test } from 'vitest';
import { createAnthropicModel } from '../../src/model/anthropic.ts';
import { createChatModel } from '../../src/model/chat.ts';
import type { Model, ModelMessage } from '../../src/model/model.ts';
import { createOpenAiModel } from '../../src/model/openai.ts';
import { pngOf } from '../support/images.ts';
import { answerOf, collect, failureOf, requestOf, textIn } from './model-harness.ts';

const read = (name: string) => process.env[`CAPYBARA_TEST_REAL_${name}`]?.trim() ?? '';

const services = [
  { name: 'OPENAI', create: createOpenAiModel, model: 'gpt-5.5', needs: 'OPENAI_KEY' },
  { name: 'ANTHROPIC', create: createAnthropicModel, model: 'claude-opus-5-5', needs: 'ANTHROPIC_KEY' },
  { name: 'CHAT', create: createChatModel, model: '', needs: 'CHAT_URL' },
];

const tools = [
  {
    name: 'look',
    description: 'Takes a picture of what is on the desk, and shows it.',
    parameters: { type: 'object', properties: { reason: { type: 'string' } }, required: ['reason'] },
  },
];

for (const { name, create, model, needs } of services) {
  const isHere = read(needs) !== '';
  if (!isHere)
    process.stdout.write(`The real ${name} is not asked: CAPYBARA_TEST_REAL_${needs} is not set.\n`);

  describe.skipIf(!isHere)(`the real ${name}`, { timeout: 120_000 }, () => {
    const at = (more: { apiKey?: string; model?: string } = {}): Model =>
      create({
        ...{ provider: 'real', model: read(`${name}_MODEL`) || model, apiKey: read(`${name}_KEY`) },
        ...(read(`${name}_URL`) === '' ? {} : { baseUrl: read(`${name}_URL`) }),
        ...more,
      });

    test('streams an answer and counts its tokens', async () => {
      const messages: ModelMessage[] = [{ role: 'user', text: 'Answer with the one word: capybara' }];
      const events = await collect(at(), requestOf({ messages, maxTokens: 2_000 }));
      expect(textIn(events, 'text')).toMatch(/capybara/i);
      const { usage } = answerOf(events);
      expect(Math.min(usage.input, usage.output)).toBeGreaterThan(0);
    });

    test('takes back what it answered, with the result of its call and an image', async () => {
      const messages: ModelMessage[] = [
        { role: 'user', text: 'Call the tool `look` once. Then answer with the word done.' },
      ];
      const asked = answerOf(await collect(at(), requestOf({ messages, tools, maxTokens: 4_000 })));
      const calls = asked.parts.filter((part) => part.type === 'tool');
      expect(calls.map((part) => part.name)).toEqual(['look']);
      messages.push({ role: 'assistant', parts: asked.parts });
      const hash = 'a'.repeat(64);
      const file = { type: 'file', mediaType: 'image/png', hash, name: 'desk.png' } as const;
      for (const { callId } of calls) {
        const shown = [{ ...file, bytes: 1, width: 1, height: 1 }];
        messages.push({ role: 'tool', callId, text: 'A picture.', isError: false, images: shown });
      }
      const images = new Map([[hash, Buffer.from(pngOf().toString('base64'))]]);
      const events = await collect(at(), requestOf({ messages, tools, images, maxTokens: 4_000 }));
      expect(textIn(events, 'text')).toMatch(/done/i);
    });

    test('tells a wrong key and an unknown model apart', async () => {
      const wrongKey = failureOf(await collect(at({ apiKey: 'sk-no-such-key-0123456789' })));
      expect(wrongKey.code).toBe('provider_auth');
      const unknown = failureOf(await collect(at({ model: 'no-such-model' })));
      expect(['model_not_found', 'bad_request']).toContain(unknown.code);
    });
  });
}
