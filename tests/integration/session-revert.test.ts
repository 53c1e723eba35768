import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Reverted } from '../../src/api/wire.ts';
import { applyChanges } from '../../src/cli/apply/apply.ts';
import { readChanges } from '../../src/cli/apply/changes.ts';
import { SUMMARY_REQUEST } from '../../src/core/compaction.ts';
import { findBrokenInvariants } from '../../src/store/invariants.ts';
import { call, hang, type Step, say } from '../support/scripted-model/scripted-model.ts';
import { type Asking, uuid } from './api-harness.ts';
import { openShop, SHOP_TIMEOUT_MS, type Shop, write } from './session-harness.ts';

vi.setConfig({ testTimeout: SHOP_TIMEOUT_MS, hookTimeout: SHOP_TIMEOUT_MS });

let it: Shop;
let place: string;
beforeAll(async () => {
  it = await openShop();
  place = mkdtempSync(join(tmpdir(), 'capybara-revert-'));
});
afterAll(async () => {
  await it.close();
  rmSync(place, { recursive: true });
});
afterEach(async () => {
  expect(await findBrokenInvariants(it.db)).toEqual([]);
  expect(it.model.refusals).toEqual([]);
});

const revert = (id: string, body: unknown, asking: Asking = {}) =>
  it.ask('POST', `/v1/sessions/${id}/revert`, { body, ...asking });

/** Turns 1 to 3 write to `a`, and the fourth says so. */
async function threeWrites(to?: Record<string, unknown>): Promise<string> {
  const steps = ['1\n', '2\n', '3\n'].map((content) => write('a', content));
  return (await it.run('Write thrice.', [...steps, say('Written.')], to)).sessionId;
}

const look = (sessionId: string, prompt: string) =>
  it.run(prompt, [call('bash', { command: 'cat a 2>/dev/null || echo none' }), say('Looked.')], {
    sessionId,
  });

