/** A server as an operator runs it: `migrate`, `api` and `worker` processes on one Postgres, and clients that know its URL. */
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { byPrompt, CLI_TIMEOUT_MS, type CliProcess, normalised, Place } from '../support/cli.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  call,
  hang,
  type ScriptedModel,
  say,
  startScriptedModel,
  usage,
} from '../support/scripted-model/scripted-model.ts';
import { ENCRYPTION_KEY } from '../support/sealing.ts';

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

const COUNTS = usage({ input: 10, output: 1, cached: 0, reasoning: 0 });

const handedOver = Promise.withResolvers<void>();

let place: Place;
let database: TestDatabase;
let model: ScriptedModel;
let server: Record<string, string>;
let client: Record<string, string>;
let api: CliProcess;
let worker: CliProcess;

beforeAll(async () => {
  place = new Place();
  database = await createTestDatabase({ empty: true });
  model = await startScriptedModel({
    script: byPrompt({
      write: [
        [call('write_file', { path: 'note.txt', content: 'kept' }), COUNTS],
        [say('Noted.'), COUNTS],
      ],
      wait: [[say('I wait.'), hang(), COUNTS]],
      'wait twice': [
        [say('The first part.'), call('list_dir'), COUNTS],
        [say('The '), hang(handedOver.promise), say('end.'), COUNTS],
      ],
    }),
  });
  server = {
    ...{ DATABASE_URL: database.url, CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL: 'scripted' },
    CAPYBARA_GIT_ALLOW: pathToFileURL(place.path).href,
    CAPYBARA_ENCRYPTION_KEY: ENCRYPTION_KEY,
  };
});
afterAll(async () => {
  await place.remove();
  await model.close();
  await database.drop();
});

async function startApi(port = '0'): Promise<{ process: CliProcess; url: string }> {
  const process = place.start(['api', '--port', port], { env: server });
  const [, url = ''] = await process.says(/"url":"(http:[^"]+)".*the API listens/);
  return { process, url };
}

async function startWorker(): Promise<CliProcess> {
  const process = place.start(['worker'], { env: server });
  await process.says(/worker ready/);
  return process;
}

/** The header carries the bare UUID. */
const isOf = (header: string | undefined, id: string) =>
  header?.replaceAll('-', '') === id.replace('task_', '');

const asClient = (...args: string[]) => place.run(args, { env: client });

test('migrate makes the first key once', async () => {
  const first = await place.run(['migrate', '--bootstrap'], { env: server });
  expect(first.code).toBe(0);
  const [, apiKey = ''] = /^(capy_\S+)\n$/.exec(first.stdout) ?? [];
  expect(apiKey).toMatch(/^capy_[\w-]{43}$/);
  const second = await place.run(['migrate', '--bootstrap'], { env: server });
  expect(second).toEqual({
    code: 0,
    stderr:
      'The database is up to date, and an administrator has a key already; where it is lost, `capybara keys recover` makes another.\n',
    stdout: '',
  });
  client = { CAPYBARA_API_KEY: apiKey };
});

test('api and worker start, and take a task from a client', async () => {
  const [started, ready] = await Promise.all([startApi(), startWorker()]);
  api = started.process;
  worker = ready;
  client = { ...client, CAPYBARA_URL: started.url };
  const { code, stdout, stderr } = await asClient('run', 'write', '--workspace', 'empty');
  expect({ code, stderr, stdout: normalised(stdout) }).toEqual({
    code: 0,
    stderr: '',
    stdout: [
      'task_… · env/scripted · mode safe',
      '▶ write_file note.txt',
      '✓ write_file note.txt',
      'Noted.',
      '',
      '✓ Done in N s, 2 turns',
      '  env/scripted: 20 tokens in (0 % cached), 2 out, price unknown',
      '  tools: 1 of 1 call succeeded (100 %)',
      'Next: capybara diff ses_…\n',
    ].join('\n'),
  });
});

test('a supervisor is told that both do their work, and the operator makes another key in the database', async () => {
  const { port } = new URL(client.CAPYBARA_URL ?? '');
  const runs = await Promise.all([
    place.run(['api', '--check', '--port', port], { env: {} }),
    place.run(['worker', '--check'], { env: server }),
    place.run(['keys', 'recover'], { env: server }),
  ]);
  expect(runs.map(({ code, stdout }) => [code, stdout])).toEqual([
    [0, 'The API can serve.\n'],
    [0, 'A worker runs here.\n'],
    [0, expect.stringMatching(/^capy_[\w-]{43}\n$/)],
  ]);
  expect(runs.map(({ stderr }) => normalised(stderr))).toEqual([
    '',
    '',
    expect.stringMatching(
      /^Key key_\S+ of admin in the team default, for everything: keep it, it is not shown again\.\n$/,
    ),
  ]);
});

