import { describe, expect, test } from 'vitest';
import { error, raw, say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, failureOf, KEY, kitOf, serve } from './model-harness.ts';
import { kinds } from './model-kinds.ts';

/** Headers that a person configured for a provider: sent with every request, and never shown. */
const SECRET = 'planted-header-secret';

describe.each(kinds)('$provider', (each) => {
  const { modelAt, answerTo } = kitOf(each);

  test('sends the configured headers with every request, before what the key makes of itself', async () => {
    const server = await serve(() => say('ok'));
    const headers = { 'X-Gateway-Key': SECRET, 'api-key': SECRET, 'HTTP-Referer': 'https://example.com' };
    const model = modelAt(server, { headers });
    for (let turn = 0; turn < 2; turn += 1) answerOf(await collect(model));
    for (const { headers: sent } of server.requests) {
      expect(sent).toMatchObject({
        ...{ 'x-gateway-key': SECRET, 'api-key': SECRET, 'http-referer': 'https://example.com' },
        'x-capybara-session': 'ses_1',
      });
    }
    answerOf(await collect(modelAt(server, { headers: { Authorization: `Basic ${SECRET}` } })));
    expect(server.requests.at(-1)?.headers.authorization).toBe(`Basic ${SECRET}`);
  });

  // Oracle's requests are signed.
  test.skipIf(each.kind === 'oci')(
    'sends user, password and query of its address, or its key, and shows none in a failure',
    async () => {
      const words = ['us/er', 'pass word', 'key of query'];
      const [user, password, query] = words.map(encodeURIComponent);
      const seen: (string | undefined)[][] = [];
      const server = await serve(() =>
        raw((response) => {
          const { url, headers } = response.req;
          seen.push([url, headers.authorization]);
          response.writeHead(400, { 'content-type': 'application/json' });
          const message = `${url} ${headers.authorization} ${words} ${user} ${password}`;
          response.end(JSON.stringify({ error: { message } }));
        }),
      );
      const address = each.baseUrl(server.url).replace('://', `://${user}:${password}@`);
      for (const key of [{}, { apiKey: KEY }]) {
        const baseUrl = `${address}?key=${query}`;
        const model = each.create({ provider: each.provider, model: 'm-1', baseUrl, ...key });
        const { message } = failureOf(await collect(model));
        for (const secret of [...words, user, password, query, 'dXMvZXI6cGFzcyB3b3Jk'])
          expect(message).not.toContain(secret);
      }
      const url = `${each.path}?key=${query}`;
      expect(seen).toEqual([
        [url, 'Basic dXMvZXI6cGFzcyB3b3Jk'],
        [url, `Bearer ${KEY}`],
      ]);
    },
  );

  test('cannot be told apart from another session by a configured header', async () => {
    const { server } = await answerTo(() => say('ok'));
    answerOf(await collect(modelAt(server, { headers: { 'X-Capybara-Session': 'ses_2' } })));
    expect(server.requests.at(-1)?.sessionId).toBe('ses_1');
  });

  test.each([400, 500, 429])(
    'shows none of them in the failure of a %i that repeats them',
    async (status) => {
      const message = `headers were {"x-a": "${SECRET}", "authorization": "Basic abcd${SECRET}"}, key ${KEY}`;
      const server = await serve(() => error(status, { message }));
      const headers = { 'x-a': SECRET, authorization: `Basic abcd${SECRET}` };
      const failure = failureOf(await collect(modelAt(server, { headers })));
      expect(JSON.stringify(failure)).not.toContain(SECRET);
      expect(failure.message).toContain('[key]');
    },
  );

  test.each(['Content-Length', 'transfer-encoding', 'Host'])('refuses %s in words', async (name) => {
    const { server } = await answerTo(() => say('ok'));
    const failure = failureOf(await collect(modelAt(server, { headers: { [name]: SECRET } })));
    expect(failure).toMatchObject({ kind: 'terminal', code: 'bad_endpoint', mayHaveCost: false });
    expect(failure.message).toContain(
      `is given the header ${name.toLowerCase()}: leave it out of the headers.`,
    );
    expect(server.requests).toHaveLength(1);
  });
});
