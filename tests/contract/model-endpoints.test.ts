import { describe, expect, test } from 'vitest';
import { MAX_JSON_BYTES } from '../../src/model/json-answer.ts';
import { raw, say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, eventStream, failureOf, kitOf, rawBody, serve } from './model-harness.ts';
import { chat, kinds } from './model-kinds.ts';

/** Addresses that answer, but not as the API that they were configured as. */
describe.each(kinds)('$provider', (each) => {
  const { provider, modelAt, answerTo } = kitOf(each);

  test.each([301, 302, 303, 307, 308])(
    'a redirect (%i) is not followed: nothing reaches the other host',
    async (status) => {
      const other = await serve(() => say('ok'));
      const { server, events } = await answerTo(() =>
        raw((response) => {
          response.writeHead(status, { location: `${other.url}/v1/messages?token=secret` }).end();
        }),
      );
      const failure = failureOf(events);
      expect(failure).toMatchObject({ kind: 'terminal', code: 'bad_endpoint' });
      expect(failure.message).toContain(
        ` of provider ${provider} answered with a redirect to ${other.url}/v1/messages: set that as the base URL.`,
      );
      expect(other.requests).toHaveLength(0);
      expect(server.requests).toHaveLength(1);
    },
  );

  test('a redirect within the host is not followed either, and one to nowhere says so', async () => {
    const within = await serve(() =>
      raw((response) => void response.writeHead(307, { location: '/elsewhere' }).end()),
    );
    const { message } = failureOf(await collect(modelAt(within)));
    expect(message).toContain(`redirect to ${within.url}/elsewhere: set that as the base URL.`);
    expect(within.requests).toHaveLength(1);
    const { events } = await answerTo(() => raw((response) => void response.writeHead(302).end()));
    expect(failureOf(events)).toMatchObject({ kind: 'terminal', code: 'bad_endpoint' });
    expect(failureOf(events).message).toContain('a redirect to nowhere: check its base URL.');
  });

  const json = (body: string, type = 'application/json; charset=utf-8') =>
    raw((response) => void response.writeHead(200, { 'content-type': type }).end(body));

  test.each([
    [
      { error: { message: 'No such thing.' } },
      'terminal',
      'bad_request',
      'refused the request: No such thing.',
    ],
    [{ error: 'a plain text' }, 'terminal', 'bad_request', 'refused the request: a plain text.'],
    [[{ error: { message: 'In a list' } }], 'terminal', 'bad_request', 'In a list.'],
    [{ error: { message: 'prompt is too long' } }, 'terminal', 'context_overflow', 'is too long for m-1'],
    [{ error: { message: 'no', type: 'authentication_error' } }, 'terminal', 'provider_auth', '(401)'],
    [{ error: { message: 'it timed out', code: 429 } }, 'retryable', 'rate_limited', 'it timed out.'],
    [{ type: 'error', error: { type: 'overloaded_error' } }, 'retryable', 'provider_unavailable', '(529)'],
  ])('the error %j at status 200 is that error: %s, %s', async (body, kind, code, said) => {
    const { server, events } = await answerTo(() => json(JSON.stringify(body)));
    expect(failureOf(events)).toMatchObject({ kind, code });
    expect(failureOf(events).message).toContain(said);
    expect(server.requests).toHaveLength(1);
  });

  test('an error in a list is that error', async () => {
    const { events } = await answerTo(() =>
      raw((response) => {
        response.writeHead(400, { 'content-type': 'application/json' });
        response.write('[{"error": {"mess');
        response.end('age": "The input token count (1200000) exceeds the maximum", "code": 400}}]');
      }),
    );
    expect(failureOf(events)).toMatchObject({ code: 'context_overflow' });
  });

  test.each([
    ['a whole chat completion', '{"choices":[{"message":{"content":"Hi"}}],"error":null}'],
    ['a whole message', '{"type":"message","content":[{"type":"text","text":"Hi"}]}'],
    ['half an object', '{"choices":['],
    ['nothing', ''],
  ])('%s as JSON is an endpoint that does not stream', async (_, body) => {
    const failure = failureOf((await answerTo(() => json(body))).events);
    expect(failure).toMatchObject({ kind: 'terminal', code: 'bad_endpoint' });
    expect(failure.message).toContain('answers without streaming: check its base URL.');
  });

  test('an error is searched in as many bytes as the limit, and not beyond', async () => {
    const text = '{"error":{"message":"Found"}}';
    for (const [more, code] of [
      [0, 'bad_request'],
      [1, 'bad_endpoint'],
    ] as const) {
      const { events } = await answerTo(() => json(text.padEnd(MAX_JSON_BYTES + more)));
      expect(failureOf(events).code).toBe(code);
    }
  });

  test('an event stream under the name of JSON is read as what it is', async () => {
    const whole = (await rawBody(each, say('Done.'))).toString();
    const { events } = await answerTo(() => json(`\n\n${whole}`));
    expect(answerOf(events).parts).toEqual([{ type: 'text', text: 'Done.' }]);
  });
});

test.each([[{ index: 0 }], ['bash'], [[null]], [['bash']], [[[]]], [7]])(
  'tool calls like %j are told in words',
  async (tool_calls) => {
    const chunk = { choices: [{ index: 0, delta: { tool_calls }, finish_reason: null }] };
    const body = `data: ${JSON.stringify(chunk)}\n\n`;
    const { events } = await kitOf(chat).answerTo(() => raw(eventStream(body)));
    expect(failureOf(events)).toEqual({
      kind: 'retryable',
      code: 'stream_cut',
      message: 'The stream of Provider env held tool calls that are no list of objects.',
      mayHaveCost: true,
    });
  },
);