test('who has no key, or a wrong one, is told so and changes nothing', async () => {
  const { CAPYBARA_URL = '' } = client;
  const missing = await place.run(['submit', 'write', '--workspace', 'empty'], { env: { CAPYBARA_URL } });
  expect(missing).toEqual({
    code: 3,
    stdout: '',
    stderr: `The Capybara at ${CAPYBARA_URL} needs a key and was given none: set CAPYBARA_API_KEY to one of its keys.\n`,
  });
  const env = { CAPYBARA_URL, CAPYBARA_API_KEY: `capy_${'x'.repeat(43)}` };
  const wrong = await place.run(['submit', 'write', '--workspace', 'empty'], { env });
  expect(wrong).toEqual({
    code: 3,
    stdout: '',
    stderr: `The Capybara at ${CAPYBARA_URL} does not accept the key it was given: set CAPYBARA_API_KEY to one of its keys.\n`,
  });
  expect(JSON.parse((await asClient('sessions', 'list', '--json')).stdout).data).toHaveLength(1);
});

test('a session begins with a repository that the server may clone, and its changes are those since', async () => {
  const url = pathToFileURL(place.repository()).href;
  const { code, stdout, stderr } = await asClient('run', 'write', '--workspace', `${url}#main`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('✓ write_file note.txt');
  const diff = await asClient('diff', 'last');
  expect(diff.stdout).toMatch(/^diff --git a\/note\.txt b\/note\.txt\nnew file mode 100644/);
  expect(diff.stdout.match(/^diff --git/gm)).toHaveLength(1);
  const shown = JSON.parse((await asClient('sessions', 'show', 'last', '--json')).stdout);
  expect(shown.workspace ?? shown.session?.workspace).toEqual({
    ...{ kind: 'git', path: null },
    repository: { url, ref: 'main', commit: expect.stringMatching(/^[0-9a-f]{40}$/) },
  });
  const missing = await asClient('run', 'write', '--workspace', `${url}#none`);
  expect(missing.code).toBe(1);
  expect(missing.stdout).toContain(`There is no branch, tag or commit 'none' in ${url}. Its branches: main`);
  const unlisted = await asClient('run', 'write', '--workspace', 'git@forge.example:app');
  expect({ ...unlisted, stderr: unlisted.stderr.slice(0, 70) }).toEqual({
    code: 2,
    stdout: '',
    stderr: 'The repository ssh://git@forge.example/app may not be cloned here, exp',
  });
});

test('a worker that is told to stop hands its turn to another; an API that starts again keeps its tails', async () => {
  const submitted = await asClient('submit', 'wait twice', '--workspace', 'empty');
  const id = submitted.stdout.trim();
  const tail = place.start(['tail', id], { env: client });
  await Promise.all([
    tail.says(/✓ list_dir/),
    model.waitForRequest(({ turn, taskId }) => turn === 2 && isOf(taskId, id)),
  ]);

  const { port } = new URL(client.CAPYBARA_URL ?? '');
  api.kill('SIGTERM');
  expect(await api.ended).toMatchObject({ code: 0, stdout: '' });
  await tail.says(/connection lost/);
  api = (await startApi(port)).process;

  const second = await startWorker();
  worker.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 0, stdout: '' });
  worker = second;
  await model.waitForRequest(({ turn, attempt, taskId }) => turn === 2 && attempt === 2 && isOf(taskId, id));
  handedOver.resolve();

  const { code, stdout, stderr } = await tail.ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/… connection lost [^\n]+\n… connected again\n/);
  expect(normalised(stdout)).toMatch(/^task_… · [^\n]+\nThe first part\.\n▶ list_dir\n✓ list_dir\n/);
  const answers = stdout.match(/^(The first part\.|✓ list_dir|The end\.|✓ Done.*)$/gm);
  expect(answers?.map((line) => normalised(line))).toEqual([
    'The first part.',
    '✓ list_dir',
    'The end.',
    '✓ Done in N s, 2 turns',
  ]);
});

test('a task is cancelled from anywhere', async () => {
  const submitted = await asClient('run', '--detach', 'wait', '--workspace', 'empty');
  const id = submitted.stdout.trim();
  const tail = place.start(['tail', id], { env: client });
  await Promise.all([tail.says(/task_/), model.waitForRequest(({ taskId }) => isOf(taskId, id))]);
  expect((await asClient('tasks', 'cancel', id)).code).toBe(0);
  const { code, stdout } = await tail.ended;
  expect(code).toBe(1);
  expect(normalised(stdout)).toMatch(/\n✗ Cancelled after N s, 1 turn\n/);
});
