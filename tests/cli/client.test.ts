import { afterEach, beforeEach, expect, test } from 'vitest';
import { Client, isTransient, ProblemError } from '../../src/cli/client.ts';
import { UserError } from '../../src/core/errors.ts';
import {
  anApproval,
  aSession,
  aTask,
  problem,
  type ScriptedApi,
  startScriptedApi,
  TASK_ID,
} from './scripted-api.ts';

let api: ScriptedApi;
let client: Client;

beforeEach(async () => {
  api = await startScriptedApi();
  client = new Client(() => ({ url: api.url, apiKey: 'capy_hush' }));
});
afterEach(() => api.close());

async function failure(request: Promise<unknown>): Promise<UserError> {
  const error: unknown = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof UserError) return error;
  throw new Error(`expected a UserError, found ${String(error)}`);
}

test('a task is created with the key, as JSON, under an idempotency key of its own', async () => {
  api.on('POST /v1/tasks', () => aTask());
  expect(await client.createTask({ prompt: 'do it' })).toEqual(aTask());
  await client.createTask({ prompt: 'do it' }, 'mine');
  const [first, second] = api.received;
  expect(first).toMatchObject({
    body: { prompt: 'do it' },
    headers: { authorization: 'Bearer capy_hush', 'content-type': 'application/json' },
  });
  expect(first?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  expect(second?.headers['idempotency-key']).toBe('mine');
});

test('every route is asked by its name, with what is set of the query', async () => {
  const page = (item: unknown) => ({ data: [item], nextCursor: 'next' });
  api.on('GET /v1/tasks', () => page(aTask()));
  api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask());
  api.on(`POST /v1/tasks/${TASK_ID}/cancel`, () => aTask({ cancelRequested: true }));
  api.on('GET /v1/sessions', () => page(aSession()));
  api.on('GET /v1/sessions/a%2Fb', () => aSession());
  api.on('GET /v1/sessions/s/entries', () => ({ data: [], nextCursor: null }));
  api.on('GET /v1/sessions/s/tool-calls', () => ({ data: [], nextCursor: null }));
  api.on('GET /v1/approvals', () => page(anApproval()));
  api.on('POST /v1/approvals/apr_1', () => anApproval({ status: 'allowed' }));
  expect(await client.tasks({ limit: 5, status: undefined, q: 'a b' })).toEqual(page(aTask()));
  expect(api.received[0]?.query).toEqual({ limit: '5', q: 'a b' });
  expect(await client.task(TASK_ID)).toEqual(aTask());
  expect((await client.cancelTask(TASK_ID)).cancelRequested).toBe(true);
  const { todos: _, ...listed } = aSession();
  expect((await client.sessions()).data).toEqual([listed]);
  expect(await client.session('a/b')).toEqual(aSession());
  expect(await client.entries('s')).toEqual({ data: [], nextCursor: null });
  expect(await client.toolCalls('s')).toEqual({ data: [], nextCursor: null });
  expect((await client.approvals()).data).toEqual([anApproval()]);
  expect((await client.resolveApproval('apr_1', { decision: 'allow' })).status).toBe('allowed');
});

test('a server under a path is asked under that path, without the password of its URL', async () => {
  api.on(`GET /under/v1/tasks/${TASK_ID}`, () => aTask());
  const address = api.url.replace('://', '://user:hush@');
  const under = new Client(() => ({ url: `${address}/under` }));
  expect(await under.task(TASK_ID)).toEqual(aTask());
  expect(api.received[0]?.headers.authorization).toBeUndefined();
});

test.each([
  [400, 'bad_request', 2],
  [403, 'missing_scope', 3],
  [404, 'not_found', 2],
  [409, 'already_resolved', 2],
  [503, 'unavailable', 3],
])('a problem of status %i says its detail, exit code %i', async (status, code, exitCode) => {
  api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => problem(response, status, code, 'That is wrong.'));
  const error = await failure(client.task(TASK_ID));
  expect(error).toMatchObject({ code, exitCode, message: 'That is wrong.' });
  expect(error).toBeInstanceOf(ProblemError);
  expect(isTransient(error)).toBe(status === 503);
});

test('a missing and a wrong key are told apart', async () => {
  api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => problem(response, 401, 'unauthorized', 'No.'));
  expect((await failure(client.task(TASK_ID))).message).toBe(
    `The Capybara at ${api.url} does not accept the key it was given: set CAPYBARA_API_KEY to one of its keys.`,
  );
  const keyless = new Client(() => ({ url: api.url }));
  expect(await failure(keyless.task(TASK_ID))).toMatchObject({
    exitCode: 3,
    message: `The Capybara at ${api.url} needs a key and was given none: set CAPYBARA_API_KEY to one of its keys.`,
  });
});

test('a server that is not there is one sentence, exit code 3', async () => {
  await api.close();
  const error = await failure(client.task(TASK_ID));
  expect(error).toMatchObject({
    code: 'server_unreachable',
    exitCode: 3,
    message: `The Capybara at ${api.url} cannot be reached (connection refused): check the address, or that it runs.`,
  });
  expect(isTransient(error)).toBe(true);
  const nowhere = new Client(() => ({ url: 'http://nowhere.invalid' }));
  expect((await failure(nowhere.task(TASK_ID))).message).toMatch(
    /^The Capybara at http:\/\/nowhere\.invalid cannot/,
  );
});

test('an answer that breaks off in the middle is told as unreachable', async () => {
  api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => {
    response.writeHead(200, { 'content-length': 100 }).write('{', () => response.destroy());
  });
  expect((await failure(client.task(TASK_ID))).code).toBe('server_unreachable');
});

test('what is not a Capybara is told as such', async () => {
  api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => void response.writeHead(200).end('<html>'));
  expect((await failure(client.task(TASK_ID))).message).toBe(
    `The Capybara at ${api.url} gave an answer to /v1/tasks/${TASK_ID} that this version does not understand (this is not JSON): check the address and update the older one.`,
  );
  api.on(`GET /v1/tasks/${TASK_ID}`, () => ({ hello: 1 }));
  expect(await failure(client.task(TASK_ID))).toMatchObject({ code: 'bad_answer', exitCode: 3 });
  api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => void response.writeHead(404).end('<html>'));
  expect((await failure(client.task(TASK_ID))).message).toBe(
    `The Capybara at ${api.url} answered HTTP 404 Not Found without a reason: check the address.`,
  );
  api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => void response.writeHead(502).end('<html>'));
  const busy = await failure(client.task(TASK_ID));
  expect(busy.message).toBe(`The Capybara at ${api.url} cannot serve now (HTTP 502 Bad Gateway): try again.`);
  expect(isTransient(busy)).toBe(true);
});
