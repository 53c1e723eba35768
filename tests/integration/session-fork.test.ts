import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Session } from '../../src/api/wire.ts';
import { MAX_POSITION } from '../../src/api/wire-takeover.ts';
import { MAX_TITLE_LENGTH } from '../../src/core/title.ts';
import { findBrokenInvariants } from '../../src/store/invariants.ts';
import { liveSnapshots } from '../../src/store/live-snapshots.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { call, hang, say } from '../support/scripted-model/scripted-model.ts';
import { type Asking, uuid } from './api-harness.ts';
import { openShop, SHOP_TIMEOUT_MS, type Shop, write } from './session-harness.ts';

vi.setConfig({ testTimeout: SHOP_TIMEOUT_MS, hookTimeout: SHOP_TIMEOUT_MS });

let it: Shop;
let place: string;
beforeAll(async () => {
  it = await openShop();
  place = mkdtempSync(join(tmpdir(), 'capybara-fork-'));
});
afterAll(async () => {
  await it.close();
  rmSync(place, { recursive: true });
});
afterEach(async () => {
  expect(await findBrokenInvariants(it.db)).toEqual([]);
  expect(it.model.refusals).toEqual([]);
});

const fork = (id: string, body: unknown = {}, asking: Asking = {}) =>
  it.ask('POST', `/v1/sessions/${id}/fork`, { body, ...asking });

/** Turns 1 to 3 write to `a`, and the fourth says so. */
async function threeWrites(to?: Record<string, unknown>): Promise<string> {
  const steps = ['1\n', '2\n', '3\n'].map((content) => write('a', content));
  return (await it.run('Write thrice.', [...steps, say('Written.')], to)).sessionId;
}

async function entriesOf(id: string) {
  const { json } = await it.ask('GET', `/v1/sessions/${id}/entries?limit=200`);
  return json.data as { position: number; kind: string; parts: { text?: string }[] }[];
}

