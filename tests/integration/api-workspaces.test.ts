/** Directories that clients send, and the sessions that begin with them. */
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { MAX_DIRECTORY_LENGTH, PACK_MEDIA, Workspace } from '../../src/api/wire.ts';
import { ROOT_NAME } from '../../src/workspace/history.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { uploadLimits } from '../../src/workspace/uploads/limits.ts';
import { readDirectory } from '../../src/workspace/uploads/sent-directory.ts';
import { openUploads } from '../../src/workspace/uploads/uploads.ts';
import { type Asking, startTestApi, type TestApi, uuid } from './api-harness.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const LIMIT_BYTES = 1024 * 1024;

let api: TestApi;
let place: string;
let work: string;
const shared = mkdtempSync(join(tmpdir(), 'capybara-shared-'));

beforeAll(async () => {
  api = await startTestApi(({ dataDir }) => {
    const directory = join(dataDir, 'own');
    return {
      snapshots: openSnapshots({ directory, shared }),
      uploads: openUploads({ directory, limits: uploadLimits(1) }),
    };
  });
});
afterAll(async () => {
  await api.deps.snapshots.close();
  await api.close();
  rmSync(shared, { recursive: true });
});
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'capybara-workspaces-'));
  work = join(place, 'work');
  mkdirSync(work);
});
afterEach(() => rmSync(place, { recursive: true }));

interface Packed {
  readonly snapshot: string;
  readonly pack: Buffer<ArrayBuffer>;
}

async function packed(without?: string): Promise<Packed> {
  const options = { dataDir: join(place, 'client'), name: 'work', previous: without };
  const files = await readDirectory(work, options);
  try {
    const { path } = await files.pack(without);
    return { snapshot: files.snapshot, pack: readFileSync(path) as Buffer<ArrayBuffer> };
  } finally {
    await files.close();
  }
}

const queryOf = (query: Record<string, string>) =>
  new URLSearchParams({ directory: '/home/ana/work', ...query });

function post({ snapshot, pack }: Packed, asking: Asking & { query?: Record<string, string> } = {}) {
  const { query = {}, headers, ...rest } = asking;
  const media = { 'content-type': PACK_MEDIA, ...headers };
  return api.ask('POST', `/v1/workspaces?${queryOf({ snapshot, ...query })}`, {
    raw: pack,
    ...rest,
    headers: media,
  });
}

/** The directory as it is now, sent. */
async function send(asking: Parameters<typeof post>[1] = {}, before?: string): Promise<Workspace> {
  const answer = await post(await packed(before), asking);
  expect(answer).toMatchObject({ status: 201 });
  return Workspace.parse(answer.json);
}

const begin = (id: string, more: Asking = {}) =>
  api.ask('POST', '/v1/tasks', { body: { prompt: 'do it', workspace: { kind: 'upload', id } }, ...more });

async function workspaceOf(sessionId: string) {
  const [row] = await api.db.sql<Record<string, unknown>>`
    SELECT w.kind, w.path, w.source, w.lineage, w.base, w.head FROM workspace w JOIN session s ON s.workspace_id = w.id
     WHERE s.id = ${uuid('session', sessionId)}`;
  return row;
}

const uploadsOf = () => api.db.sql<{ id: string }>`SELECT id FROM upload ORDER BY id`;

