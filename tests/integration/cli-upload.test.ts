/** A directory on one machine, a server on two others: it is sent, changed there, and comes back. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { isMetadata } from '../../src/core/metadata-name.ts';
import { readTree, type Tree, trees, writeTree } from '../contract/snapshots-harness.ts';
import { byPrompt, CLI_TIMEOUT_MS, type CliProcess, git, normalised, Place } from '../support/cli.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  call,
  type ScriptedModel,
  say,
  startScriptedModel,
  usage,
} from '../support/scripted-model/scripted-model.ts';

vi.setConfig({ testTimeout: 2 * CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

const COUNTS = usage({ input: 10, output: 1, cached: 0, reasoning: 0 });

/** What an agent may do to files. */
const CHANGE = [
  "printf 'two\\r\\n\\000\\377' > 'src/binary file'",
  "printf 'changed\\r\\n' >> crlf.txt",
  'chmod +x plain.txt',
  "printf 'new\\n' > \"$(printf 'a\\nname')\"",
  'rm -r gone',
  'ln -sfn plain.txt link',
  'mkdir -p made/deep && printf x > made/deep/file',
  'mv moved.txt made/moved.txt',
  "printf 'mine\\n' >> nested/inner.txt",
].join(' && ');

let place: Place;
let database: TestDatabase;
let model: ScriptedModel;
let client: Record<string, string>;
let api: CliProcess;
let work: string;
/** The tree that the agent makes of the files. */
let become: string;
const host = (name: string) => join(place.path, name);

beforeAll(async () => {
  place = new Place();
  database = await createTestDatabase();
  const steps = (command: string) => [
    [call('bash', { command }), COUNTS],
    [say('Done.'), COUNTS],
  ];
  const becoming = () => steps(`find . -mindepth 1 -delete; cp -a '${become}/.' .`);
  model = await startScriptedModel({
    script: (request) =>
      byPrompt({
        become: becoming(),
        change: steps(CHANGE),
        more: steps('echo more >> plain.txt'),
        look: [[say('Seen.'), COUNTS]],
      })(request),
  });
  const server = {
    DATABASE_URL: database.url,
    CAPYBARA_MODEL_ENDPOINT: model.baseUrl,
    CAPYBARA_MODEL: 'scripted',
    CAPYBARA_SNAPSHOTS: host('shared'),
  };
  const first = await place.run(['migrate', '--bootstrap'], { env: server });
  const [, apiKey = ''] = /(capy_\S+)\n$/.exec(first.stdout) ?? [];
  api = place.start(['api', '--port', '0'], { env: { ...server, CAPYBARA_DATA_DIR: host('api-host') } });
  const worker = place.start(['worker'], { env: { ...server, CAPYBARA_DATA_DIR: host('worker-host') } });
  const [[, url = '']] = await Promise.all([
    api.says(/"url":"(http:[^"]+)".*the API listens/),
    worker.says(/worker ready/),
  ]);
  client = { CAPYBARA_API_KEY: apiKey, CAPYBARA_URL: url };
});
afterAll(async () => {
  await place.remove();
  await model.close();
  await database.drop();
});

/** A project in the middle of somebody's work. */
beforeEach(() => {
  work = realpathSync(mkdtempSync(join(place.path, 'work-')));
  writeFileSync(join(work, 'plain.txt'), 'one\n');
  writeFileSync(join(work, 'crlf.txt'), 'a\r\nb\r\n');
  writeFileSync(join(work, 'moved.txt'), 'moves\n'.repeat(10));
  writeFileSync(join(work, '.gitignore'), 'cache\n');
  git(work, 'init', '--quiet', '--initial-branch=main');
  git(work, 'add', '--all');
  git(work, 'commit', '--quiet', '--message', 'Begin');
  writeFileSync(join(work, 'plain.txt'), 'one\nnot committed\n');
  for (const name of ['src', 'gone', 'empty', 'nested', 'cache']) mkdirSync(join(work, name));
  writeFileSync(join(work, 'src', 'binary file'), Buffer.from([0, 255, 13, 10, 200]));
  writeFileSync(join(work, 'gone', 'file'), 'goes\n');
  writeFileSync(join(work, 'run.sh'), '#!/bin/sh\n');
  chmodSync(join(work, 'run.sh'), 0o755);
  symlinkSync('crlf.txt', join(work, 'link'));
  git(join(work, 'nested'), 'init', '--quiet');
  writeFileSync(join(work, 'nested', 'inner.txt'), 'inner\n');
  writeFileSync(join(work, 'cache', 'ignored'), 'stays here\n');
});

