import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createOciModel } from '../../src/model/oci.ts';
import { PROFILE, pem } from '../support/oci-server.ts';
import { type Body, behindAnswer, type Fields, type Kind, SSE } from './model-kind.ts';

/** Oracle's cloud, in the format that all but Cohere's models speak. */

/** A profile that signs until the test ends. */
function profile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'capybara-oci-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'config'), PROFILE);
  writeFileSync(join(directory, 'key.pem'), pem());
  return join(directory, 'config');
}

const message = (more: Fields): Fields => ({ index: 0, message: { role: 'ASSISTANT', ...more } });
const isAssistant = ({ role }: Body) => role === 'ASSISTANT';
const text = (said: string) => ({ type: 'TEXT', text: said });

export const oci: Kind = {
  provider: 'oracle',
  kind: 'oci',
  create: (options) => createOciModel({ ...options, oci: { ociConfig: profile(), ...options.oci } }),
  path: '/20231130/actions/chat',
  baseUrl: (url) => url,
  ends: ['', '/', '/20231130', '/20231130/', '/20231130/actions/chat'],
  plainBody: {
    compartmentId: 'c',
    servingMode: { servingType: 'ON_DEMAND', modelId: 'm-1' },
    chatRequest: {
      ...{ apiFormat: 'GENERIC', isStream: true },
      messages: [{ role: 'USER', content: [text('x')] }],
    },
  },
  limitsIn: ({ chatRequest: { temperature, maxTokens } }) => ({ temperature, maxTokens }),
  optional: ['temperature', 'tools', 'maxTokens', 'reasoningEffort'].map((name) => `chatRequest.${name}`),
  defaultMaxTokens: undefined,
  sentId: (id) => id,
  reasoningIn: ({ chatRequest }) => chatRequest.messages.find(isAssistant).reasoningContent,
  reasoning: 'Hm.',
  argumentsIn: ({ chatRequest }) => JSON.parse(chatRequest.messages.find(isAssistant).toolCalls[0].arguments),
  newestIn: ({ chatRequest }) => behindAnswer(chatRequest.messages, isAssistant),
  imagesOf: (callId, said, images) => {
    const shown = images.map(({ mediaType, base64 }) => ({
      ...{ type: 'IMAGE', imageUrl: { url: `data:${mediaType};base64,${base64}` } },
    }));
    const whose = text(`Returned by the tool call ${callId}, not sent by the user:`);
    return [
      { role: 'TOOL', toolCallId: callId, content: [text(said)] },
      ...(images.length === 0 ? [] : [{ role: 'USER', content: [whose, ...shown] }]),
    ];
  },
  overflow: "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
  ...SSE,
  endMark: '"finishReason"',
  broken: 'data: {"index": \n\n',
  lacks: ['key', 'images of unknown models', 'a seal by its address'],
  pieces: {
    head: [message({ toolCalls: [{ id: 'id', type: 'FUNCTION', name: 'ls' }] })],
    tail: [{ finishReason: 'stop' }],
    text: (said) => message({ content: [text(said)] }),
    reasoning: (reasoningContent) => message({ reasoningContent }),
    arguments: (args) => message({ toolCalls: [{ type: 'FUNCTION', arguments: args }] }),
    nothing: message({}),
    call: (_, id, name, args) =>
      message({ toolCalls: [{ id, type: 'FUNCTION', name, arguments: JSON.stringify(args) }] }),
    counted: (count) => [
      message({ content: [text('ok')] }),
      { finishReason: 'stop' },
      { usage: { promptTokens: count, completionTokens: count } },
    ],
  },
};
