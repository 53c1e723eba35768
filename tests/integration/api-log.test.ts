/** What the API says of its requests in the log: whose, about what, how it ended, and never a secret. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
let lines: string[] = [];
const requests = () => lines.map((line) => JSON.parse(line)).filter(({ message }) => message === 'request');

beforeAll(async () => {
  const write = (line: string) => lines.push(line);
  it = await startTestApi(() => ({ log: createLog({ level: 'info', destination: { write } }) }));
});
afterAll(() => it.close());
beforeEach(() => {
  lines = [];
});

test('each request is one line with the ids of whose it is and what it is about', async () => {
  const { id, sessionId } = await it.submit();
  await it.ask('GET', `/v1/sessions/${sessionId}/entries`);
  const read = await it.ask('GET', `/v1/tasks/${id}`, { headers: { 'x-request-id': 'mine-1' } });
  expect(read.headers.get('x-request-id')).toBe('mine-1');
  await expect.poll(() => requests().length).toBe(3);
  const { teamId, userId } = it.me;
  const key = expect.stringMatching(/^[0-9a-f-]{36}$/);
  const whose = { level: 'info', requestId: key, ms: expect.any(Number), teamId, userId, keyId: key };
  const taskId = uuid('task', id);
  expect(requests()).toMatchObject([
    { ...whose, method: 'POST', route: '/v1/tasks', status: 201, taskId },
    {
      ...{ ...whose, method: 'GET', route: '/v1/sessions/:id/entries', status: 200 },
      sessionId: uuid('session', sessionId),
    },
    { ...whose, requestId: 'mine-1', method: 'GET', route: '/v1/tasks/:id', status: 200, taskId },
  ]);
  expect(Object.keys(requests()[0]).toSorted()).toEqual([
    ...[
      'keyId',
      'level',
      'message',
      'method',
      'ms',
      'requestId',
      'route',
      'status',
      'taskId',
      'teamId',
      'time',
    ],
    'userId',
  ]);
});

test.each([
  ['of 64 characters is kept', 'a'.repeat(64), true],
  ['of 65 is replaced', 'a'.repeat(65), false],
  ['with a space is replaced', 'a b', false],
])('an id that a client gives %s', async (_, given, isKept) => {
  const { headers } = await it.ask('GET', '/healthz', { headers: { 'x-request-id': given } });
  expect(headers.get('x-request-id') === given).toBe(isKept);
  expect(headers.get('x-request-id')).toMatch(/^[\w-]{36,64}$/);
});

test('what is refused is a line as well, and supervisors are not', async () => {
  await it.ask('GET', '/healthz');
  await it.ask('GET', '/nowhere/at-all');
  await it.ask('GET', '/v1/tasks', { key: null });
  await expect.poll(() => requests().length).toBe(2);
  expect(requests()).toMatchObject([
    { route: 'unknown', status: 404 },
    { route: '/v1/tasks', status: 401 },
  ]);
});

test('a stream is one line, at its end', async () => {
  const { sessionId } = await it.submit();
  const leave = new AbortController();
  await fetch(`${it.url}/v1/sessions/${sessionId}/events`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${it.me.apiKey}` },
    signal: leave.signal,
  });
  await expect.poll(() => requests().length).toBe(1);
  leave.abort();
  await expect.poll(() => requests().length).toBe(2);
  expect(requests()[1]).toMatchObject({ isStream: true, isBrokenOff: true, status: 200 });
});

test('no key, body or query is in a line, whoever sent it where', async () => {
  const planted = 'capy_planted5up3r53cr3t0123456789';
  const other = 'sk-ant-planted5up3r53cr3t';
  await it.ask('GET', `/v1/tasks?key=${planted}&limit=${planted}`);
  await it.ask('GET', '/v1/tasks', { key: planted });
  await it.ask('GET', `/${planted}`, { headers: { cookie: `key=${planted}`, 'x-api-key': planted } });
  await it.ask('POST', '/v1/tasks', { body: { prompt: planted, metadata: { key: other } } });
  await it.ask('POST', '/v1/tasks', { raw: `{"prompt": "${planted}` });
  await it.db.sql`ALTER TABLE message RENAME TO gone`;
  await it.ask('POST', '/v1/tasks', { body: { prompt: `broken ${planted} Bearer ${planted}` } });
  await it.db.sql`ALTER TABLE gone RENAME TO message`;
  await expect.poll(() => requests().length).toBe(6);
  const failed = lines.map((line) => JSON.parse(line)).find(({ level }) => level === 'error');
  expect(failed).toMatchObject({ requestId: requests().at(-1).requestId, message: 'a request failed' });
  expect(lines.join('')).not.toContain('planted5up3r53cr3t');
  expect(lines.join('')).not.toContain(it.me.apiKey);
});
