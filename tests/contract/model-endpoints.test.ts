import { describe, expect, test } from 'vitest';
import { raw, say } from '../support/scripted-model/scripted-model.ts';
import { collect, failureOf, kitOf, providers, serve } from './model-harness.ts';

/** Addresses that answer, but not as the API that they were configured as. */
describe.each(providers)('$provider', (each) => {
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
});
