import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { TOLD_ANSWER, TOLD_FILES, TOLD_PROMPT, TOLD_TASKS } from '../../src/api/merge-notice.ts';
import { MergedSession } from '../../src/api/wire.ts';
import { applyChanges } from '../../src/cli/apply/apply.ts';
import { readChanges } from '../../src/cli/apply/changes.ts';
import { findBrokenInvariants } from '../../src/store/invariants.ts';
import { call, hang, say } from '../support/scripted-model/scripted-model.ts';
import type { Asking } from './api-harness.ts';
import { openShop, SHOP_TIMEOUT_MS, type Shop } from './session-harness.ts';

vi.setConfig({ testTimeout: SHOP_TIMEOUT_MS, hookTimeout: SHOP_TIMEOUT_MS });

let it: Shop;
let place: string;
let runs = 0;
beforeAll(async () => {
  it = await openShop();
  place = mkdtempSync(join(tmpdir(), 'capybara-merge-'));
});
afterAll(async () => {
  await it.close();
  rmSync(place, { recursive: true });
});
afterEach(async () => {
  expect(await findBrokenInvariants(it.db)).toEqual([]);
  expect(it.model.refusals).toEqual([]);
});

const merge = (id: string, from: string, more: Record<string, unknown> = {}, asking: Asking = {}) =>
  it.ask('POST', `/v1/sessions/${id}/merge`, { body: { from, ...more }, ...asking });
const fork = async (id: string, body: unknown = {}): Promise<string> =>
  (await it.ask('POST', `/v1/sessions/${id}/fork`, { body })).json.id;

/** Whatever stands there, and whether the model has seen it or not. */
const put = (path: string, content: string) =>
  call('bash', {
    command: `printf '${content.replaceAll('\n', '\\n').replaceAll('\0', '\\000')}' > ${path}`,
  });

/** A task that writes these files; each has a prompt of its own. */
async function writes(files: Record<string, string>, to?: Record<string, unknown>): Promise<string> {
  runs += 1;
  const calls = Object.entries(files).map(([path, content]) => put(path, content));
  const { sessionId } = await it.run(`Write ${runs}.`, [calls, say(`Wrote ${runs}.`)], to);
  return sessionId;
}

/** Brings the session's files to the disk, and what its model sees to light. */
async function look(sessionId: string): Promise<string> {
  runs += 1;
  await it.run(`Look ${runs}.`, [call('bash', { command: 'ls' }), say('Looked.')], { sessionId });
  return it.lastSeen(sessionId).join('\n');
}

const LINES = 'one\ntwo\nthree\nfour\nfive\n';