describe('a directory that is sent', () => {
  test('is kept, and shown to its team alone', async () => {
    writeFileSync(join(work, 'a'), 'one\n');
    const sent = await send();
    expect(sent).toMatchObject({ directory: '/home/ana/work', held: true });
    const path = `/v1/workspaces/${sent.id}`;
    expect(await api.ask('GET', path)).toMatchObject({ status: 200, json: sent });
    const { apiKey } = await api.addPerson('theirs', 'Bo');
    expect(await api.ask('GET', path, { key: apiKey })).toMatchObject({
      status: 404,
      json: { code: 'not_found' },
    });
    expect(await begin(sent.id, { key: apiKey })).toMatchObject({ status: 404, json: { code: 'not_found' } });
    const built = await post(await packed(sent.snapshot), { query: { base: sent.id }, key: apiKey });
    expect(built).toMatchObject({ status: 404, json: { code: 'not_found' } });
    expect(await api.ask('GET', path, { key: null })).toMatchObject({ status: 401 });
  });

  test('is what a session begins with, on any host', async () => {
    writeFileSync(join(work, 'a'), 'one\n');
    const { id, snapshot } = await send();
    const { sessionId } = (await begin(id)).json;
    const row = await workspaceOf(sessionId);
    const lineage = uuid('workspace', id);
    expect(row).toEqual({
      ...{ kind: 'upload', path: null, lineage, base: snapshot, head: snapshot },
      source: { uploadId: lineage, directory: '/home/ana/work' },
    });
    const session = await api.ask('GET', `/v1/sessions/${sessionId}`);
    expect(session.json.workspace).toEqual({ kind: 'upload', path: '/home/ana/work' });
    const other = openSnapshots({ directory: join(place, 'other-host'), shared });
    const root = join(place, 'checkout');
    mkdirSync(root);
    await other.of(lineage).fetch(snapshot);
    await other.of(lineage).restore({ roots: [{ name: ROOT_NAME, path: root, writable: true }] }, snapshot);
    await other.close();
    expect(readFileSync(join(root, 'a'), 'utf8')).toBe('one\n');
  });

  test('shows in the changes of its session only what was done since', async () => {
    writeFileSync(join(work, 'a'), 'one\n');
    const { id } = await send();
    const { sessionId } = (await begin(id)).json;
    expect((await api.ask('GET', `/v1/sessions/${sessionId}/diff`)).text).toBe('');
    writeFileSync(join(work, 'a'), 'two\n');
    const store = api.deps.snapshots.of(uuid('workspace', id));
    const { id: head } = await store.take({ roots: [{ name: ROOT_NAME, path: work, writable: true }] });
    await api.db.sql`UPDATE workspace w SET head = ${head} FROM session s
                      WHERE s.workspace_id = w.id AND s.id = ${uuid('session', sessionId)}`;
    const { text } = await api.ask('GET', `/v1/sessions/${sessionId}/diff`);
    expect(text).toMatch(/^diff --git a\/a b\/a\n[\s\S]*\n-one\n\+two\n$/);
  });

  test('is sent again as what has changed of it, and shares the rest', async () => {
    for (let index = 0; index < 300; index += 1)
      writeFileSync(join(work, `${index}`), `file ${index}\n`.repeat(20));
    const first = await send();
    writeFileSync(join(work, '7'), 'changed\n');
    const change = await packed(first.snapshot);
    expect(change.pack.length).toBeLessThan(10_000);
    const second = Workspace.parse((await post(change, { query: { base: first.id } })).json);
    const rows = await api.db.sql`SELECT lineage FROM upload WHERE id = ${uuid('workspace', second.id)}`;
    expect(rows).toEqual([{ lineage: uuid('workspace', first.id) }]);
    const alone = await post(change);
    expect(alone).toMatchObject({ status: 400, json: { code: 'upload_incomplete' } });
  });

  test('must be sent whole where it was lost', async () => {
    writeFileSync(join(work, 'a'), 'one\n');
    const first = await send();
    const lineage = uuid('workspace', first.id);
    rmSync(join(api.dataDir, 'own', `${lineage}.git`), { recursive: true });
    rmSync(shared, { recursive: true });
    mkdirSync(shared);
    const fresh = openSnapshots({ directory: join(api.dataDir, 'own'), shared });
    expect(await fresh.of(lineage).has(first.snapshot)).toBe(false);
    await fresh.close();
    expect((await api.ask('GET', `/v1/workspaces/${first.id}`)).json).toMatchObject({ held: false });
    writeFileSync(join(work, 'b'), 'two\n');
    const answer = await post(await packed(first.snapshot), { query: { base: first.id } });
    expect(answer).toMatchObject({ status: 409, json: { code: 'base_missing' } });
    expect(await begin(first.id)).toMatchObject({ status: 409, json: { code: 'files_elsewhere' } });
  });

  test('is one under one Idempotency-Key, also at once; another under it is refused', async () => {
    writeFileSync(join(work, 'a'), 'one\n');
    const headers = { 'idempotency-key': 'once' };
    const before = (await uploadsOf()).length;
    const pack = await packed();
    const answers = await Promise.all([post(pack, { headers }), post(pack, { headers })]);
    answers.push(await post(pack, { headers }));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1);
    expect(await uploadsOf()).toHaveLength(before + 1);
    writeFileSync(join(work, 'a'), 'two\n');
    const other = await post(await packed(), { headers });
    expect(other).toMatchObject({ status: 409, json: { code: 'idempotency_conflict' } });
    const { apiKey } = await api.addPerson('third', 'Cy');
    const theirs = await post(pack, { headers, key: apiKey });
    expect(theirs.status).toBe(201);
    expect(theirs.json.id).not.toBe(answers[0]?.json.id);
  });
});

