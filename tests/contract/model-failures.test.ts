import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { keyVariableOf } from '../../src/model/failure.ts';
import { call, cut, error, raw, say, startScriptedModel } from '../support/scripted-model/scripted-model.ts';
import {
  answerOf,
  collect,
  eventStream,
  failureOf,
  KEY,
  kitOf,
  rawBody,
  serve,
  textIn,
} from './model-harness.ts';
import { kinds } from './model-kinds.ts';

describe.each(kinds)('$provider', (each) => {
  const { provider, create, modelAt, answerTo } = kitOf(each);

  test.each([
    [401, 'terminal', 'provider_auth'],
    [403, 'terminal', 'provider_auth'],
    [402, 'terminal', 'provider_quota'],
    [404, 'terminal', 'model_not_found'],
    [400, 'terminal', 'bad_request'],
    [422, 'terminal', 'bad_request'],
    [413, 'terminal', 'context_overflow'],
    [408, 'retryable', 'provider_unavailable'],
    [409, 'retryable', 'provider_unavailable'],
    [429, 'retryable', 'rate_limited'],
    [500, 'retryable', 'provider_unavailable'],
    [502, 'retryable', 'provider_unavailable'],
    [503, 'retryable', 'provider_unavailable'],
    [504, 'retryable', 'provider_unavailable'],
    [529, 'retryable', 'provider_unavailable'],
  ])('status %i is %s: %s', async (status, kind, code) => {
    const { server, events } = await answerTo(() => error(status, { message: `no, and ${KEY} is\nsecret` }));
    expect(failureOf(events)).toMatchObject({ kind, code, mayHaveCost: false });
    expect(server.requests).toHaveLength(1);
  });

  test('a rate limit says when to come back', async () => {
    const { events } = await answerTo(() => error(429, { retryAfter: 7 }));
    expect(failureOf(events)).toMatchObject({ code: 'rate_limited', retryAfterMs: 7000 });
  });

  test('an error page instead of JSON is still a failure of its status', async () => {
    const { events } = await answerTo(() =>
      raw((response) => void response.writeHead(503).end('<h1>Bad</h1>')),
    );
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'provider_unavailable' });
  });

  test('a conversation that is too long is recognised', async () => {
    const { events } = await answerTo(() => error(400, { message: each.overflow }));
    expect(failureOf(events)).toMatchObject({ kind: 'terminal', code: 'context_overflow' });
  });

  const withKey = test.skipIf(each.lacks.includes('key'));

  withKey('a wrong key is told with the variable that holds it', async () => {
    const server = await serve(() => say('ok'), { apiKey: 'another' });
    const { code, message } = failureOf(await collect(modelAt(server)));
    expect(code).toBe('provider_auth');
    const variable = keyVariableOf({ provider });
    expect(message).toBe(`The key for provider ${provider} was refused (401): check ${variable}.`);
    const keyless = create({ provider, model: 'm-1', baseUrl: server.url });
    expect(failureOf(await collect(keyless)).message).toBe(
      `Provider ${provider} wants a key (401): set ${variable}.`,
    );
  });

  withKey('a key that no header can carry is told without showing it', async () => {
    const server = await serve(() => say('ok'));
    const { code, message } = failureOf(await collect(modelAt(server, { apiKey: 'first\nsecond' })));
    expect(code).toBe('provider_auth');
    expect(message).not.toContain('second');
  });

  test('an unknown model is told with its name and the endpoint', async () => {
    const server = await serve(() => say('ok'), { models: ['other'] });
    const { code, message } = failureOf(await collect(modelAt(server)));
    expect(code).toBe('model_not_found');
    expect(message).toContain('m-1');
    expect(message).toContain(server.url);
  });

  test('an endpoint where nothing listens is unreachable', async () => {
    const server = await startScriptedModel({ script: () => say('ok') });
    await server.close();
    const failure = failureOf(await collect(modelAt(server)));
    expect(failure).toMatchObject({ kind: 'retryable', code: 'provider_unreachable', mayHaveCost: false });
    expect(failure.message).toContain('ECONNREFUSED');
  });

  test('a host without an address is unreachable', async () => {
    const failure = failureOf(await collect(modelAt({ url: 'http://no-such-host.invalid' })));
    expect(failure).toMatchObject({ kind: 'retryable', code: 'provider_unreachable' });
  });

  test('a connection that is closed before any answer is unreachable', async () => {
    const { events } = await answerTo(() => cut());
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'provider_unreachable' });
  });

  test('a base URL that is none, or that leads to a web page, has to be changed', async () => {
    const none = failureOf(await collect(create({ provider, model: 'm-1', baseUrl: 'not a url' })));
    expect(none).toMatchObject({ kind: 'terminal', code: 'bad_endpoint' });
    const page = await serve(() =>
      raw((response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Hi</p>')),
    );
    expect(failureOf(await collect(modelAt(page)))).toMatchObject({ kind: 'terminal', code: 'bad_endpoint' });
  });

  test('an answer that is compressed though nobody asked for it is told apart, an error has its status', async () => {
    const body = gzipSync('{"error":{"message":"No."}}');
    const headers = { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' };
    const answering = (status: number) =>
      answerTo(() => raw((response) => void response.writeHead(status, headers).end(body)));
    const answered = failureOf((await answering(200)).events);
    expect(answered.code).toBe('bad_endpoint');
    expect(answered.message).toContain(
      'answered in the encoding gzip, which nobody asked for: turn that off there.',
    );
    expect(failureOf((await answering(429)).events)).toMatchObject({
      kind: 'retryable',
      code: 'rate_limited',
    });
  });

  test.each([204, 205, 304])('an answer (%i) without a body is a failure', async (status) => {
    const { events } = await answerTo(() => raw((response) => void response.writeHead(status).end()));
    expect(failureOf(events).code).toBe('bad_endpoint');
  });

  test.each([
    ['in the middle of a text', [say('Half an ans'), cut()]],
    ['in the middle of a call', [call('bash', { command: 'x'.repeat(50) }), cut()]],
  ])('a stream cut %s is no answer', async (_, step) => {
    const { events } = await answerTo(() => step);
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'stream_cut', mayHaveCost: true });
  });

  test('a stream that ends politely but too early is no answer', async () => {
    const whole = (await rawBody(each, say('Half an answer'))).toString();
    const half = whole.slice(0, whole.lastIndexOf(each.frameEnd, whole.indexOf(each.endMark)));
    const { events } = await answerTo(() => raw(eventStream(half + each.frameEnd, each.contentType)));
    expect(textIn(events, 'text')).toBe('Half an answer');
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'stream_cut' });
  });

  test('an empty stream and one that is not JSON are cut streams', async () => {
    const { events } = await answerTo(() => raw(eventStream('', each.contentType)));
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'stream_cut' });
    const broken = await answerTo(() => raw(eventStream(each.broken, each.contentType)));
    expect(failureOf(broken.events)).toMatchObject({ kind: 'retryable', code: 'stream_cut' });
  });

  test.each([
    [529, 'retryable', 'provider_unavailable'],
    [500, 'retryable', 'provider_unavailable'],
    [429, 'retryable', 'rate_limited'],
    [401, 'terminal', 'provider_auth'],
    [400, 'terminal', 'bad_request'],
  ])('an error %i inside the stream ends it as %s: %s', async (status, kind, code) => {
    const { events } = await answerTo(() => [say('Half an ans'), error(status, { message: 'Overloaded' })]);
    expect(textIn(events, 'text')).toBe('Half an ans');
    const isUntold = each.lacks.includes('status of errors inside the stream');
    const told = isUntold ? { kind: 'retryable', code: 'provider_unavailable' } : { kind, code };
    expect(failureOf(events)).toMatchObject({ ...told, mayHaveCost: true });
  });

  test.each([
    ['an error', { type: 'error', error: { type: 'overloaded_error', code: 529, message: 'Overloaded' } }],
    ['an error that asking again would not mend', { type: 'error', error: { code: 400, message: 'late' } }],
    ['what is not JSON', undefined],
  ])('a whole answer outlives %s that comes after it', async (_, late) => {
    const whole = (await rawBody(each, say('Done.'))).toString().replace('data: [DONE]\n\n', '');
    const after = late === undefined ? each.broken : each.errorFrame(JSON.stringify(late));
    const { events } = await answerTo(() => raw(eventStream(whole + after, each.contentType)));
    expect(answerOf(events).parts).toEqual([{ type: 'text', text: 'Done.' }]);
  });
});