const asClient = (...args: string[]) => place.run(args, { cwd: work, env: client });

/** The files of the newest session on the worker's host. */
async function onServer(): Promise<Tree> {
  const workspaces = join(host('worker-host'), 'workspaces');
  const [newest = ''] = readdirSync(workspaces).toSorted().toReversed();
  return project(join(workspaces, newest, 'files/.'));
}

/** Without what an agent did not get, and what a patch does not hold: version control's own. */
function project(root: string): Tree {
  const isOwn = (path: string) => !/(^|\/)\.git(\/|$)/.test(path) && !/^cache(\/|$)/.test(path);
  return Object.fromEntries(Object.entries(readTree(root)).filter(([path]) => isOwn(path)));
}

test('what was not committed goes too, and comes back byte for byte as the agent left it', async () => {
  const before = readTree(work);
  const { code, stdout, stderr } = await asClient('run', 'change', '--mode', 'auto');
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(/^Sent this directory: [\d.]+ KiB\.\n$/),
  });
  expect(normalised(stdout)).toMatch(
    /\nNext: capybara diff ses_…, and capybara apply ses_… to have it here\n$/,
  );
  expect(readTree(work)).toEqual(before);
  const left = await onServer();
  expect(left).not.toEqual(project(work));
  const applied = await asClient('apply', 'last');
  expect(applied).toMatchObject({ code: 0, stderr: '' });
  expect(project(work)).toEqual(left);
  expect(lstatSync(join(work, 'plain.txt')).mode & 0o111).not.toBe(0);
  expect(readFileSync(join(work, 'cache', 'ignored'), 'utf8')).toBe('stays here\n');
  expect(git(work, 'log', '--format=%s')).toBe('Begin\n');
});

/** What patches are about: no directories of nothing, no repositories, no links where git's own configuration may stand. */
const applicable = trees.map(
  (tree): Tree =>
    Object.fromEntries(
      Object.entries(tree).filter(([path, { type }]) => {
        if (type === 'directory' || path.split('/').some((name) => isMetadata(name))) return false;
        return type === 'file' || !path.includes('.gitmodules');
      }),
    ),
);

test('any tree comes back as the agent made it of any other', async () => {
  await fc.assert(
    fc.asyncProperty(applicable, applicable, async (before, after) => {
      const [mine, theirs] = ['mine-', 'theirs-'].map((name) => mkdtempSync(join(place.path, name))) as [
        string,
        string,
      ];
      writeTree(mine, before);
      writeTree(theirs, after);
      become = theirs;
      const run = await place.run(['run', 'become', '--mode', 'auto'], { cwd: mine, env: client });
      expect(run).toMatchObject({ code: 0 });
      expect(await place.run(['apply', 'last'], { cwd: mine, env: client })).toMatchObject({
        code: 0,
        stderr: '',
      });
      expect(files(mine)).toEqual(files(theirs));
    }),
    { numRuns: 3 },
  );
});

function files(root: string): Tree {
  return Object.fromEntries(Object.entries(readTree(root)).filter(([, { type }]) => type !== 'directory'));
}

test('only what has changed is sent again, and nothing where nothing has', async () => {
  for (let index = 0; index < 200; index += 1) {
    writeFileSync(join(work, `file-${index}`), `line ${index}\n`.repeat(50));
  }
  const first = await asClient('submit', 'look');
  expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^task_[0-9a-f]{32}\n$/) });
  const second = await asClient('submit', 'look');
  expect(second.stderr).toBe('Nothing to send: the server has this directory as it is.\n');
  writeFileSync(join(work, 'file-7'), 'changed\n');
  const third = await asClient('submit', 'look');
  expect(third.stderr).toMatch(/^Sent what changed in this directory: [\d.]+ (bytes|KiB)\.\n$/);
  const json = await asClient('submit', 'look', '--json');
  expect(json.stderr).toBe('');
  const { sessionId } = JSON.parse(json.stdout);
  const shown = await asClient('sessions', 'show', sessionId);
  expect(shown.stdout).toContain(`workspace  ${work}\n`);
});

