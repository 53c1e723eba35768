import { describe, expect, test } from 'vitest';
import { messagesOf } from '../../src/core/context.ts';
import type { Entry, FilePart, NewEntry } from '../../src/core/entry.ts';
import { IMAGE_LIMITS } from '../../src/core/images.ts';
import type { ModelMessage } from '../../src/model/model.ts';
import { createModels } from '../../src/model/providers.ts';
import { imageMark, Transcript } from '../../src/model/transcript.ts';
import { gifOf, jpegOf, pngOf, WEBP } from '../support/images.ts';
import { say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, failureOf, kitOf, requestOf } from './model-harness.ts';
import { anthropic, chat, kinds, openai } from './model-kinds.ts';

const BYTES = {
  'image/png': pngOf(),
  'image/jpeg': jpegOf(),
  'image/gif': gifOf(),
  'image/webp': WEBP.lossy,
} as const;
const TYPES = Object.keys(BYTES) as (keyof typeof BYTES)[];

const base64 = (bytes: Buffer) => Buffer.from(bytes.toString('base64'));

function image(mediaType: keyof typeof BYTES): FilePart {
  const hash = String(TYPES.indexOf(mediaType)).repeat(64);
  return { type: 'file', mediaType, hash, name: 'a', bytes: 1, width: 1, height: 1 };
}

const images = new Map(TYPES.map((type) => [image(type).hash, base64(BYTES[type])]));

function asked(...callIds: string[]): ModelMessage {
  const parts = callIds.map((callId) => ({ type: 'tool' as const, callId, name: 'look', arguments: '{}' }));
  return { role: 'assistant', parts };
}

const seen = (callId: string, ...types: (keyof typeof BYTES)[]): ModelMessage => ({
  ...{ role: 'tool', callId, text: `seen ${callId}`, isError: false },
  ...(types.length === 0 ? {} : { images: types.map(image) }),
});

describe.each(kinds)('$provider', (each) => {
  const { provider, create, answerTo, modelAt } = kitOf(each);
  const sentFor = async (messages: readonly ModelMessage[]) => {
    const { server, events } = await answerTo(() => say('ok'), requestOf({ messages, images }));
    answerOf(events);
    expect(server.refusals).toEqual([]);
    return server.requests[0];
  };

  test('is sent the images of a result behind its words, in its own format', async () => {
    const request = await sentFor(
      [asked('a'), seen('a', ...TYPES)].toSpliced(0, 0, { role: 'user', text: 'Go.' }),
    );
    expect(request?.images.map(({ mediaType }) => mediaType)).toEqual(TYPES);
    const shown = TYPES.map((type) => ({ mediaType: type, base64: BYTES[type].toString('base64') }));
    expect(each.newestIn(request?.body)).toEqual(each.imagesOf('a', 'seen a', shown));
  });

  test('is sent those of several results in their order, behind all of them and before what is said then', async () => {
    const request = await sentFor([
      { role: 'user', text: 'Go.' },
      asked('a', 'b', 'c'),
      seen('a', 'image/png'),
      seen('b'),
      seen('c', 'image/gif', 'image/png'),
      { role: 'user', text: 'And?' },
    ]);
    expect(request?.images.map(({ mediaType }) => mediaType)).toEqual([
      'image/png',
      'image/gif',
      'image/png',
    ]);
    expect(request?.lastToolResults.map(({ callId, text }) => [callId, text])).toEqual(
      ['a', 'b', 'c'].map((id) => [id, `seen ${id}`]),
    );
    if (each !== chat) return;
    const messages = each.newestIn(request?.body);
    expect(messages.map(({ role }: { role: string }) => role)).toEqual(['tool', 'tool', 'tool', 'user']);
    expect(
      messages[3].content.map((part: { type: string; text?: string }) => part.text ?? part.type),
    ).toEqual([
      'Returned by the tool call a, not sent by the user:',
      'image_url',
      'Returned by the tool call c, not sent by the user:',
      'image_url',
      'image_url',
      'And?',
    ]);
  });

  test('is sent those of the person before their words, apart from those of a result', async () => {
    const first = { role: 'user' as const, text: 'Look.', images: [image('image/gif')] };
    const then = { role: 'user' as const, text: 'And this?', images: [image('image/webp')] };
    const request = await sentFor([first, asked('a'), seen('a', 'image/png'), then]);
    expect(request?.images.map(({ mediaType }) => mediaType)).toEqual([
      'image/gif',
      'image/png',
      'image/webp',
    ]);
    const types = (content: { type: string; text?: string }[]) =>
      content.map(({ type, text }) => text ?? type);
    if (each === openai) {
      const { input } = request?.body ?? {};
      expect([input[0], input.at(-1)].map(({ content }) => types(content))).toEqual([
        ['input_image', 'Look.'],
        ['input_image', 'And this?'],
      ]);
    }
    if (each !== chat && provider !== 'anthropic') return;
    const [opening] = request?.body.messages.filter(({ role }: { role: string }) => role === 'user') ?? [];
    expect(types(opening.content)).toEqual([provider === 'anthropic' ? 'image' : 'image_url', 'Look.']);
    const newest = each.newestIn(request?.body).at(-1)?.content;
    if (provider === 'anthropic') expect(types(newest)).toEqual(['tool_result', 'image', 'And this?']);
    else {
      const whose = 'Returned by the tool call a, not sent by the user:';
      expect(types(newest)).toEqual([whose, 'image_url', 'Sent by the user:', 'image_url', 'And this?']);
    }
  });

  test('is sent what it was sent before where there are none', async () => {
    const plain = [{ role: 'user' as const, text: 'Go.' }, asked('a'), seen('a')];
    expect(each.newestIn((await sentFor(plain))?.body)).toEqual(each.imagesOf('a', 'seen a', []));
  });

  test('takes one of the greatest size', async () => {
    const bytes = pngOf({ bytes: IMAGE_LIMITS.bytes });
    const messages = [{ role: 'user' as const, text: 'Go.' }, asked('a'), seen('a', 'image/png')];
    const request = requestOf({ messages, images: new Map([[image('image/png').hash, base64(bytes)]]) });
    const { server, events } = await answerTo(() => say('ok'), request);
    answerOf(events);
    expect(Buffer.from(server.requests[0]?.images[0]?.base64 ?? '', 'base64').equals(bytes)).toBe(true);
  });

  test('fails where the bytes of one are not there', async () => {
    const messages = [{ role: 'user' as const, text: 'Go.' }, asked('a'), seen('a', 'image/png')];
    const { events } = await answerTo(() => say('ok'), requestOf({ messages }));
    expect(failureOf(events)).toMatchObject({
      ...{ kind: 'bug', code: 'model_bug', mayHaveCost: false },
      message: expect.stringContaining(`names the image ${image('image/png').hash}, and does not have it`),
    });
  });

  test('is sent the same bytes as the conversation grows as if it were new', async () => {
    const { server } = await answerTo(() => say('ok'));
    const warm = modelAt(server);
    const messages: ModelMessage[] = [{ role: 'user', text: 'Go.' }];
    for (const [index, type] of TYPES.entries()) {
      messages.push(asked(`c${index}`), seen(`c${index}`, type, 'image/png'));
      for (const model of [warm, modelAt(server)])
        answerOf(await collect(model, requestOf({ messages, images })));
      const [cold, before] = [server.requests.at(-1), server.requests.at(-2)];
      expect(JSON.stringify(cold?.body)).toBe(JSON.stringify(before?.body));
      expect(cold?.images).toHaveLength(2 * (index + 1));
    }
  });

  test('takes images unless it is said that it does not', () => {
    const options = { provider, model: 'm' };
    expect(
      [create(options), create({ ...options, images: false })].map(({ takesImages }) => takesImages),
    ).toEqual([!each.lacks.includes('images of unknown models'), false]);
    expect(
      createModels(
        { [provider]: { apiKey: 'k', kind: each.kind, baseUrl: 'http://127.0.0.1:1' } },
        { images: false },
      ).resolve(`${provider}/m`),
    ).toMatchObject({
      takesImages: false,
    });
  });
});

