/** Several directories on one machine, a server on two others: they are sent, changed there, and each comes back. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { MAX_ROOTS } from '../../src/core/workspace.ts';
import { readTree, type Tree } from '../contract/snapshots-harness.ts';
import { byPrompt, CLI_TIMEOUT_MS, git, normalised, Place } from '../support/cli.ts';
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
const CHANGE = [
  "printf 'two\\r\\n\\000\\377' > 'app/src/binary file'",
  'chmod +x app/plain.txt',
  'rm -r app/gone',
  'ln -sfn plain.txt app/link',
  "printf 'mine\\n' >> lib/inner/file.txt",
  'mv app/moved.txt lib/moved.txt',
  'mkdir -p out/deep && printf x > out/deep/file',
  'cat docs/guide.md > lib/guide-copy',
].join(' && ');

let place: Place;
let database: TestDatabase;
let model: ScriptedModel;
let client: Record<string, string>;
let work: { app: string; lib: string; docs: string };
const host = (name: string) => join(place.path, name);

beforeAll(async () => {
  place = new Place();
  database = await createTestDatabase();
  const steps = (command: string) => [
    [call('bash', { command }), COUNTS],
    [say('Done.'), COUNTS],
  ];
  model = await startScriptedModel({
    script: (request) => {
      const [, docs] = /^read (\S+)$/m.exec(request.messages.map(({ text }) => text).join('\n')) ?? [];
      const read = docs === undefined ? {} : { [`read ${docs}`]: steps(`cat ${docs}/guide.md > guide-copy`) };
      return byPrompt({
        ...read,
        change: steps(CHANGE),
        append: steps('echo agent >> app/plain.txt; echo agent >> lib/inner/file.txt'),
        breach: steps('D=docs; echo x > $D/guide.md; echo fine > app/fine'),
        look: [[say('Seen.'), COUNTS]],
      })(request);
    },
  });
  const server = {
    DATABASE_URL: database.url,
    CAPYBARA_MODEL_ENDPOINT: model.baseUrl,
    CAPYBARA_MODEL: 'scripted',
    CAPYBARA_SNAPSHOTS: host('shared'),
  };
  const first = await place.run(['migrate', '--bootstrap'], { env: server });
  const [, apiKey = ''] = /(capy_\S+)\n$/.exec(first.stdout) ?? [];
  const api = place.start(['api', '--port', '0'], {
    env: { ...server, CAPYBARA_DATA_DIR: host('api-host') },
  });
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

beforeEach(() => {
  const directory = (name: string) => realpathSync(mkdtempSync(join(place.path, `${name}-`)));
  work = { app: directory('app'), lib: directory('lib'), docs: directory('docs') };
  writeFileSync(join(work.app, 'plain.txt'), 'one\n');
  writeFileSync(join(work.app, 'moved.txt'), 'moves\n'.repeat(10));
  writeFileSync(join(work.app, '.gitignore'), 'cache\n');
  git(work.app, 'init', '--quiet', '--initial-branch=main');
  git(work.app, 'add', '--all');
  git(work.app, 'commit', '--quiet', '--message', 'Begin');
  for (const name of ['src', 'gone', 'empty', 'cache']) mkdirSync(join(work.app, name));
  writeFileSync(join(work.app, 'src', 'binary file'), Buffer.from([0, 255, 13, 10, 200]));
  writeFileSync(join(work.app, 'gone', 'file'), 'goes\n');
  writeFileSync(join(work.app, 'cache', 'ignored'), 'stays here\n');
  mkdirSync(join(work.lib, 'inner'));
  writeFileSync(join(work.lib, 'inner', 'file.txt'), 'inner\n');
  writeFileSync(join(work.docs, 'guide.md'), 'guide\n');
});

const asClient = (...args: string[]) => place.run(args, { cwd: work.app, env: client });
const roots = () => ['--root', 'app=.', '--root', `lib=${work.lib}`, '--root', `docs=${work.docs}:ro`];
const run = (prompt: string, ...more: string[]) =>
  asClient('run', prompt, '--mode', 'auto', ...roots(), ...more);

/** A root of the newest session, on the worker's host. */
async function onServer(root: string): Promise<Tree> {
  const workspaces = join(host('worker-host'), 'workspaces');
  const [newest = ''] = readdirSync(workspaces).toSorted().toReversed();
  return project(join(workspaces, newest, 'files', root));
}