describe('a revert', () => {
  test('takes log and files back to the end of a turn, and the model sees no more', async () => {
    const id = await threeWrites();
    const { status, json } = await revert(id, { turn: 2 });
    expect([status, Reverted.parse(json)]).toEqual([
      201,
      { sessionId: id, to: 6, entry: 10, files: 'put_back' },
    ]);
    await look(id, 'Look once.');
    const seen = it.lastSeen(id).join('\n');
    expect(seen).toContain('A person has taken this conversation back to this point');
    expect(seen).toMatch(/tool: 2\n/);
    expect(seen).not.toContain('Written.');
    expect(await it.read(id, 'a')).toBe('2\n');
  });

  test('keeps all in the log, and goes forward again as it went back', async () => {
    const id = await threeWrites();
    await revert(id, { turn: 1 });
    await look(id, 'Look at one.');
    expect(await it.read(id, 'a')).toBe('1\n');
    await revert(id, { turn: 4 });
    await look(id, 'Look at three.');
    expect(await it.read(id, 'a')).toBe('3\n');
    const seen = it.lastSeen(id).join('\n');
    expect(seen).toContain('Written.');
    expect(seen).not.toContain('Look at one.');
    const entries = await it.ask('GET', `/v1/sessions/${id}/entries?limit=200`);
    expect(entries.json.data.filter(({ kind }: { kind: string }) => kind === 'revert')).toMatchObject([
      { position: 10, to: 4, taskId: null, turn: null },
      { to: 9 },
    ]);
    const calls = await it.ask('GET', `/v1/sessions/${id}/tool-calls`);
    expect(calls.json.data).toHaveLength(5);
  });

  test('takes back what the agent knows of files, too', async () => {
    const edit = (from: string) => [
      call('edit_file', { path: 'a', old_string: from, new_string: 'x' }),
      say('Done.'),
    ];
    const id = await threeWrites();
    await revert(id, { turn: 1 });
    await it.run('Edit one.', edit('1'), { sessionId: id });
    expect(await it.read(id, 'a')).toBe('x\n');
    const path = mkdtempSync(join(place, 'user-'));
    const kept = await threeWrites({ workspace: { kind: 'local', path } });
    await revert(kept, { turn: 1, files: 'kept' });
    await it.run('Edit three.', edit('3'), { sessionId: kept });
    expect(it.lastSeen(kept).at(-1)).toContain("'a' is not what it was when you read it");
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('3\n');
  });

  test('to before the first turn begins anew, with what the project is like', async () => {
    const id = await threeWrites();
    await revert(id, { turn: 0 });
    await look(id, 'Look anew.');
    expect(it.lastSeen(id).at(-1)).toBe('tool: none\n');
    expect(it.lastSeen(id).join('\n')).toContain('Platform: ');
    expect(it.lastSeen(id).join('\n')).not.toContain('Write thrice.');
    expect((await it.ask('GET', `/v1/sessions/${id}/diff`)).text).toBe('');
  });

  test('that leaves the files empties what the model sees, and nothing else', async () => {
    const id = await threeWrites();
    expect((await revert(id, { entry: 0, files: 'left' })).json).toMatchObject({ to: 0, files: 'left' });
    await look(id, 'Look anew.');
    const seen = it.lastSeen(id).join('\n');
    expect(seen).not.toContain('Write thrice.');
    expect(seen).toContain('The files of the workspace stay as they are now');
    expect(await it.read(id, 'a')).toBe('3\n');
    expect((await it.ask('GET', `/v1/sessions/${id}/diff`)).text).toContain('+3');
    const fork = (await it.ask('POST', `/v1/sessions/${id}/fork`, { body: {} })).json.id;
    await look(fork, 'Look there.');
    expect(it.lastSeen(fork).at(-1)).toContain('3\n');
  });

  test('that leaves the files may be of a person’s own directory', async () => {
    const path = mkdtempSync(join(place, 'left-'));
    const id = await threeWrites({ workspace: { kind: 'local', path } });
    expect((await revert(id, { entry: 0, files: 'left' })).json).toMatchObject({ files: 'left' });
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('3\n');
    expect((await it.ask('GET', `/v1/sessions/${id}/diff`)).text).toContain('+3');
  });

  test('is what a fork behind it begins with, and one before it does not', async () => {
    const id = await threeWrites();
    await revert(id, { turn: 1 });
    const [behind, before] = [
      (await it.ask('POST', `/v1/sessions/${id}/fork`, { body: {} })).json,
      (await it.ask('POST', `/v1/sessions/${id}/fork`, { body: { turn: 3 } })).json,
    ];
    await look(behind.id, 'In the one.');
    await look(before.id, 'In the other.');
    expect([await it.read(behind.id, 'a'), await it.read(before.id, 'a')]).toEqual(['1\n', '3\n']);
    expect(it.lastSeen(behind.id).join('\n')).not.toMatch(/Written|tool: .*2\n/);
  });

  test('is told as an event', async () => {
    const id = await threeWrites();
    await revert(id, { entry: 6 });
    const { json } = await it.ask('GET', `/v1/sessions/${id}/events?limit=200`);
    expect(json.data.slice(-2)).toMatchObject([
      { type: 'session.reverted', data: { to: 6, position: 10 } },
      { type: 'workspace.snapshotted' },
    ]);
  });

  test('is refused while a task is unfinished, and changes nothing', async () => {
    const id = await threeWrites();
    const release = Promise.withResolvers<void>();
    const running = it.run('Hang on.', [[hang(release.promise), say('On.')]], { sessionId: id });
    await it.model.waitForRequest(({ messages }) => messages.at(-1)?.text === 'Hang on.');
    const { status, json } = await revert(id, { turn: 1 });
    expect([status, json.code]).toEqual([409, 'task_unfinished']);
    expect((await it.ask('GET', `/v1/sessions/${id}/changes?turn=1`)).json.code).toBe('task_unfinished');
    release.resolve();
    await running;
  });

  test('under one key happens once', async () => {
    const id = await threeWrites();
    const headers = { 'idempotency-key': 'once' };
    const first = await revert(id, { turn: 2 }, { headers });
    await look(id, 'Look between.');
    expect((await revert(id, { turn: 2 }, { headers })).json).toEqual(first.json);
    for (const body of [{ turn: 1 }, { turn: 2, files: 'left' }])
      expect((await revert(id, body, { headers })).json.code).toBe('idempotency_conflict');
    await it.db.sql`UPDATE session SET archived_at = clock_timestamp()`;
    expect((await revert(id, { turn: 2 }, { headers })).json).toEqual(first.json);
    await it.db.sql`UPDATE session SET archived_at = NULL`;
  });

  test('of what is not there, or said wrongly, or another team’s, is refused', async () => {
    const id = await threeWrites();
    expect((await revert(id, { turn: 5 })).json.code).toBe('turn_unknown');
    for (const body of [{}, { turn: 1, entry: 1 }, { turn: 1, files: 'mine' }])
      expect((await revert(id, body)).json.code).toBe('invalid_request');
    const { apiKey } = await it.addPerson('theirs', 'Bo');
    expect((await revert(id, { turn: 1 }, { key: apiKey })).status).toBe(404);
    await it.db.sql`UPDATE session SET archived_at = clock_timestamp() WHERE title = 'Write thrice.'`;
    expect((await revert(id, { turn: 1 })).json.code).toBe('session_archived');
  });
});

