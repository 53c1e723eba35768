import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Client, createClient, isTransient, ProblemError } from '../../src/client/client.ts';
import { unreachable } from '../../src/client/errors.ts';
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
  client = createClient(() => ({ url: api.url, apiKey: 'capy_hush' }));
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

test('does not send, or quote, what no header can hold', async () => {
  const keyed = createClient({ url: api.url, apiKey: 'capy_hush\nx' });
  const error = await keyed.tasks().catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: 'bad_header', message: expect.stringContaining('The API key has') });
  expect([isTransient(error), String(error).includes('hush')]).toEqual([false, false]);
});

test('an answer that stops in the middle is not waited for without end', async () => {
  const hasty = createClient({ url: api.url }, { idleMs: 50 });
  api.on(`GET /v1/tasks/${TASK_ID}`, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{"id":');
  });
  const error = await failure(hasty.task(TASK_ID));
  expect([error.code, error.message, isTransient(error)]).toEqual([
    'server_unreachable',
    `The Capybara at ${api.url} cannot be reached (its answer stopped in the middle for 0.05 s): check the address, or that it runs.`,
    true,
  ]);
});

test('an answer that comes slowly is taken whole', async () => {
  const hasty = createClient({ url: api.url }, { idleMs: 200 });
  api.on(`GET /v1/sessions/s/diff`, (_, response) => {
    let sent = 0;
    response.writeHead(200, { 'content-type': 'text/x-diff' });
    const timer = setInterval(() => {
      response.write('.');
      sent += 1;
      if (sent < 6) return;
      clearInterval(timer);
      response.end();
    }, 60);
  });
  expect(String(await hasty.diff('s'))).toBe('......');
});

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
  const under = createClient(() => ({ url: `${address}/under` }));
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
  const keyless = createClient(() => ({ url: api.url }));
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
  const nowhere = createClient(() => ({ url: 'http://nowhere.invalid' }));
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
  // An id is pasted into commands, and drawn as it is.
  api.on(`GET /v1/tasks/${TASK_ID}`, () => aTask({ id: 'task_1\x1b[2J; rm' }));
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

test.each([
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'it does not speak TLS', 'use http:// in its address'],
  [
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'its certificate is not trusted here, DEPTH_ZERO_SELF_SIGNED_CERT',
    'name the file of its authority in NODE_EXTRA_CA_CERTS',
  ],
  ['CERT_HAS_EXPIRED', 'said so', 'have its certificate renewed, or check the clock of this machine'],
  ['ECONNREFUSED', 'connection refused', 'check the address, or that it runs'],
])('that cannot be reached for %s says what to do', (code, found, cure) => {
  const cause = Object.assign(new Error('said so'), { code });
  const { message } = unreachable({ url: 'https://c.test/x' }, new TypeError('fetch failed', { cause }));
  expect(message).toBe(`The Capybara at https://c.test cannot be reached (${found}): ${cure}.`);
});

describe('a server that asks to be asked again', () => {
  const route = `GET /v1/tasks/${TASK_ID}`;

  /** Refuses so many times, then serves. */
  function refuse(times: number, status: number, retryAfter: string, on = route): void {
    api.on(on, (_, response) => {
      if (api.received.length > times) return aTask();
      response.setHeader('retry-after', retryAfter);
      problem(response, status, 'not_now', 'Not now.');
      return undefined;
    });
  }

  test.each([429, 503])('is asked again after %i, as the same request', async (status) => {
    refuse(2, status, '0');
    expect(await client.task(TASK_ID)).toEqual(aTask());
    refuse(5, status, '0', 'POST /v1/tasks');
    await client.createTask({ prompt: 'do it' });
    const keys = api.received.slice(3).map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
  });

  test('is not asked again with a wrong key, of which too many came', async () => {
    api.on(route, (_, response) => {
      response.setHeader('retry-after', '60');
      problem(response, 429, 'too_many_wrong_keys', 'Too many.');
      return undefined;
    });
    expect(await failure(client.task(TASK_ID))).toMatchObject({
      ...{ code: 'too_many_wrong_keys', exitCode: 3 },
      message: expect.stringMatching(/does not accept the key it was given|was given none/),
    });
    expect(api.received).toHaveLength(1);
  });

  test('is waited for as long as the patience lasts, and not longer', async () => {
    const patient = createClient({ url: api.url }, { patienceMs: 1_000 });
    refuse(1, 503, '1');
    const before = performance.now();
    expect(await patient.task(TASK_ID)).toEqual(aTask());
    expect(performance.now() - before).toBeGreaterThan(900);
    refuse(9, 429, '2');
    expect(await failure(patient.task(TASK_ID))).toMatchObject({ status: 429, retryAfterMs: 2_000 });
    expect(api.received).toHaveLength(3);
  });

  test('is not asked for ever where it says that no wait is needed', async () => {
    const patient = createClient({ url: api.url }, { patienceMs: 350 });
    refuse(99, 503, '0');
    expect(await failure(patient.task(TASK_ID))).toMatchObject({ status: 503, retryAfterMs: 0 });
    expect(api.received).toHaveLength(4);
  });

  test('is not asked again where it says no time, or where a repeat may do harm', async () => {
    const on = `POST /v1/approvals/a`;
    refuse(9, 503, '0', on);
    await failure(client.resolveApproval('a', { decision: 'allow' }));
    refuse(9, 503, 'tomorrow');
    expect(await failure(client.task(TASK_ID))).toMatchObject({ retryAfterMs: undefined });
    expect(api.received).toHaveLength(2);
    refuse(3, 429, '0', on);
    await failure(client.resolveApproval('a', { decision: 'allow' }));
    expect(api.received).toHaveLength(4);
  });
});

test('what is refused tells its parts apart', async () => {
  const body = { type: 'about:blank', title: 'Bad Request', status: 400, code: 'bad', detail: 'No.' };
  api.on('POST /v1/tasks', (_, response) => {
    const text = JSON.stringify({ ...body, field: 'limits.turns' });
    response.writeHead(400, { 'content-type': 'application/problem+json' }).end(text);
  });
  const error = await failure(client.createTask({ prompt: 'x', limits: { turns: 0 } }));
  expect(error).toMatchObject({ status: 400, code: 'bad', detail: 'No.', field: 'limits.turns' });
});

test('everything that makes something is sent under a key', async () => {
  const made: readonly (() => Promise<unknown>)[] = [
    () => client.createTask({ prompt: 'x' }),
    () => client.postMessage('s', { text: 'x' }),
    () => client.fork('s', {}),
    () => client.merge('s', { from: 's' }),
    () => client.revert('s', { entry: 1 }),
    () => client.createTeam({ name: 'x', userName: 'y' }),
    () => client.createUser({ name: 'x' }),
    () => client.createKey({ name: 'x' }),
  ];
  for (const make of made) await failure(make());
  expect(api.received.map(({ headers }) => headers['idempotency-key'])).toEqual(
    made.map(() => expect.stringMatching(/^[0-9a-f-]{36}$/)),
  );
});
