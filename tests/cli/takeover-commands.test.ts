/** `apply`, `revert`, `diff --bundle`, `sessions fork|merge|turns` against a scripted server: what they ask, and what they say. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { streamOf } from '../../src/api/change-stream.ts';
import { answersText, checkWritable } from '../../src/cli/recording.ts';
import { capybara, withScriptedApi } from '../support/commands.ts';
import { aSession, assistant, problem, type ScriptedApi, SESSION_ID } from './scripted-api.ts';

const OTHER_ID = `ses_${'9'.repeat(32)}`;
let api: ScriptedApi;
let place: string;

withScriptedApi((started) => {
  api = started;
  place = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-commands-')));
  for (const id of [SESSION_ID, OTHER_ID])
    api.on(`GET /v1/sessions/${id}`, () => aSession({ id, workspace: { kind: 'local', path: place } }));
});
afterEach(() => rmSync(place, { recursive: true }));

const version = (content: string) => ({ mode: '100644' as const, content: Buffer.from(content) });
const serveChanges = (id: string, path: string, before: string, after: string) =>
  api.on(`GET /v1/sessions/${id}/changes`, (_, response) => {
    response.end(streamOf([{ path, before: version(before), after: version(after) }]));
  });
const empty = () => aSession({ workspace: { kind: 'empty', path: null } });

test('apply says what was merged, what was there already, and what does not fit', async () => {
  api.on(`GET /v1/sessions/${SESSION_ID}`, empty);
  serveChanges(SESSION_ID, 'a', '1\n2\n3\n', '1\n2\n4\n');
  const apply = () => capybara('apply', SESSION_ID, '--directory', place);
  writeFileSync(join(place, 'a'), '0\n2\n3\n');
  expect((await apply()).stdout).toBe(`Applied 1 file to ${place}.\nMerged with what was changed here: a.\n`);
  expect((await apply()).stdout).toBe(`Nothing to do: ${place} has all changes already.\n`);
  writeFileSync(join(place, 'a'), '1\n2\n5\n');
  expect(await apply()).toEqual({
    code: 1,
    stdout: '',
    stderr:
      "Nothing was applied: files here were changed in ways that the session's changes do not fit.\n" +
      '  a: it was changed here too, in the same place\n',
  });
  expect(
    JSON.parse((await capybara('apply', SESSION_ID, '--directory', place, '--json')).stdout),
  ).toMatchObject({
    code: 'apply_refused',
    exitCode: 1,
  });
  expect(readFileSync(join(place, 'a'), 'utf8')).toBe('1\n2\n5\n');
});

test('revert puts the files of a directory back, then the log; a server puts back its own', async () => {
  serveChanges(SESSION_ID, 'a', '3\n', '1\n');
  writeFileSync(join(place, 'a'), '3\n');
  api.on(`POST /v1/sessions/${SESSION_ID}/revert`, ({ body }) => {
    expect(readFileSync(join(place, 'a'), 'utf8')).toBe('1\n');
    return {
      sessionId: SESSION_ID,
      to: 4,
      entry: 10,
      files: (body as { files?: 'kept' }).files ?? 'put_back',
    };
  });
  expect(await capybara('revert', SESSION_ID, '--to', '1')).toEqual({
    code: 0,
    stderr: '',
    stdout: 'The session and its files are back at the end of turn 1.\n',
  });
  expect(api.received.at(-1)).toMatchObject({ body: { turn: 1, files: 'kept' } });
  api.on(`GET /v1/sessions/${SESSION_ID}`, empty);
  expect((await capybara('revert', SESSION_ID, '--to', '0')).stdout).toContain('back at the beginning.');
  expect(api.received.at(-1)?.body).toEqual({ turn: 0 });
});

test('revert touches nothing where the server says no, or the files do not fit', async () => {
  writeFileSync(join(place, 'a'), '3\n');
  api.on(`GET /v1/sessions/${SESSION_ID}/changes`, (_, response) =>
    problem(response, 409, 'task_unfinished', 'It has a task that is not finished.'),
  );
  expect(await capybara('revert', SESSION_ID, '--to', '1')).toMatchObject({
    code: 2,
    stderr: 'It has a task that is not finished.\n',
  });
  serveChanges(SESSION_ID, 'a', 'other\n', '1\n');
  expect((await capybara('revert', SESSION_ID, '--to', '1')).code).toBe(1);
  expect(readFileSync(join(place, 'a'), 'utf8')).toBe('3\n');
  expect(api.received.filter(({ method }) => method === 'POST')).toEqual([]);
});

test('sessions fork prints the new id, and how to go on with it', async () => {
  api.on(`POST /v1/sessions/${SESSION_ID}/fork`, () => aSession({ id: OTHER_ID }));
  expect((await capybara('sessions:fork', SESSION_ID, '--turn', '2', '--title', 'Anew')).stdout).toBe(
    `${OTHER_ID}\nGo on with it: capybara run --session ${OTHER_ID} "…"\n`,
  );
  expect(api.received.at(-1)).toMatchObject({
    body: { turn: 2, title: 'Anew' },
    headers: { 'idempotency-key': expect.stringMatching(/^[0-9a-f-]{36}$/) },
  });
  await capybara('sessions:fork', SESSION_ID);
  expect(api.received.at(-1)?.body).toEqual({});
});

test('sessions merge tells conflicts; into a directory of one’s own it puts the files first', async () => {
  const conflicts = [{ path: 'bin', kind: 'binary', keptAt: 'bin.ses_9' }];
  api.on(`POST /v1/sessions/${SESSION_ID}/merge`, ({ body }) => ({
    ...{ sessionId: SESSION_ID, entry: 7, conflicts, files: 'merged' },
    from: (body as { from: string }).from,
  }));
  serveChanges(OTHER_ID, 'a', '1\n', '2\n');
  writeFileSync(join(place, 'a'), '1\n');
  expect((await capybara('sessions:merge', SESSION_ID, OTHER_ID)).stdout).toBe(
    `Merged ${OTHER_ID} into ${SESSION_ID}.\n  conflict: bin (binary, the other one is bin.ses_9)\n` +
      'Its model is told of them at its next turn.\n',
  );
  expect(readFileSync(join(place, 'a'), 'utf8')).toBe('2\n');
  expect(api.received.find(({ path }) => path.endsWith('/changes'))?.query).toEqual({ into: SESSION_ID });
  expect(api.received.at(-1)?.body).toEqual({ from: OTHER_ID, files: 'kept' });
  api.on(`GET /v1/sessions/${SESSION_ID}`, empty);
  await capybara('sessions:merge', SESSION_ID, OTHER_ID);
  expect(api.received.at(-1)?.body).toEqual({ from: OTHER_ID });
});

test('sessions merge wants two sessions', async () => {
  api.on('GET /v1/sessions', () => ({ data: [aSession()], nextCursor: null }));
  expect(await capybara('sessions:merge', SESSION_ID, 'last')).toEqual({
    ...{ code: 2, stdout: '' },
    stderr: `Both are the same session, ${SESSION_ID}: name another one to merge from.\n`,
  });
  expect(api.received.filter(({ method }) => method === 'POST')).toEqual([]);
});

test('sessions turns numbers the answers, and marks what was taken back', async () => {
  const entries = [
    assistant(1, 'One.', [['c', 'bash', '{}']]),
    assistant(2, 'Two.'),
    { ...assistant(3, 'Back.'), kind: 'revert', to: 1 },
    assistant(4, 'Three.'),
  ];
  api.on(`GET /v1/sessions/${SESSION_ID}/entries`, ({ query }) =>
    query.cursor === undefined
      ? { data: entries.slice(0, 2), nextCursor: '2' }
      : { data: entries.slice(2), nextCursor: null },
  );
  expect((await capybara('sessions:turns', SESSION_ID)).stdout).toBe(
    'TURN  AT                                    TOOLS  SAID\n' +
      '1     2026-01-02T03:04:05.000Z              bash   One.\n' +
      '2     2026-01-02T03:04:05.000Z  taken back         Two.\n' +
      '3     2026-01-02T03:04:05.000Z                     Three.\n',
  );
});

test('a recording that could not be written in the end is refused before anything is asked', async () => {
  const refused = (file: string) => checkWritable(join(place, file)).catch((error: Error) => error.message);
  expect(await refused('nowhere/session.json')).toMatch(/^The recording could not be written: ENOENT/);
  mkdirSync(join(place, 'taken'));
  expect(await refused('taken')).toContain('EISDIR');
  expect(await refused('session.json')).toBeUndefined();
  expect(readdirSync(place)).not.toContain('session.json');
  expect([answersText(1), answersText(2)]).toEqual(['1 answer', '2 answers']);
});

test('sessions export records the answers that stand, page by page', async () => {
  const entries = [
    assistant(1, 'One.'),
    assistant(2, 'Two.'),
    { ...assistant(3, 'Back.'), kind: 'revert', to: 1 },
    assistant(4, 'Three.'),
  ];
  api.on(`GET /v1/sessions/${SESSION_ID}/entries`, ({ query }) =>
    query.cursor === undefined
      ? { data: entries.slice(0, 2), nextCursor: '2' }
      : { data: entries.slice(2), nextCursor: null },
  );
  const file = join(place, 'session.json');
  const { stdout } = await capybara('sessions:export', SESSION_ID, '--recording', file);
  expect(stdout).toBe(`Recorded 2 answers of ${SESSION_ID} in ${file}.\n`);
  const { format, version, turns } = JSON.parse(readFileSync(file, 'utf8'));
  expect({ format, version }).toEqual({ format: 'capybara-recording', version: 1 });
  expect(turns.map(({ answers }: { answers: number }) => answers)).toEqual([0, 1]);
  expect(turns.map(({ answer }: { answer: { parts: unknown } }) => answer.parts)).toEqual([
    [{ type: 'text', text: 'One.' }],
    [{ type: 'text', text: 'Three.' }],
  ]);
  const nowhere = await capybara('sessions:export', SESSION_ID, '--recording', join(place, 'none', 'x'));
  expect(nowhere).toMatchObject({ code: 1, stdout: '' });
  expect(nowhere.stderr).toContain('The recording cannot be written: ENOENT');
});

test('diff writes a bundle where it is told to', async () => {
  api.on(`GET /v1/sessions/${SESSION_ID}/bundle`, (_, response) => void response.end('# v2 git bundle\n'));
  const file = join(place, 'out.bundle');
  expect((await capybara('diff', SESSION_ID, '--bundle', file)).stdout).toBe(
    `Wrote ${file}: git fetch ${file} brings the commit.\n`,
  );
  expect(readFileSync(file, 'utf8')).toBe('# v2 git bundle\n');
  expect((await capybara('diff', SESSION_ID, '--bundle', file, '--branch', 'x')).code).toBe(2);
  writeFileSync(file, 'mine\n');
  expect(await capybara('diff', SESSION_ID, '--bundle', file)).toEqual({
    code: 2,
    stdout: '',
    stderr: `There is a file "${file}" already: name another, or add --force to write over it.\n`,
  });
  expect(readFileSync(file, 'utf8')).toBe('mine\n');
  expect((await capybara('diff', SESSION_ID, '--bundle', file, '--force')).code).toBe(0);
  expect(readFileSync(file, 'utf8')).toBe('# v2 git bundle\n');
  expect((await capybara('diff', SESSION_ID, '--force')).code).toBe(2);
  const nowhere = join(place, 'nowhere', 'out.bundle');
  expect(await capybara('diff', SESSION_ID, '--bundle', nowhere)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^"\S+" cannot be written \(ENOENT: .*\): name another\.\n$/),
  });
});

test('run goes on with the session that is named, and with no other at once', async () => {
  api.on('POST /v1/tasks', (_, response) => problem(response, 409, 'session_archived', 'It is archived.'));
  expect((await capybara('submit', 'Go on.', '--session', SESSION_ID)).stderr).toBe('It is archived.\n');
  expect(api.received.at(-1)?.body).toMatchObject({ prompt: 'Go on.', sessionId: SESSION_ID });
  expect(api.received.at(-1)?.body).not.toHaveProperty('workspace');
  expect(await capybara('submit', 'Go on.', '--session', SESSION_ID, '--continue')).toMatchObject({
    code: 2,
    stderr:
      '--session goes on with one session, which has its workspace: leave out --continue and --workspace.\n',
  });
});
