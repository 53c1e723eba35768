import { expect, test } from 'vitest';
import { createOciModel } from '../../src/model/oci.ts';
import { PROFILE, profileAt, refuse, stream } from '../support/oci-server.ts';
import { collect, failureOf, requestOf } from './model-harness.ts';
import { type Answer, ask } from './model-oci-harness.ts';

test.each([
  [401, 'NotAuthenticated', 'terminal', 'provider_auth'],
  [404, 'NotAuthorizedOrNotFound', 'terminal', 'model_not_found'],
  [400, 'InvalidParameter', 'terminal', 'bad_request'],
  [400, 'QuotaExceeded', 'terminal', 'provider_quota'],
  [429, 'TooManyRequests', 'retryable', 'rate_limited'],
  [500, 'InternalServerError', 'retryable', 'provider_unavailable'],
])('a refusal %i %s is %s: %s', async (status, said, kind, code) => {
  const { events } = await ask('grok', (response) =>
    refuse(response, status, said, 'No.', { 'retry-after': '3' }),
  );
  expect(failureOf(events)).toMatchObject({ kind, code, mayHaveCost: false });
  if (status === 429) expect(failureOf(events)).toMatchObject({ retryAfterMs: 3000 });
});

test('another API’s error inside a message is told in its words', async () => {
  const inner = JSON.stringify({ error: { code: 'context_length_exceeded', message: 'Too long.' } });
  const { events } = await ask('grok', (response) => refuse(response, 400, '400', inner));
  expect(failureOf(events)).toMatchObject({ code: 'context_overflow' });
});

test('what a gateway repeats of its headers is not shown, and nothing that a terminal obeys', async () => {
  for (const status of [401, 403, 404]) {
    const answer: Answer = (response) => refuse(response, status, 'No', 'not \u001b[2Jplanted-secret');
    const { events } = await ask('grok', answer, undefined, { headers: { 'x-gateway': 'planted-secret' } });
    expect(failureOf(events).message).toContain(`(${status} No: not [2J[key])`);
  }
});

test('an address that is none is told as one', async () => {
  const oci = { ociConfig: await profileAt() };
  const model = createOciModel({ provider: 'oracle', model: 'grok', baseUrl: 'not a url', oci });
  expect(failureOf(await collect(model))).toMatchObject({ kind: 'terminal', code: 'bad_endpoint' });
});

test.each([
  [{ code: 429, message: 'No.' }, 'rate_limited', 'Provider oracle asks to wait (429): No.'],
  [{ code: 'TooManyRequests', message: 'No.' }, 'rate_limited', '(429): No.'],
  [{ status: 503 }, 'provider_unavailable', 'could not answer (503).'],
  [{ code: { toString: 1, valueOf: 1 }, message: true }, 'provider_unavailable', 'could not answer (502).'],
  [{ code: 'NotAuthenticated', message: 'No.' }, 'provider_auth', 'refused the signature of profile DEFAULT'],
  [{ code: 'NotAuthorizedOrNotFound' }, 'model_not_found', 'Model grok was not found'],
  [{ code: '400', message: '{"error":{"code":"context_length_exceeded"}}' }, 'context_overflow', 'too long'],
  [{ error: { code: 'x', message: 'Busy.' } }, 'provider_unavailable', '(502): Busy.'],
  [{ error: 'Busy.' }, 'provider_unavailable', '(502): Busy.'],
])('%j inside a stream is %s', async (reported, code, said) => {
  const begun = { message: { content: [{ type: 'TEXT', text: 'Half' }] } };
  for (const model of ['grok', 'command-a']) {
    const { events } = await ask(model, (response) => stream(response, [begun, reported]));
    expect(failureOf(events)).toMatchObject({ code, mayHaveCost: true });
    expect(failureOf(events).message).toContain(said.replace('grok', model));
  }
});

test('a server that is not there is a matter of the network', async () => {
  const oci = { ociConfig: await profileAt() };
  const model = createOciModel({ provider: 'oracle', model: 'grok', baseUrl: 'http://127.0.0.1:9', oci });
  expect(failureOf(await collect(model))).toMatchObject({ kind: 'retryable', code: 'provider_unreachable' });
});

test.each([
  [{ temperature: 1.1 }, 'command-a', 'cohere.command-a-03-2025 takes a temperature from 0 to 1; found 1.1'],
  [
    { maxTokens: 4001 },
    'llama',
    'meta.llama-3.3-70b-instruct answers with at most 4000 tokens; asked for 4001',
  ],
])('%j is refused for %s before anything is sent', async (asked, name, message) => {
  const { events, server } = await ask(name, (response) => stream(response, []), requestOf(asked));
  expect(failureOf(events)).toMatchObject({ kind: 'terminal', code: 'bad_request' });
  expect(failureOf(events).message).toContain(message);
  expect(server.requests).toEqual([]);
});

test('what a model takes at most is sent, and no temperature where it refuses one', async () => {
  const answer: Answer = (response) => stream(response, [{ finishReason: 'stop' }]);
  const most = requestOf({ temperature: 1, maxTokens: 8000 });
  expect((await ask('command-a', answer, most)).sent?.body.chatRequest).toMatchObject({
    temperature: 1,
    maxTokens: 8000,
  });
  const { chatRequest } = (await ask('openai.gpt-5', answer, most)).sent?.body ?? {};
  expect(chatRequest).toMatchObject({ maxCompletionTokens: 8000 });
  expect(chatRequest).not.toHaveProperty('temperature');
});

test('an aborted request ends at once, also while it is signed in', async () => {
  const oci = { ociConfig: await profileAt(PROFILE) };
  const model = createOciModel({ provider: 'oracle', model: 'grok', baseUrl: 'http://127.0.0.1:9', oci });
  expect(failureOf(await collect(model, requestOf(), AbortSignal.abort()))).toMatchObject({
    kind: 'cancelled',
  });
});