describe('a fork', () => {
  test('begins with the log up to a turn, and with the files as they were after it', async () => {
    const source = await threeWrites();
    const { status, json } = await fork(source, { turn: 2, title: 'Another way' });
    expect(status).toBe(201);
    const forked = Session.parse(json);
    expect(forked).toMatchObject({
      title: 'Another way',
      rootId: forked.id,
      parentId: null,
      state: 'idle',
      forkedFrom: { sessionId: source, entry: 6 },
    });
    expect((await it.ask('GET', `/v1/sessions/${forked.id}/why`)).status).toBe(200);
    const [mine, theirs] = [await entriesOf(forked.id), await entriesOf(source)];
    expect(mine.slice(0, 6)).toEqual(theirs.slice(0, 6));
    expect(mine.slice(6).map(({ position, kind }) => [position, kind])).toEqual([[7, 'notice']]);

    await it.run('What is in it?', [call('read_file', { path: 'a' }), write('a', 'fork\n'), say('Seen.')], {
      sessionId: forked.id,
    });
    const seen = it.lastSeen(forked.id).join('\n');
    expect(seen).toContain('Write thrice.');
    expect(seen).toMatch(/tool: .*2\n/);
    expect(seen).not.toMatch(/tool: .*3\n/);
    expect(seen).toContain('A person has branched this conversation off here.');
    expect([await it.read(forked.id, 'a'), await it.read(source, 'a')]).toEqual(['fork\n', '3\n']);
    expect((await entriesOf(source)).length).toBe(theirs.length);
  });

  test('stores no entry of its source again, which may be archived', async () => {
    const source = await threeWrites();
    await it.db.sql`UPDATE session SET archived_at = clock_timestamp() WHERE id = ${uuid('session', source)}`;
    const [before] = await it.db.sql<{ n: number }>`SELECT count(*)::int AS n FROM entry`;
    expect((await fork(source)).json.archivedAt).toBeNull();
    const [after] = await it.db.sql<{ n: number }>`SELECT count(*)::int AS n FROM entry`;
    expect(after?.n).toBe((before?.n ?? 0) + 1);
  });

  test('of a fork goes back behind its own beginning', async () => {
    const source = await threeWrites();
    const first = (await fork(source, { turn: 3 })).json;
    await it.run('Write more.', [write('a', '4\n'), say('Written.')], { sessionId: first.id });
    const own = (await fork(first.id, { turn: 4 })).json;
    const inherited = (await fork(first.id, { turn: 1 })).json;
    expect(own.forkedFrom.sessionId).toBe(first.id);
    expect(inherited.forkedFrom).toEqual({ sessionId: source, entry: 4 });
    for (const [session, content] of [
      [own, '4\n'],
      [inherited, '1\n'],
    ]) {
      await it.run('Say it.', [call('read_file', { path: 'a' }), write('b', 'x'), say('Said.')], {
        sessionId: session.id,
      });
      expect(await it.read(session.id, 'a')).toBe(content);
    }
  });

  test('at turn 0 has nothing of the log, and the files of the beginning', async () => {
    const source = await threeWrites();
    const { json } = await fork(source, { turn: 0 });
    await it.run('Look.', [write('b', 'x'), say('Looked.')], { sessionId: json.id });
    expect(await it.read(json.id, 'a')).toBeUndefined();
    expect(it.lastSeen(json.id).join('\n')).not.toContain('Write thrice.');
    // What the project is like is told, as to any session that begins.
    expect(it.lastSeen(json.id).join('\n')).toContain('Platform: ');
  });

  test('of a session at work has what is settled of it; the turn in hand is refused', async () => {
    const source = await threeWrites();
    const release = Promise.withResolvers<void>();
    const steps = [[hang(release.promise), write('a', 'on\n')], say('Gone on.')];
    const running = it.run('Hang.', steps, { sessionId: source });
    await it.model.waitForRequest(({ messages }) => messages.at(-1)?.text === 'Hang.');
    const { json } = await fork(source);
    expect((await entriesOf(json.id)).at(-2)?.parts[0]?.text).toBe('Written.');
    release.resolve();
    await running;
    expect((await fork(source, { turn: 5 })).status).toBe(201);
  });

  test('knows which files its source had read by then, and edits none that changed since', async () => {
    const append = call('bash', { command: 'echo more >> a' });
    const steps = [write('a', '1\n'), call('read_file', { path: 'a' }), append, say('Done.')];
    const { sessionId } = await it.run('Read, then append.', steps);
    const edit = call('edit_file', { path: 'a', old_string: '1', new_string: 'one' });
    for (const [turn, content] of [
      [2, 'one\n'],
      [3, '1\nmore\n'],
    ] as const) {
      const { json } = await fork(sessionId, { turn });
      await it.run('Edit it.', [edit, say('Done.')], { sessionId: json.id });
      expect(await it.read(json.id, 'a')).toBe(content);
    }
  });

  test.each([['empty'], ['local']])(
    'of a session with ignored files says that they are not in the copy: %s',
    async (kind) => {
      const path = mkdtempSync(join(place, 'user-'));
      const make = [write('.gitignore', 'cache\n'), call('bash', { command: 'mkdir cache' }), say('Made.')];
      const workspace = kind === 'local' ? { kind, path } : { kind };
      const { sessionId } = await it.run('Make it.', make, { workspace });
      const [before, after] = [(await fork(sessionId, { turn: 1 })).json, (await fork(sessionId)).json];
      for (const [{ id }, count] of [
        [before, 0],
        [after, 1],
      ]) {
        await it.run('Go on.', [say('On.')], { sessionId: id });
        await it.run('Go on still.', [say('On.')], { sessionId: id });
        const lost = it
          .lastSeen(id)
          .filter((text) => text.includes('Gone since you last worked here: cache/.'));
        expect(lost).toHaveLength(count);
      }
      await it.run('Go on.', [say('On.')], { sessionId });
      expect(it.lastSeen(sessionId).join('\n')).not.toContain('Gone since');
    },
  );

  test('of a directory of the user’s is a copy that Capybara keeps', async () => {
    const path = mkdtempSync(join(place, 'user-'));
    writeFileSync(join(path, 'mine'), 'mine');
    const source = await threeWrites({ workspace: { kind: 'local', path } });
    const { json } = await fork(source, { turn: 1 });
    expect(json.workspace).toEqual({ kind: 'empty', path: null });
    await it.run('In the copy.', [write('b', 'fork'), say('Done.')], { sessionId: json.id });
    expect(await it.read(json.id, 'a')).toBe('1\n');
    expect(await it.read(json.id, 'mine')).toBe('mine');
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('3\n');
    expect(() => readFileSync(join(path, 'b'))).toThrow();
    const diff = await it.ask('GET', `/v1/sessions/${json.id}/diff`);
    expect(diff.text).toContain('+++ b/b');
    expect(diff.text).not.toContain('mine');
  });

  test('of a directory in which nothing was changed yet has what is there', async () => {
    const path = mkdtempSync(join(place, 'user-'));
    writeFileSync(join(path, 'mine'), 'mine');
    const { sessionId } = await it.run('Only talk.', [say('Talked.')], {
      workspace: { kind: 'local', path },
    });
    const { json } = await fork(sessionId);
    await it.run('Change it.', [write('mine', 'changed'), say('Done.')], { sessionId: json.id });
    expect(readFileSync(join(path, 'mine'), 'utf8')).toBe('mine');
    expect((await it.ask('GET', `/v1/sessions/${json.id}/diff`)).text).toContain('-mine');
  });

  describe('of a directory of the user’s', () => {
    const RULES = 'permissions:\n  "write_file(secret/**)": deny\n';
    const withRules = (rules = RULES) => {
      const path = mkdtempSync(join(place, 'user-'));
      mkdirSync(join(path, '.capybara'));
      writeFileSync(join(path, '.capybara', 'config.yaml'), rules);
      return path;
    };
    const resultsIn = async (id: string) =>
      (await entriesOf(id)).flatMap(({ kind, parts }) => (kind === 'tool_result' ? [parts[0]?.text] : []));
    const DENIED = 'Denied: The rule write_file(secret/**) forbids it.';
    /** An agent takes the rules out of the file, then does what they forbid: in one task, and in the next. */
    const triesAsIn = async (sessionId: string) => {
      const steps = [write('.capybara/config.yaml', ''), write('secret/a', 'x'), say('Tried.')];
      await it.run('Try it.', steps, { sessionId });
      await it.run('Try again.', [write('secret/a', 'x'), say('Tried.')], { sessionId });
      return (await resultsIn(sessionId)).slice(-3);
    };
    const REFUSED = [expect.stringMatching(/^Overwrote/), DENIED, DENIED];

    test('is bound by the rules of the project there, and so is a fork of it', async () => {
      const path = withRules();
      const source = await threeWrites({ workspace: { kind: 'local', path } });
      const { json } = await fork(source, { turn: 1 });
      expect(await triesAsIn(json.id)).toEqual(REFUSED);
      expect(await triesAsIn((await fork(json.id)).json.id)).toEqual(REFUSED);
    });

    test('is bound as the directory says when it is made', async () => {
      const path = withRules('');
      const source = await threeWrites({ workspace: { kind: 'local', path } });
      const before = (await fork(source)).json;
      writeFileSync(join(path, '.capybara', 'config.yaml'), RULES);
      const after = (await fork(source, { turn: 1 })).json;
      expect(await triesAsIn(after.id)).toEqual(REFUSED);
      expect(await triesAsIn(before.id)).not.toContain(DENIED);
      writeFileSync(join(path, '.capybara', 'config.yaml'), 'permissions:\n  bash: allow\n');
      expect([(await fork(source)).status, (await fork(source)).json.code]).toEqual([
        400,
        'config_not_allowed',
      ]);
    });

    test('is bound as the copied files say where the directory is gone', async () => {
      const path = withRules();
      const source = await threeWrites({ workspace: { kind: 'local', path } });
      rmSync(path, { recursive: true });
      expect(await triesAsIn((await fork(source)).json.id)).toEqual(REFUSED);
    });
  });

  test('under one key is one, also where the log has grown since', async () => {
    const source = await threeWrites();
    const headers = { 'idempotency-key': 'k1' };
    const first = await fork(source, {}, { headers });
    await it.run('Go on.', [say('On.')], { sessionId: source });
    const again = await fork(source, {}, { headers });
    expect(again.json).toEqual(first.json);
    const other = await fork(source, { turn: 1 }, { headers });
    expect([other.status, other.json.code]).toEqual([409, 'idempotency_conflict']);
    expect((await fork(source, { title: 'x' }, { headers })).json.code).toBe('idempotency_conflict');
    const [last] = await it.db.sql<{
      at: number;
    }>`SELECT forked_at AS at FROM session WHERE forked_from IS NOT NULL ORDER BY id DESC LIMIT 1`;
    expect((await fork(source, { entry: last?.at }, { headers })).json.code).toBe('idempotency_conflict');
    await it.ask('PATCH', `/v1/sessions/${first.json.id}`, { body: { title: 'renamed' } });
    expect((await fork(source, {}, { headers })).json).toEqual(first.json);
    await it.ask('DELETE', `/v1/sessions/${first.json.id}`);
    expect((await fork(source, {}, { headers })).json.code).toBe('session_deleted');
  });

  test('has all that it needs, and so has a merge, where all is pruned that nobody needs', async () => {
    const source = await threeWrites();
    const other = (await fork(source, { turn: 2 })).json.id;
    await it.run('Add b.', [write('b', '1\n'), say('Added.')], { sessionId: other });
    const lineage = uuid('session', source);
    const pruning = openSnapshots({ directory: join(it.dataDir, 'snapshots'), limits: { pruneGraceMs: 0 } });
    await pruning.of(lineage).prune(await liveSnapshots(it.db, lineage));
    await pruning.close();
    expect((await it.ask('POST', `/v1/sessions/${source}/merge`, { body: { from: other } })).status).toBe(
      201,
    );
    for (const [turn, content] of ['1\n', '2\n', '3\n'].entries()) {
      const { json } = await fork(source, { turn: turn + 1 });
      await it.run('Look there.', [write('c', 'x'), say('Looked.')], { sessionId: json.id });
      expect(await it.read(json.id, 'a')).toBe(content);
    }
  });

  test('at what is not there is refused with what is', async () => {
    const source = await threeWrites();
    const unknown = await fork(source, { turn: 5 });
    expect([unknown.status, unknown.json]).toMatchObject([
      400,
      { code: 'turn_unknown', detail: `The session ${source} has no turn 5: expected 0 to 4.` },
    ]);
    expect((await fork(source, { entry: 10 })).json).toMatchObject({ code: 'entry_unknown' });
    for (const at of ['turn', 'entry']) {
      const changes = (position: number) => it.ask('GET', `/v1/sessions/${source}/changes?${at}=${position}`);
      for (const answer of [fork(source, { [at]: MAX_POSITION }), changes(MAX_POSITION)])
        expect((await answer).json).toMatchObject({ status: 400, code: `${at}_unknown` });
      for (const answer of [fork(source, { [at]: MAX_POSITION + 1 }), changes(MAX_POSITION + 1)])
        expect((await answer).json).toMatchObject({ status: 400, code: 'invalid_request' });
    }
    expect((await fork(source, { entry: 9 })).status).toBe(201);
    expect((await fork(source, { title: 't'.repeat(MAX_TITLE_LENGTH) })).status).toBe(201);
    const long = 't'.repeat(MAX_TITLE_LENGTH + 1);
    for (const body of [
      { turn: -1 },
      { turn: 1.5 },
      { turn: 1, entry: 1 },
      { title: '' },
      { title: long },
      { turns: 1 },
    ])
      expect((await fork(source, body)).json).toMatchObject({ code: 'invalid_request' });
  });

  test('of another team’s session is not there', async () => {
    const source = await threeWrites();
    const { apiKey } = await it.addPerson('theirs', 'Bo');
    expect((await fork(source, {}, { key: apiKey })).status).toBe(404);
    expect((await fork(`ses_${'0'.repeat(32)}`)).status).toBe(404);
  });

  test('reads the outputs that its source was told, and none that came later', async () => {
    const long = call('bash', { command: 'seq 1 20000' });
    const { sessionId } = await it.run('Long.', [long, long, say('Done.')]);
    const calls = await it.ask('GET', `/v1/sessions/${sessionId}/tool-calls`);
    const [first, second] = calls.json.data.map(({ outputId }: { outputId: string }) => outputId);
    const { json } = await fork(sessionId, { turn: 1 });
    const read = (output: string) => call('read_output', { id: output });
    await it.run('Read them.', [[read(first), read(second)], say('Read.')], { sessionId: json.id });
    const results = (await entriesOf(json.id)).filter(({ kind }) => kind === 'tool_result').slice(-2);
    expect(results.map(({ parts }) => (parts[0]?.text ?? '').slice(0, 3))).toEqual([
      '1\n2',
      expect.not.stringMatching(/^1\n2/),
    ]);
  });
});