describe('a merge of a fork', () => {
  test('takes in what it changed since it began, beside what was changed here', async () => {
    const id = await writes({ a: LINES, b: 'old\n', mine: '1\n' });
    const other = await fork(id);
    await writes({ a: LINES.replace('five', 'theirs'), b: 'new\n' }, { sessionId: other });
    await writes({ a: LINES.replace('one', 'ours'), mine: '2\n' }, { sessionId: id });
    const { status, json } = await merge(id, other.toUpperCase());
    expect([status, MergedSession.parse(json)]).toMatchObject([
      201,
      { sessionId: id, from: other, files: 'merged', conflicts: [] },
    ]);
    const seen = await look(id);
    expect(await it.read(id, 'a')).toBe('ours\ntwo\nthree\nfour\ntheirs\n');
    expect([await it.read(id, 'b'), await it.read(id, 'mine')]).toEqual(['new\n', '2\n']);
    expect(seen).toContain(`A person has merged the session ${other} into this one`);
    expect(seen).toMatch(
      /<untrusted source="the session that was merged in[^>]*>[\s\S]*modified a\n- modified b[\s\S]*Asked: Write \d+\.\nsucceeded: Wrote \d+\./,
    );
    expect(await it.read(other, 'mine')).toBe('1\n');
    const { json: events } = await it.ask('GET', `/v1/sessions/${id}/events?limit=200`);
    expect(events.data.find(({ type }: { type: string }) => type === 'session.merged')).toMatchObject({
      data: { mergedFrom: other, conflicts: 0 },
    });
  });

  test('tells of conflicts, to whoever asked and to the model, and loses neither side', async () => {
    const id = await writes({ a: 'base\n', bin: '\u0000base', gone: 'base\n' });
    const other = await fork(id);
    await writes({ a: 'theirs\n', bin: '\u0000theirs', gone: 'theirs\n' }, { sessionId: other });
    await it.run(
      'Remove it.',
      [[put('a', 'ours\n'), put('bin', '\u0000ours'), call('bash', { command: 'rm gone' })], say('Done.')],
      {
        sessionId: id,
      },
    );
    const { json } = await merge(id, other);
    const label = other.slice(0, 16);
    expect(json.conflicts).toEqual([
      { path: 'a', kind: 'content' },
      { path: 'bin', kind: 'binary', keptAt: `bin.${label}` },
      { path: 'gone', kind: 'deleted' },
    ]);
    const seen = await look(id);
    expect(seen).toContain('- a (both versions stand in the file, between conflict marks)');
    expect(await it.read(id, 'a')).toMatch(/<<<<<<< ours\nours\n=======\ntheirs\n>>>>>>> ses_/);
    expect(await it.read(id, 'bin')).toBe('\u0000ours');
    expect(await it.read(id, `bin.${label}`)).toBe('\u0000theirs');
    expect(await it.read(id, 'gone')).toBe('theirs\n');
  });

  test('again begins where the last one ended, in either direction', async () => {
    const id = await writes({ a: '1\n', b: '1\n' });
    const other = await fork(id);
    await writes({ a: '2\n' }, { sessionId: other });
    await merge(id, other);
    await writes({ a: '3\n' }, { sessionId: id });
    await writes({ b: '2\n' }, { sessionId: other });
    expect((await merge(id, other)).json.conflicts).toEqual([]);
    expect(await look(id)).toMatch(/Changed files:\n- modified b\n\nAsked: [^\n]*\n[^\n]*\n<\/untrusted>/);
    expect([await it.read(id, 'a'), await it.read(id, 'b')]).toEqual(['3\n', '2\n']);
    expect((await merge(other, id)).json.conflicts).toEqual([]);
    await look(other);
    expect([await it.read(other, 'a'), await it.read(other, 'b')]).toEqual(['3\n', '2\n']);
  });

  test('that was taken back is done again from where the two were one', async () => {
    const id = await writes({ a: '1\n' });
    const other = await fork(id);
    await writes({ a: '2\n' }, { sessionId: other });
    await merge(id, other);
    await it.ask('POST', `/v1/sessions/${id}/revert`, { body: { turn: 2 } });
    await look(id);
    expect(await it.read(id, 'a')).toBe('1\n');
    await merge(id, other);
    await look(id);
    expect(await it.read(id, 'a')).toBe('2\n');
  });

  test('of two forks of a third goes by what all three had', async () => {
    const id = await writes({ a: '1\n', b: '1\n' });
    const [one, other] = [await fork(id), await fork(id)];
    await writes({ a: 'one\n' }, { sessionId: one });
    await writes({ b: 'other\n' }, { sessionId: other });
    expect((await merge(one, other)).json.conflicts).toEqual([]);
    await look(one);
    expect([await it.read(one, 'a'), await it.read(one, 'b')]).toEqual(['one\n', 'other\n']);
  });

  test('into a session that has begun with nothing works as well', async () => {
    const { sessionId: id } = await it.run('Only talk.', [say('Talked.')]);
    const other = await fork(id);
    await writes({ a: '1\n' }, { sessionId: other });
    expect((await merge(id, other)).status).toBe(201);
    await look(id);
    expect(await it.read(id, 'a')).toBe('1\n');
  });

  test('is bounded in what it tells', async () => {
    const id = await writes({ a: '1\n' });
    const other = await fork(id);
    const many = Object.fromEntries(Array.from({ length: TOLD_FILES + 2 }, (_, n) => [`f${n}`, `${n}\n`]));
    await writes(many, { sessionId: other });
    for (let n = 0; n < TOLD_TASKS + 1; n += 1)
      await it.run(`${'p'.repeat(1_000)} ${n}`, [say('a'.repeat(4_000))], { sessionId: other });
    await merge(id, other);
    const entries = await it.ask('GET', `/v1/sessions/${id}/entries?limit=200`);
    const text: string = entries.json.data.at(-1).parts[0].text;
    expect(text.match(/^Asked: /gm)).toHaveLength(TOLD_TASKS);
    expect(text.match(/^- /gm)).toHaveLength(TOLD_FILES + 1);
    expect(text).toContain('- … and 2 more');
    expect(text.length).toBeLessThan(TOLD_TASKS * (TOLD_PROMPT + TOLD_ANSWER + 50) + TOLD_FILES * 20 + 1_000);
  });

  test('is refused while a task of the one that takes it in is unfinished; the other may be at work', async () => {
    const id = await writes({ a: '1\n' });
    const other = await fork(id);
    await writes({ a: '2\n' }, { sessionId: other });
    const release = Promise.withResolvers<void>();
    const running = it.run('Hang here.', [[hang(release.promise), say('On.')]], { sessionId: other });
    await it.model.waitForRequest(({ messages }) => messages.at(-1)?.text === 'Hang here.');
    expect((await merge(other, id)).json.code).toBe('task_unfinished');
    expect((await merge(id, other)).status).toBe(201);
    release.resolve();
    await running;
  });

  test('under one key happens once, and says the same again', async () => {
    const id = await writes({ a: 'base\n' });
    const other = await fork(id);
    await writes({ a: 'theirs\n' }, { sessionId: other });
    await writes({ a: 'ours\n' }, { sessionId: id });
    const headers = { 'idempotency-key': 'm1' };
    const first = await merge(id, other, {}, { headers });
    expect(first.json.conflicts).toHaveLength(1);
    await writes({ a: 'settled\n' }, { sessionId: id });
    expect((await merge(id, other, {}, { headers })).json).toEqual(first.json);
    expect((await merge(id, await fork(id), {}, { headers })).json.code).toBe('idempotency_conflict');
    expect((await merge(id, other, { files: 'kept' }, { headers })).json.code).toBe('idempotency_conflict');
    await it.ask('DELETE', `/v1/sessions/${other}`);
    expect((await merge(id, other, {}, { headers })).json).toEqual(first.json);
    await look(id);
    expect(await it.read(id, 'a')).toBe('settled\n');
  });

  test('of what has nothing in common, is itself, is not there, or is another team’s, is refused', async () => {
    const id = await writes({ a: '1\n' });
    const stranger = await writes({ a: '1\n' });
    expect((await merge(id, stranger)).json.code).toBe('nothing_common');
    expect((await merge(id, id)).json).toMatchObject({
      code: 'nothing_common',
      detail: `Both are the same session, ${id}: expected another one to merge from.`,
    });
    expect((await merge(id, `ses_${'0'.repeat(32)}`)).status).toBe(404);
    expect((await merge(id, 'last')).status).toBe(404);
    const { apiKey } = await it.addPerson('theirs', 'Bo');
    expect((await merge(id, stranger, {}, { key: apiKey })).status).toBe(404);
  });
});

