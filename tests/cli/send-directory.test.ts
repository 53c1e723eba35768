/** How a directory gets to a server that is busy, forgetful, slow or gone. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type SendOptions, sendDirectory, sizeText } from '../../src/cli/send-directory.ts';
import {
  lastSent,
  MAX_SERVERS,
  nameOf,
  readRecord,
  remember,
  rememberSession,
  type SentPlace,
} from '../../src/cli/sent-record.ts';
import { createClient } from '../../src/client/client.ts';
import { openSentFile } from '../../src/client/sent-file.ts';
import { AT, problem } from './scripted-api.ts';

vi.setConfig({ testTimeout: 60_000 });

const HELD = `ws_${'1'.repeat(32)}`;

let base: string;
let place: SentPlace;
let told: string[];
let posts: { query: URLSearchParams; key: string; bytes: number; length: string }[];
let onPost: (request: IncomingMessage, response: ServerResponse, workspace: unknown) => void;
let onGet: (response: ServerResponse) => void;
const taking = createServer((request, response) => void serve(request, response));

beforeEach(async () => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-send-')));
  mkdirSync(join(base, 'work'));
  writeFileSync(join(base, 'work', 'a'), 'one\n');
  await new Promise<void>((resolve) => taking.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(taking.address() as AddressInfo).port}`;
  place = { directory: join(base, 'work'), url, dataDir: join(base, 'data') };
  [told, posts] = [[], []];
  onPost = (_, response, workspace) => answer(response, 201, workspace);
  onGet = (response) => problem(response, 404, 'not_found', 'There is none.');
});
afterEach(async () => {
  taking.closeAllConnections();
  await new Promise((resolve) => taking.close(resolve));
  rmSync(base, { recursive: true });
});

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'GET') return onGet(response);
  const { searchParams: query } = new URL(request.url ?? '', place.url);
  let bytes = 0;
  for await (const chunk of request) bytes += (chunk as Buffer).length;
  const { 'idempotency-key': key = '', 'content-length': length = '' } = request.headers;
  posts.push({ query, bytes, length, key: String(key) });
  onPost(request, response, workspace(query.get('snapshot') ?? ''));
}

const workspace = (snapshot: string) => ({ id: HELD, directory: '/w', snapshot, held: true, createdAt: AT });

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function send(change: Partial<SendOptions> = {}): Promise<string> {
  const client = createClient(() => ({ url: place.url }));
  return sendDirectory({ client, place, tell: (line) => told.push(line), ...change });
}

const packs = () => readdirSync(join(place.dataDir, 'sent')).filter((name) => name.endsWith('.pack'));

describe('a directory', () => {
  test('is sent with its length, and remembered', async () => {
    expect(await send()).toBe(HELD);
    const [post] = posts;
    expect(post?.length).toBe(String(post?.bytes));
    expect(post?.query.get('directory')).toBe(place.directory);
    expect(lastSent(place)).toEqual({ workspaceId: HELD, snapshot: post?.query.get('snapshot') });
    expect(told).toEqual([`Sent this directory: ${post?.bytes} bytes.`]);
    expect(packs()).toEqual([]);
  });

  test('is sent whole to a server, or a team, that knows nothing of it', async () => {
    await send();
    writeFileSync(join(base, 'work', 'b'), 'two\n');
    await send();
    expect(posts.map(({ query }) => query.get('base'))).toEqual([null, null]);
    expect(posts[1]?.bytes).toBeGreaterThan(posts[0]?.bytes ?? 0);
  });

  test('is sent as what is new of it to one that has the rest, and whole where that was lost just now', async () => {
    await send();
    const { snapshot = '' } = lastSent(place) ?? {};
    onGet = (response) => answer(response, 200, workspace(snapshot));
    onPost = (_, response, taken) => {
      if (posts.length === 2) problem(response, 409, 'base_missing', 'It is gone.');
      else answer(response, 201, taken);
    };
    writeFileSync(join(base, 'work', 'b'), 'two\n');
    await send();
    expect(posts.map(({ query }) => query.get('base'))).toEqual([null, HELD, null]);
    expect(posts[1]?.key).not.toBe(posts[2]?.key);
    expect(told.at(-1)).toMatch(/^Sent /);
  });

  test('is not built on what the server does not hold any more', async () => {
    await send();
    onGet = (response) => answer(response, 200, { ...workspace('0'.repeat(40)), held: false });
    await send();
    expect(posts.map(({ query }) => query.get('base'))).toEqual([null, null]);
  });

  test('is sent again, as the same upload, where the server cannot take it now', async () => {
    onPost = (_, response, taken) => {
      if (posts.length === 1) problem(response, 503, 'uploads_busy', 'Others are there.');
      else answer(response, 201, taken);
    };
    expect(await send()).toBe(HELD);
    expect(posts).toHaveLength(2);
    expect(posts[0]?.key).toBe(posts[1]?.key);
  });

  test('that is refused is refused, at once', async () => {
    onPost = (_, response) => problem(response, 413, 'upload_too_large', 'It is too large.');
    await expect(send()).rejects.toMatchObject({
      code: 'upload_too_large',
      message: 'It is too large.',
      exitCode: 2,
    });
    expect(posts).toHaveLength(1);
    expect(lastSent(place)).toBeUndefined();
    expect(packs()).toEqual([]);
  });

  test('is sent once to a server whose disk is full', async () => {
    onPost = (_, response) => problem(response, 507, 'disk_full', 'It is full.');
    await expect(send()).rejects.toMatchObject({ code: 'disk_full', exitCode: 3 });
    expect(posts).toHaveLength(1);
  });

  test('is let go of when the person leaves', async () => {
    const leaving = new AbortController();
    onPost = () => leaving.abort(new Error('they left'));
    await expect(send({ signal: leaving.signal })).rejects.toThrow('they left');
    expect(packs()).toEqual([]);
    expect(lastSent(place)).toBeUndefined();
  });

  test('lets go of its old snapshots after a while, and goes on', async () => {
    await send();
    const { workspaceId, snapshot } = lastSent(place) ?? { workspaceId: '', snapshot: '' };
    remember(place, { workspaceId, snapshot }, 1);
    onGet = (response) => answer(response, 200, workspace(snapshot));
    writeFileSync(join(base, 'work', 'b'), 'two\n');
    await send();
    expect(readRecord(place).prunedAt).toBeGreaterThan(1);
    const mark = readFileSync(join(place.dataDir, 'sent', `${nameOf(place)}.git`, 'prune-mark'), 'utf8');
    expect(JSON.parse(mark).live).toContain(lastSent(place)?.snapshot);
    expect(posts.at(-1)?.query.get('base')).toBe(HELD);
  });
});

test('what is remembered of a directory is the newest servers, and its last session', () => {
  for (let index = 0; index <= MAX_SERVERS; index += 1) {
    remember({ ...place, url: `http://s${index}` }, { workspaceId: `ws_${index}`, snapshot: '' });
  }
  const { servers } = readRecord(place);
  expect(Object.keys(servers)).toHaveLength(MAX_SERVERS);
  expect(servers['http://s0']).toBeUndefined();
  const last = { ...place, url: `http://s${MAX_SERVERS}` };
  rememberSession(last, 'ses_1');
  expect(lastSent(last)).toEqual({ workspaceId: `ws_${MAX_SERVERS}`, snapshot: '', sessionId: 'ses_1' });
  writeFileSync(join(place.dataDir, 'sent', `${nameOf(place)}.json`), 'no JSON');
  expect(lastSent(last)).toBeUndefined();
});

test('a file that nobody takes is given up', async () => {
  const path = join(base, 'file');
  writeFileSync(path, Buffer.alloc(1024 * 1024));
  const sent = openSentFile({ path, bytes: 1024 * 1024, key: 'k' }, 20);
  await new Promise((resolve) => sent.init.signal.addEventListener('abort', resolve));
  expect(sent.isStalled()).toBe(true);
  sent.close();
});

test.each([
  [0, '0 bytes'],
  [1_023, '1023 bytes'],
  [1_024, '1.0 KiB'],
  [3.5 * 1024 ** 2, '3.5 MiB'],
  [5_000 * 1024 ** 3, '5000.0 GiB'],
])('%i bytes are shown as %s', (bytes, text) => expect(sizeText(bytes)).toBe(text));
