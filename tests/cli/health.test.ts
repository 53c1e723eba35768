/** `api --check` where nothing listens, or what does cannot serve. */
import { expect, test } from 'vitest';
import { checkApi } from '../../src/cli/check-api.ts';
import { problem, startScriptedApi } from './scripted-api.ts';

test('an API that cannot serve says why, and one that is not there is missed', async () => {
  const api = await startScriptedApi();
  const sentence = 'This process cannot serve now: queue: it cannot be reached.';
  api.on('GET /readyz', (_, response) => problem(response, 503, 'not_ready', sentence));
  const port = Number(new URL(api.url).port);
  const refused = () => checkApi(port).catch(({ exitCode, message }) => [exitCode, message]);
  expect(await refused()).toEqual([3, sentence]);
  await api.close();
  expect(await refused()).toEqual([
    3,
    expect.stringMatching(/^No API answers on port \d+ of this machine \(/),
  ]);
});
