/** How much a model is to think: one setting of ours, each provider's own words. */
import { describe, expect, test } from 'vitest';
import type { Effort } from '../../src/core/profile.ts';
import { requestWithin } from '../../src/model/within.ts';
import { stream } from '../support/oci-server.ts';
import { say } from '../support/scripted-model/scripted-model.ts';
import { kitOf, requestOf } from './model-harness.ts';
import type { Fields } from './model-kind.ts';
import { kinds } from './model-kinds.ts';
import { ask } from './model-oci-harness.ts';

const thinks = (effort: string) => ({
  thinking: { type: 'adaptive', display: 'summarized' },
  output_config: { effort },
});
const WORDS: Readonly<Record<string, Readonly<Partial<Record<Effort, Fields>>>>> = {
  anthropic: {
    none: { thinking: { type: 'disabled' } },
    ...{ minimal: thinks('low'), high: thinks('high'), xhigh: thinks('xhigh') },
  },
  openai: { none: { reasoning: { effort: 'none' } }, xhigh: { reasoning: { effort: 'xhigh' } } },
  chat: { minimal: { reasoning_effort: 'minimal' }, high: { reasoning_effort: 'high' } },
  ollama: {
    ...{ none: { think: false }, minimal: { think: 'low' } },
    ...{ medium: { think: 'medium' }, max: { think: 'high' } },
  },
  oci: {
    none: { chatRequest: { reasoningEffort: 'MINIMAL' } },
    max: { chatRequest: { reasoningEffort: 'HIGH' } },
  },
};

describe.each(kinds)('$kind', (each) => {
  const { answerTo } = kitOf(each);

  test.each(Object.entries(WORDS[each.kind] ?? {}))('is told of %s', async (effort, fields) => {
    const { server } = await answerTo(() => say('ok'), requestOf({ effort: effort as Effort }));
    expect(server.requests[0]?.body).toMatchObject(fields);
  });

  test('is told nothing where nobody says how much', async () => {
    const { server } = await answerTo(() => say('ok'));
    for (const field of ['thinking', 'output_config', 'reasoning', 'reasoning_effort', 'think'])
      expect(server.requests[0]?.body).not.toHaveProperty(field);
  });
});

test.each([
  ['command-a-reasoning', 'none', { thinking: { type: 'DISABLED' } }],
  ['command-a-reasoning', 'low', { thinking: { type: 'ENABLED' } }],
] as const)('Oracle’s %s is told of %s', async (model, effort, fields) => {
  const { sent } = await ask(
    model,
    (response) => stream(response, [{ finishReason: 'stop' }]),
    requestOf({ effort }),
  );
  expect(sent?.body.chatRequest).toMatchObject(fields);
});

test('a model that takes none is told of none', () => {
  const asked = requestOf({ effort: 'high' });
  expect(requestWithin(asked, { effort: false })).not.toHaveProperty('effort');
  expect(requestWithin(asked, {})).toMatchObject({ effort: 'high' });
});