describe('a merge into a directory of the user’s', () => {
  async function local() {
    const path = mkdtempSync(join(place, 'user-'));
    const id = await writes({ a: LINES }, { workspace: { kind: 'local', path } });
    const other = await fork(id);
    await writes({ a: LINES.replace('five', 'theirs'), b: 'new\n' }, { sessionId: other });
    return { path, id, other };
  }

  /** As the CLI does it. */
  async function taken(id: string, other: string, path: string) {
    const response = await fetch(`${it.url}/v1/sessions/${other}/changes?into=${id}`, {
      headers: { authorization: `Bearer ${it.me.apiKey}` },
    });
    await applyChanges(readChanges(Buffer.from(await response.arrayBuffer())), path);
    return merge(id, other, { files: 'kept' });
  }

  test('is never done by a server', async () => {
    const { id, other, path } = await local();
    expect((await merge(id, other)).json.code).toBe('local_files');
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe(LINES);
  });

  test('keeps what the user changed meanwhile, and tells the model', async () => {
    const { id, other, path } = await local();
    writeFileSync(join(path, 'a'), LINES.replace('one', 'mine'));
    expect((await taken(id, other, path)).json.files).toBe('kept');
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('mine\ntwo\nthree\nfour\ntheirs\n');
    expect(await look(id)).toContain('a person has put its changes into the files here');
    expect((await taken(id, other, path)).status).toBe(201);
  });

  test('is refused whole where it does not fit', async () => {
    const { id, other, path } = await local();
    writeFileSync(join(path, 'a'), LINES.replace('five', 'mine'));
    await expect(taken(id, other, path)).rejects.toMatchObject({ code: 'apply_refused' });
    expect(() => readFileSync(join(path, 'b'))).toThrow();
  });
});