test('--continue goes on with the files of the session, and says so', async () => {
  const none = await asClient('run', '--continue', 'more');
  expect(none).toMatchObject({ code: 2, stdout: '' });
  expect(none.stderr).toMatch(
    /^No session was begun with \S+ on http:\S+ from this machine yet: leave --continue out to begin one\.\n$/,
  );
  await asClient('run', 'more', '--mode', 'auto');
  writeFileSync(join(work, 'later'), 'not sent');
  const { code, stderr } = await asClient('run', '--continue', 'more', '--mode', 'auto');
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr:
      'The session goes on with its own files, as the agent left them: what was changed here meanwhile is not sent.\n',
  });
  expect(await onServer()).toMatchObject({ 'plain.txt': { content: 'one\nnot committed\nmore\nmore\n' } });
  expect(await onServer()).not.toHaveProperty('later');
  const sessions = JSON.parse((await asClient('sessions', 'list', '--json')).stdout).data;
  expect(
    sessions.filter((each: { workspace: { path: string } }) => each.workspace.path === work),
  ).toHaveLength(1);
});

test('another directory may be sent, and no dangerous one is looked at', async () => {
  const other = realpathSync(mkdtempSync(join(place.path, 'other-')));
  writeFileSync(join(other, 'only'), 'this');
  execFileSync('mkfifo', [join(other, 'pipe')]);
  const sent = await asClient('run', 'look', '--workspace', other);
  // Nothing was changed: there is nothing to apply.
  expect(normalised(sent.stdout)).toMatch(/\nNext: capybara run --continue "…"\n$/);
  expect(sent).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^Not sent: pipe \(special\)\nSent this directory: \d+ bytes\.\n$/),
  });
  for (const directory of ['/', '/etc', place.home]) {
    const { code, stdout, stderr } = await asClient('run', 'look', '--workspace', directory);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^The workspace \S+ is a (system|home) directory; give [^\n]*\n$/);
  }
  const own = await asClient('run', 'look', '--workspace', place.dataDir);
  expect(own.stderr).toMatch(/overlaps Capybara's own data directory/);
});

test('what the server has lost is sent again', async () => {
  await asClient('submit', 'look');
  for (const name of ['shared', 'api-host/snapshots']) rmSync(host(name), { recursive: true });
  mkdirSync(join(host('api-host'), 'snapshots'));
  writeFileSync(join(work, 'more'), 'more');
  const again = await asClient('run', 'look');
  expect(again).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Sent this directory: /) });
  expect(existsSync(join(work, '.capybara'))).toBe(false);
});

test('what is more than the server takes is told, and no task begins', async () => {
  const small = { CAPYBARA_UPLOAD_MIB: '1', CAPYBARA_DATA_DIR: host('small-host') };
  const server = {
    DATABASE_URL: database.url,
    CAPYBARA_MODEL_ENDPOINT: model.baseUrl,
    CAPYBARA_MODEL: 'scripted',
  };
  const other = place.start(['api', '--port', '0'], { env: { ...server, ...small } });
  const [, url = ''] = await other.says(/"url":"(http:[^"]+)".*the API listens/);
  const noise = Buffer.alloc(2 * 1024 * 1024);
  for (let at = 0; at < noise.length; at += 4) noise.writeUInt32LE(Math.trunc(Math.random() * 2 ** 32), at);
  writeFileSync(join(work, 'noise'), noise);
  const { code, stdout, stderr } = await place.run(['submit', 'look'], {
    cwd: work,
    env: { ...client, CAPYBARA_URL: url },
  });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(
    /^The upload has \d+ bytes; up to 1,048,576 are taken: ignore what is generated \(\.gitignore\)/,
  );
  expect(readdirSync(join(place.dataDir, 'sent')).filter((name) => name.endsWith('.pack'))).toEqual([]);
  await other.end();
});