describe('a summary that a person asks for', () => {
  const compact = (id: string, asking: Asking = {}) =>
    it.ask('POST', `/v1/sessions/${id}/compact`, { body: {}, ...asking });
  const asksForSummary = ({ messages }: { messages: readonly { text: string }[] }) =>
    messages.at(-1)?.text.includes(SUMMARY_REQUEST) === true;

  test('is written before the next answer, once, and counts as no turn', async () => {
    const cat = call('bash', { command: 'seq 400' });
    const { sessionId: id } = await it.run('Count far.', [cat, say('Counted far.')]);
    const headers = { 'idempotency-key': 'sum' };
    const { status, json } = await compact(id, { headers });
    expect([status, json]).toEqual([201, { sessionId: id, entry: expect.any(Number) }]);
    expect((await compact(id, { headers })).json).toEqual(json);
    expect((await compact(id)).json.code).toBe('nothing_answered');
    const told = await it.ask('GET', `/v1/sessions/${id}/events?limit=200`);
    expect(told.json.data.at(-1)).toMatchObject({
      ...{ type: 'session.compaction_asked', data: { position: json.entry } },
    });

    const answers = [say('# Goal\nTo count.'), say('I counted to 400.')];
    // Both are the first answer behind what was said.
    const steps = Object.defineProperty([] as Step[], 0, { get: () => answers.shift() });
    const next = await it.run('How far?', steps, { sessionId: id, limits: { turns: 1 } });
    expect(next).toMatchObject({ status: 'succeeded', result: { text: 'I counted to 400.' } });
    const asked = it.model.requestsOf(uuid('session', id));
    expect(asked.filter(asksForSummary)).toHaveLength(1);
    const seen = it.lastSeen(id).join('\n');
    expect(seen).toMatch(/Count far\.[\s\S]*# Goal\nTo count\.[\s\S]*How far\?/);
    expect(seen).not.toMatch(/Counted far|399|A summary was asked/);
    expect((await compact(id)).status).toBe(201);
  });

  test('is refused where there is nothing to sum up, or somebody is at work', async () => {
    const { sessionId: id } = await it.run('Say it.', [say('Said.')]);
    await revert(id, { turn: 0 });
    expect((await compact(id)).json.code).toBe('nothing_answered');
    const release = Promise.withResolvers<void>();
    const running = it.run('Hold on.', [[hang(release.promise), say('On.')]], { sessionId: id });
    await it.model.waitForRequest(({ messages }) => messages.some(({ text }) => text.includes('Hold on.')));
    expect((await compact(id)).json.code).toBe('task_unfinished');
    release.resolve();
    await running;
  });
});

describe('a revert in a directory of the user’s', () => {
  async function local() {
    const path = mkdtempSync(join(place, 'user-'));
    writeFileSync(join(path, 'mine'), 'mine\n');
    return { path, id: await threeWrites({ workspace: { kind: 'local', path } }) };
  }

  /** As the CLI does it. */
  async function back(id: string, path: string, turn: number) {
    const response = await fetch(`${it.url}/v1/sessions/${id}/changes?turn=${turn}`, {
      headers: { authorization: `Bearer ${it.me.apiKey}` },
    });
    const applied = await applyChanges(readChanges(Buffer.from(await response.arrayBuffer())), path);
    return { applied, ...(await revert(id, { turn, files: 'kept' })) };
  }

  test('is never done by a server', async () => {
    const { id, path } = await local();
    expect((await revert(id, { turn: 1 })).json.code).toBe('local_files');
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('3\n');
  });

  test('keeps what the user changed since, and goes on from there', async () => {
    const { id, path } = await local();
    writeFileSync(join(path, 'mine'), 'changed\n');
    writeFileSync(join(path, 'more'), 'more\n');
    expect((await back(id, path, 1)).status).toBe(201);
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('1\n');
    expect(readFileSync(join(path, 'mine'), 'utf8')).toBe('changed\n');
    await look(id, 'Look here.');
    expect(it.lastSeen(id).at(-1)).toBe('tool: 1\n');
  });

  test('is refused whole where the user changed what it would put back', async () => {
    const { id, path } = await local();
    writeFileSync(join(path, 'a'), 'my own\n');
    await expect(back(id, path, 1)).rejects.toMatchObject({ code: 'apply_refused' });
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('my own\n');
  });

  describe('brings an ignored file back', () => {
    const env = (path: string) => {
      const place = join(path, '.env');
      return existsSync(place) ? readFileSync(place, 'utf8') : undefined;
    };
    /** Turn 2 writes `a`, 3 and 4 `.env`, 6 writes it once more, or removes it. */
    async function envWritten({ before, last }: { before?: string; last: Step }) {
      const path = mkdtempSync(join(place, 'user-'));
      writeFileSync(join(path, '.gitignore'), '.env\n');
      if (before !== undefined) writeFileSync(join(path, '.env'), before);
      const steps = [call('bash', { command: 'echo' }), write('a', '1\n'), write('.env', '1\n')];
      const to = { workspace: { kind: 'local', path } };
      const more = [write('.env', '2\n'), say('Written.')];
      const { sessionId: id } = await it.run('Write it.', [...steps, ...more], to);
      await it.run('Once more.', [last, say('Done.')], { sessionId: id });
      return { id, path };
    }
    const patch = (path: string) =>
      call('apply_patch', { input: `*** Begin Patch\n*** Delete File: ${path}\n*** End Patch` });

    test('as it was before a tool first wrote it, and as each turn left it', async () => {
      const { id, path } = await envWritten({ before: 'precious\n', last: write('.env', '3\n') });
      const found: (string | undefined)[] = [];
      for (const turn of [6, 4, 3, 2, 1, 0, 6, 2, 3, 0]) {
        expect((await back(id, path, turn)).status).toBe(201);
        found.push(env(path));
      }
      const precious = 'precious\n';
      const [back1, back2] = [
        ['3\n', '2\n', '1\n', precious, precious, precious],
        ['3\n', precious, '1\n', precious],
      ];
      expect(found).toEqual([...back1, ...back2]);
      await it.run('Write it again.', [write('.env', '4\n'), say('Done.')], { sessionId: id });
      await back(id, path, 0);
      expect(env(path)).toBe(precious);
    });

    test('that the agent removed, and takes away one that was not there', async () => {
      const removed = await envWritten({ before: 'precious\n', last: patch('.env') });
      expect(env(removed.path)).toBeUndefined();
      await back(removed.id, removed.path, 2);
      expect(env(removed.path)).toBe('precious\n');
      const made = await envWritten({ last: write('.env', '3\n') });
      await back(made.id, made.path, 3);
      expect(env(made.path)).toBe('1\n');
      await back(made.id, made.path, 2);
      expect(env(made.path)).toBeUndefined();
    });

    test('that the user wrote between turns, and not over what the user wrote since', async () => {
      const { id, path } = await envWritten({ before: 'precious\n', last: write('b', 'b\n') });
      await back(id, path, 0);
      writeFileSync(join(path, '.env'), 'mine now\n');
      await it.run('And again.', [write('.env', '4\n'), say('Done.')], { sessionId: id });
      await back(id, path, 0);
      expect(env(path)).toBe('mine now\n');
      await it.run('A last time.', [write('.env', '5\n'), say('Done.')], { sessionId: id });
      writeFileSync(join(path, '.env'), 'since\n');
      await expect(back(id, path, 0)).rejects.toMatchObject({ code: 'apply_refused' });
      expect(env(path)).toBe('since\n');
    });

    test('but knows none as a person’s that a command made in a workspace of Capybara’s own', async () => {
      const make = call('bash', { command: 'echo .env > .gitignore; echo made > .env' });
      const { sessionId } = await it.run('Make one.', [make, write('.env', '2\n'), say('Made.')]);
      const { text } = await it.ask('GET', `/v1/sessions/${sessionId}/diff`);
      expect(text).toContain('--- /dev/null\n+++ b/.env\n@@ -0,0 +1 @@\n+2\n');
    });

    test('in a diff too; a fork has it where the turn has, and merges what it made of it', async () => {
      const { id, path } = await envWritten({ before: 'precious\n', last: write('.env', '3\n') });
      expect((await it.ask('GET', `/v1/sessions/${id}/diff`)).text).toContain('\n-precious\n+3\n');
      const forked = async (turn: number) =>
        (await it.ask('POST', `/v1/sessions/${id}/fork`, { body: { turn } })).json.id as string;
      const [without, own] = [await forked(2), await forked(4)];
      await look(without, 'Look in the one.');
      await it.run('Write in the other.', [write('.env', '9\n'), say('Done.')], { sessionId: own });
      expect([await it.read(without, '.env'), await it.read(own, '.env')]).toEqual([undefined, '9\n']);
      expect((await it.ask('GET', `/v1/sessions/${own}/diff`)).text).toContain('\n-precious\n+9\n');
      const merged = await it.ask('POST', `/v1/sessions/${without}/merge`, { body: { from: own } });
      expect([merged.status, merged.json.conflicts]).toEqual([201, []]);
      await look(without, 'Look again.');
      expect(await it.read(without, '.env')).toBe('9\n');
      expect(env(path)).toBe('3\n');
    });
  });

  test('may be done again where it was broken off between files and log', async () => {
    const { id, path } = await local();
    const response = await fetch(`${it.url}/v1/sessions/${id}/changes?turn=2`, {
      headers: { authorization: `Bearer ${it.me.apiKey}` },
    });
    await applyChanges(readChanges(Buffer.from(await response.arrayBuffer())), path);
    const { applied, status } = await back(id, path, 2);
    expect([applied.changed, status]).toEqual([0, 201]);
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('2\n');
  });
});