describe('what is refused', () => {
  let kept: string[];
  let rows: number;
  beforeEach(async () => {
    writeFileSync(join(work, 'a'), 'one\n');
    kept = readdirSync(join(api.dataDir, 'own'));
    rows = (await uploadsOf()).length;
  });
  afterEach(async () => {
    expect(readdirSync(join(api.dataDir, 'own'))).toEqual(kept);
    expect(await uploadsOf()).toHaveLength(rows);
  });

  test('is what has no right form', async () => {
    const good = await packed();
    const codeOf = async (asking: Parameters<typeof post>[1], change: Partial<Packed> = {}) => {
      const { status, json } = await post({ ...good, ...change }, asking);
      return `${status} ${json.code}`;
    };
    expect(await codeOf({}, { snapshot: 'HEAD' })).toBe('400 invalid_request');
    expect(await codeOf({ query: { directory: 'a\nb' } })).toBe('400 invalid_request');
    expect(await codeOf({ query: { directory: '' } })).toBe('400 invalid_request');
    expect(await codeOf({ query: { directory: 'x'.repeat(MAX_DIRECTORY_LENGTH + 1) } })).toBe(
      '400 invalid_request',
    );
    expect(await codeOf({ query: { more: '1' } })).toBe('400 invalid_request');
    expect(await codeOf({ query: { base: 'ws_1' } })).toBe('404 not_found');
    expect(await codeOf({ headers: { 'content-type': 'application/json' } })).toBe(
      '415 unsupported_media_type',
    );
    expect(await codeOf({}, { pack: Buffer.from('no pack') as Buffer<ArrayBuffer> })).toBe(
      '400 upload_malformed',
    );
    expect(await codeOf({}, { snapshot: '0'.repeat(40) })).toBe('400 upload_incomplete');
  });

  test('is what is larger than the limit, whether it says so or not', async () => {
    const pack = Buffer.alloc(LIMIT_BYTES + 1);
    const { snapshot } = await packed();
    const said = await post({ snapshot, pack });
    expect(said).toMatchObject({ status: 413, json: { code: 'upload_too_large' } });
    expect(said.json.detail).toMatch(/^The upload has 1048577 bytes; up to 1,048,576 are taken: ignore/);
    const response = await fetch(`${api.url}/v1/workspaces?${queryOf({ snapshot })}`, {
      ...{ method: 'POST', duplex: 'half', body: new Blob([pack]).stream() },
      headers: { authorization: `Bearer ${api.me.apiKey}`, 'content-type': PACK_MEDIA },
    } as RequestInit);
    expect(response.status).toBe(413);
    await response.body?.cancel();
    // As large as may be, and no pack.
    const exactly = await post({ snapshot, pack: pack.subarray(1) as Buffer<ArrayBuffer> });
    expect(exactly).toMatchObject({ status: 400, json: { code: 'upload_malformed' } });
  });

  test('is what is cut off', async () => {
    const { snapshot, pack } = await packed();
    const { hostname, port } = new URL(api.url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    const lines = [
      `POST /v1/workspaces?${queryOf({ snapshot })} HTTP/1.1`,
      `host: ${hostname}`,
      `authorization: Bearer ${api.me.apiKey}`,
      `content-type: ${PACK_MEDIA}`,
      `content-length: ${pack.length}`,
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    socket.write(pack.subarray(0, pack.length - 1));
    await vi.waitFor(
      () => expect(readdirSync(join(api.dataDir, 'own')).length).toBe(kept.length + 1),
      30_000,
    );
    socket.destroy();
    await vi.waitFor(() => expect(readdirSync(join(api.dataDir, 'own'))).toEqual(kept), 30_000);
  });
});

test('a directory may have a name as long as that may be', async () => {
  const directory = 'ü'.repeat(MAX_DIRECTORY_LENGTH);
  expect(await send({ query: { directory } })).toMatchObject({ directory });
});

describe('the rules of a project that was sent', () => {
  const rules = (text: string) => {
    mkdirSync(join(work, '.capybara'), { recursive: true });
    writeFileSync(join(work, '.capybara/config.yaml'), text);
  };
  const restrictionsOf = async (taskId: string) => {
    const [row] = await api.db.sql<{ restrictions: unknown }>`
      SELECT p.body->'permissions'->'restrictions' AS restrictions FROM task t JOIN profile p ON p.hash = t.profile_hash
       WHERE t.id = ${uuid('task', taskId)}`;
    return row?.restrictions;
  };

  test('are those that it was sent with, for all tasks of the session', async () => {
    rules('permissions:\n  "bash(git push *)": deny\nmcp:\n  servers: {own: {command: x}}\n');
    const { id } = await send();
    const first = (await begin(id)).json;
    const [begun] = await api.db.sql`
      SELECT w.project_servers AS servers FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${uuid('session', first.sessionId)}`;
    expect(begun).toEqual({ servers: { own: { command: 'x' } } });
    const narrowed = [expect.objectContaining({ tool: 'bash', decision: 'deny' })];
    expect(await restrictionsOf(first.id)).toEqual(narrowed);
    rmSync(join(work, '.capybara'), { recursive: true });
    const store = api.deps.snapshots.of(uuid('workspace', id));
    const { id: head } = await store.take({ roots: [{ name: ROOT_NAME, path: work, writable: true }] });
    await api.db.sql`UPDATE workspace w SET head = ${head} FROM session s
                      WHERE s.workspace_id = w.id AND s.id = ${uuid('session', first.sessionId)}`;
    const next = await api.submit({ sessionId: first.sessionId });
    expect(await restrictionsOf(next.id)).toEqual(narrowed);
  });

  test('cannot allow anything', async () => {
    rules('permissions:\n  "bash(*)": allow\n');
    const answer = await begin((await send()).id);
    expect(answer).toMatchObject({ status: 400, json: { code: 'config_not_allowed' } });
  });

  test('that cannot be read let no task begin', async () => {
    rules('permissions: [');
    expect(await begin((await send()).id)).toMatchObject({ status: 400, json: { code: 'config_malformed' } });
    rmSync(join(work, '.capybara'), { recursive: true });
    writeFileSync(join(work, 'rules.yaml'), '');
    mkdirSync(join(work, '.capybara'));
    symlinkSync('../rules.yaml', join(work, '.capybara/config.yaml'));
    expect(await begin((await send()).id)).toMatchObject({
      status: 400,
      json: { code: 'config_unreadable' },
    });
  });
});

test('the OpenAPI document says how to send one', async () => {
  const { json } = await api.ask('GET', '/openapi.json');
  expect(Object.keys(json.paths['/v1/workspaces'].post.requestBody.content)).toEqual([PACK_MEDIA]);
  expect(json.paths['/v1/workspaces/{id}'].get.summary).toBe('A directory that was sent.');
});
