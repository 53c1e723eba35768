import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fromPublicId } from '../../src/core/id.ts';
import { ROOT_NAME } from '../../src/workspace/history.ts';
import { startTestApi, type TestApi } from './api-harness.ts';

let api: TestApi;
let place: string;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'capybara-files-'));
});
afterEach(() => rmSync(place, { recursive: true }));

async function diff(sessionId: string) {
  return fetch(`${api.url}/v1/sessions/${sessionId}/diff`, {
    headers: { authorization: `Bearer ${api.me.apiKey}` },
  });
}

/** As a worker records it. */
async function record(sessionId: string, change: () => void, what: 'base' | 'head'): Promise<void> {
  change();
  const id = fromPublicId('session', sessionId) ?? '';
  const root = { name: ROOT_NAME, path: place, writable: true };
  const { id: snapshot } = await api.deps.snapshots.of(id).take({ roots: [root] });
  if (what === 'base') {
    await api.db.sql`UPDATE workspace w SET base = ${snapshot}, head = ${snapshot} FROM session s
                      WHERE s.workspace_id = w.id AND s.id = ${id}`;
  } else {
    await api.db
      .sql`UPDATE workspace w SET head = ${snapshot} FROM session s WHERE s.workspace_id = w.id AND s.id = ${id}`;
  }
}

describe('the changes of a session', () => {
  test('are nothing where none were recorded', async () => {
    const { sessionId } = await api.submit();
    const response = await diff(sessionId);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/x-diff');
    expect(await response.text()).toBe('');
  });

  test('are a patch from nothing, where it began with nothing, that git applies byte for byte', async () => {
    const { sessionId } = await api.submit();
    const bytes = Buffer.from([0, 255, 13, 10, 200]);
    await record(
      sessionId,
      () => {
        mkdirSync(join(place, 'deep'));
        writeFileSync(join(place, 'deep/Grüße.bin'), bytes);
        writeFileSync(join(place, 'crlf.txt'), 'a\r\nb\r\n');
      },
      'head',
    );
    const response = await diff(sessionId);
    const target = join(place, 'target');
    mkdirSync(target);
    execFileSync('git', ['apply', '-'], {
      cwd: target,
      input: Buffer.from(await response.arrayBuffer()),
      env: { ...process.env, GIT_CEILING_DIRECTORIES: place },
    });
    expect(readFileSync(join(target, 'deep/Grüße.bin'))).toEqual(bytes);
    expect(readFileSync(join(target, 'crlf.txt'), 'utf8')).toBe('a\r\nb\r\n');
  });

  test('are those since it began', async () => {
    const { sessionId } = await api.submit();
    await record(sessionId, () => writeFileSync(join(place, 'a'), 'one\n'), 'base');
    await record(sessionId, () => writeFileSync(join(place, 'a'), 'two\n'), 'head');
    expect(await (await diff(sessionId)).text()).toMatch(/^diff --git a\/a b\/a\n[\s\S]*\n-one\n\+two\n$/);
  });

  test('of snapshots that another machine has are told to be there', async () => {
    const { sessionId } = await api.submit();
    const id = fromPublicId('session', sessionId) ?? '';
    await api.db.sql`UPDATE workspace w SET head = ${'0'.repeat(39)}::text || '1' FROM session s
                      WHERE s.workspace_id = w.id AND s.id = ${id}`;
    const response = await diff(sessionId);
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ code: 'files_elsewhere' });
  });

  test('of another team are not there', async () => {
    const { sessionId } = await api.submit();
    const other = await api.addPerson('theirs', 'Bo');
    const response = await fetch(`${api.url}/v1/sessions/${sessionId}/diff`, {
      headers: { authorization: `Bearer ${other.apiKey}` },
    });
    expect(response.status).toBe(404);
  });
});