function project(root: string): Tree {
  const isOwn = (path: string) => !/(^|\/)\.git(\/|$)/.test(path) && !/^cache(\/|$)/.test(path);
  return Object.fromEntries(Object.entries(readTree(root)).filter(([path]) => isOwn(path)));
}

test('each goes, and comes back byte for byte to where it was sent from', async () => {
  const docs = readTree(work.docs);
  const { code, stdout, stderr } = await run('change', '--root', 'out=empty');
  expect({ code, stderr: stderr.replaceAll(/[\d.]+ (KiB|bytes)/g, 'SIZE') }).toEqual({
    code: 0,
    stderr:
      'app: Sent this directory: SIZE.\nlib: Sent this directory: SIZE.\ndocs: Sent this directory: SIZE.\n',
  });
  expect(normalised(stdout)).toMatch(
    /\nNext: capybara diff ses_…, and capybara apply ses_… to have it here\n$/,
  );
  const shown = await asClient('sessions', 'show', 'last');
  const lines = shown.stdout.split('\n').map((line) => line.replace(/ +/, ' '));
  expect(lines).toEqual(
    expect.arrayContaining([
      'workspace roots',
      `root app=${work.app}`,
      `root docs=${work.docs}:ro`,
      `root lib=${work.lib}`,
      'root out=empty',
    ]),
  );
  expect((await asClient('sessions', 'list')).stdout).toMatch(/ app docs lib out +change\n/);
  expect((await asClient('diff', 'last')).stdout).toContain(
    'diff --git a/lib/inner/file.txt b/lib/inner/file.txt\n',
  );

  const branch = await asClient('diff', 'last', '--branch', 'agent/work');
  expect(branch).toMatchObject({ code: 2, stdout: '' });
  expect(branch.stderr).toContain('has several roots, whose changes are no commit of one repository');

  const nowhere = await asClient('apply', 'last');
  expect(nowhere).toMatchObject({ code: 2, stdout: '' });
  expect(nowhere.stderr).toContain(
    'The root out was not sent from this machine: say where its changes go, with --root out=DIRECTORY.',
  );
  const out = realpathSync(mkdtempSync(join(place.path, 'out-')));
  const [app, lib] = [await onServer('app'), await onServer('lib')];
  const applied = await asClient('apply', 'last', '--root', `out=${out}`);
  expect(applied).toMatchObject({ code: 0, stderr: '' });
  expect(applied.stdout).toMatch(/^Applied \d+ files to \S+ \(app\), \S+ \(lib\), \S+ \(out\)\.\n$/);
  expect([project(work.app), project(work.lib), readTree(out)]).toEqual([app, lib, await onServer('out')]);
  expect(readTree(work.docs)).toEqual(docs);
  expect(readFileSync(join(work.app, 'cache', 'ignored'), 'utf8')).toBe('stays here\n');
  expect(git(work.app, 'log', '--format=%s')).toBe('Begin\n');
  const again = await asClient('apply', 'last', '--root', `out=${out}`);
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('Nothing to do: ') });
});

test('nothing of any comes back where something of one does not fit', async () => {
  expect(await run('append')).toMatchObject({ code: 0 });
  writeFileSync(join(work.lib, 'inner', 'file.txt'), 'inner\nmine\n');
  const before = [readTree(work.app), readTree(work.lib)];
  const refused = await asClient('apply', 'last');
  expect(refused).toMatchObject({ code: 1, stdout: '' });
  expect(refused.stderr).toContain('  lib/inner/file.txt: it was changed here too, in the same place\n');
  expect([readTree(work.app), readTree(work.lib)]).toEqual(before);
  writeFileSync(join(work.lib, 'inner', 'file.txt'), 'inner\n');
  const copy = realpathSync(mkdtempSync(join(place.path, 'copy-')));
  writeFileSync(join(copy, 'plain.txt'), 'one\n');
  const applied = await asClient('apply', 'last', '--root', `app=${copy}`, '--json');
  expect(JSON.parse(applied.stdout)).toMatchObject({ files: 2, roots: { app: copy, lib: work.lib } });
  expect(readFileSync(join(copy, 'plain.txt'), 'utf8')).toBe('one\nagent\n');
  expect(readFileSync(join(work.lib, 'inner', 'file.txt'), 'utf8')).toBe('inner\nagent\n');
});