test('an image of a call that failed is shown to Anthropic, which takes none in what it is told failed', async () => {
  const failed = { text: 'Failed.', isError: true, images: [image('image/png')] };
  const messages: ModelMessage[] = [
    { role: 'user', text: 'Go.' },
    asked('c1'),
    { role: 'tool', callId: 'c1', ...failed },
  ];
  const { server, events } = await kitOf(anthropic).answerTo(
    () => say('ok'),
    requestOf({ messages, images }),
  );
  answerOf(events);
  expect(server.requests[0]?.images).toHaveLength(1);
});

describe('a transcript', () => {
  const wire = (round: object) => [
    JSON.parse(JSON.stringify(round, (key, value) => (key === 'hash' ? imageMark(value) : value))),
  ];
  const whole = (pieces: readonly Uint8Array[]) => Buffer.concat(pieces).toString();

  const entries: Entry[] = TYPES.flatMap((type): NewEntry[] => [
    {
      kind: 'assistant',
      parts: [{ type: 'tool', callId: 'a', name: 'look', arguments: '{}' }],
      stopReason: 'tool_calls',
    },
    {
      ...{ kind: 'tool_result', callId: 'a', status: 'succeeded' },
      parts: [{ type: 'text', text: 'Grüße 😀' }, image(type), image('image/png')],
    },
  ]).map((entry, index) => ({ ...entry, position: index + 1 }));

  test('puts each image in its place, also behind characters of several bytes, and copies none', () => {
    const transcript = new Transcript(wire);
    for (let length = 1; length <= entries.length; length += 1) {
      const messages = messagesOf(entries.slice(0, length));
      const pieces = transcript.requestOf({ model: 'm' }, { messages, images });
      const anew = messagesOf(entries.slice(0, length).map((entry) => ({ ...entry })));
      expect(whole(pieces)).toBe(
        whole(new Transcript(wire).requestOf({ model: 'm' }, { messages: anew, images })),
      );
      const hashes = messages
        .flatMap((each) => (each.role === 'tool' ? (each.images ?? []) : []))
        .map(({ hash }) => hash);
      const given = new Set<Uint8Array>(images.values());
      expect(pieces.filter((piece) => given.has(piece))).toEqual(hashes.map((hash) => images.get(hash)));
      const sent = JSON.parse(whole(pieces)).messages;
      expect(JSON.stringify(sent)).not.toContain('image-');
      expect(
        JSON.stringify(sent).match(
          new RegExp(BYTES['image/png'].toString('base64').replace(/[+/]/g, '\\$&'), 'g'),
        )?.length ?? 0,
      ).toBe(hashes.filter((hash) => hash === image('image/png').hash).length);
    }
  });

  test('takes no words for an image', () => {
    const text = `image-00000000-0000-0000-0000-000000000000-${image('image/png').hash}`;
    const request = new Transcript(wire).requestOf({ model: 'm' }, { messages: [{ role: 'user', text }] });
    expect(JSON.parse(whole(request)).messages[0].texts).toEqual([text]);
  });
});