test('what an agent did to a read-only one is in no diff', async () => {
  expect(await run('breach')).toMatchObject({ code: 0 });
  const { stdout } = await asClient('diff', 'last');
  expect(stdout).toContain('a/app/fine');
  expect(stdout).not.toContain('docs');
  expect(await onServer('docs')).toEqual(readTree(work.docs));
});

test('the embedded Capybara works on copies too, and each comes back', async () => {
  const own = new Place({ CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL: 'scripted' });
  onTestFinished(() => own.remove());
  await own.up();
  const before = readTree(work.app);
  const done = await own.run(['run', 'append', '--mode', 'auto', ...roots()], { cwd: work.app });
  expect(done).toMatchObject({ code: 0 });
  expect(readTree(work.app)).toEqual(before);
  const again = await own.run(['run', 'append', '--mode', 'auto', ...roots()], { cwd: work.app });
  expect(again.stderr).toContain('app: Nothing to send: the server has this directory as it is.\n');
  expect(await own.run(['apply', 'last'], { cwd: place.path })).toMatchObject({ code: 0, stderr: '' });
  expect(readFileSync(join(work.app, 'plain.txt'), 'utf8')).toBe('one\nagent\n');
  expect(readFileSync(join(work.lib, 'inner', 'file.txt'), 'utf8')).toBe('inner\nagent\n');

  const beside = ['--workspace', '.', '--root', `docs=${work.docs}:ro`];
  const itself = await own.run(['run', `read ${work.docs}`, '--mode', 'auto', ...beside], { cwd: work.app });
  expect(itself).toMatchObject({ code: 0, stderr: '' });
  expect(readFileSync(join(work.app, 'guide-copy'), 'utf8')).toBe('guide\n');
  const shown = (await own.run(['sessions', 'show', 'last'])).stdout;
  expect(shown).toMatch(new RegExp(`workspace +${work.app}\\nroot +docs=${work.docs}:ro\\n`));
  for (const wrong of [`lib=${work.lib}`, 'lib=empty:ro', `inner=${join(work.app, 'src')}:ro`]) {
    const refused = await own.run(['run', 'look', '--workspace', '.', '--root', wrong], { cwd: work.app });
    expect(refused).toMatchObject({ code: 2, stdout: '' });
  }
});

test('what is no root is told before anything is sent', async () => {
  mkdirSync(join(work.lib, 'within'));
  const many = Array.from({ length: MAX_ROOTS + 1 }, (_, at) => ['--root', `r${at}=empty`]).flat();
  const wrong: [string[], string][] = [
    [['--root', 'app'], '--root "app" names no root: expected NAME=PATH, such as app=. or docs=../docs:ro.'],
    [['--root', 'App=.'], 'The name of --root "App=." is no name of a root: expected 1 to 32 of a-z'],
    [['--root', 'a=.', '--root', 'a=empty'], '--root names a 2 times: give each root a name of its own.'],
    [['--root', 'a=./none'], `--root a: ${join(work.app, 'none')} is not a directory`],
    [
      ['--root', `a=${work.lib}`, '--root', `b=${join(work.lib, 'within')}:ro`],
      `The roots a (${work.lib}) and b (${join(work.lib, 'within')}) overlap`,
    ],
    [
      ['--root', 'a=.', '--root', 'b=../'.concat(work.app.split('/').at(-1) ?? '')],
      'overlap: name directories that lie apart.',
    ],
    [many, `--root is given ${MAX_ROOTS + 1} times: expected at most ${MAX_ROOTS} roots.`],
    [
      ['--root', 'a=.', '--continue'],
      '--root begins a session with a workspace of its own: leave out --continue and --session.',
    ],
    [
      ['--root', 'a=.', '--workspace', '.'],
      '--workspace with --root names a directory that the embedded Capybara works on itself',
    ],
    [['--root', 'a=/etc'], 'The workspace /etc is a system directory'],
  ];
  for (const [flags, sentence] of wrong) {
    const { code, stdout, stderr } = await asClient('submit', 'look', ...flags);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(sentence);
  }
});
