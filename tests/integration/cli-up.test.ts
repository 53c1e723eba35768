/** Commands that join the Capybara that `up` runs. */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { byPrompt, CLI_TIMEOUT_MS, type CliProcess, git, normalised, Place } from '../support/cli.ts';
import { browse, type OAuthMcpServer, startOAuthMcpServer } from '../support/oauth-mcp-server.ts';
import {
  call,
  error,
  hang,
  type ScriptedModel,
  say,
  startScriptedModel,
  usage,
} from '../support/scripted-model/scripted-model.ts';

const COUNTS = usage({ input: 10, output: 1, cached: 0, reasoning: 0 });
const look = [call('list_dir'), COUNTS];

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

let place: Place;
let model: ScriptedModel;
let up: CliProcess;
let guarded: OAuthMcpServer;
let repository: string;

beforeAll(async () => {
  place = new Place({}, { isNew: true });
  repository = place.repository();
  model = await startScriptedModel({
    script: byPrompt({
      'say hello': [[say('Hello.'), COUNTS]],
      'and again': [[say('Hello again.'), COUNTS]],
      fail: [error(400, { message: 'this model cannot do that' })],
      'go round': [look, look, look],
      wait: [[say('I wait.'), hang()]],
      'ask me': [
        [call('bash', { command: 'echo mine > mine.txt' }), COUNTS],
        [say('Written.'), COUNTS],
      ],
    }),
  });
  guarded = await startOAuthMcpServer();
  place.env = {
    ...{ CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL: 'scripted' },
    CAPYBARA_MCP_SERVERS: JSON.stringify({ guarded: { url: guarded.url } }),
  };
  up = await place.up();
});
afterAll(async () => {
  await place.remove();
  await model.close();
  await guarded.close();
});

const inRepository = (...args: string[]) => place.run(args, { cwd: repository });

test('up prints where it runs, and nothing else', async () => {
  expect(up.stderr).toBe('');
  expect(up.stdout.replace(/:\d+\n/, ':PORT\n')).toBe(
    [
      'Capybara runs at http://127.0.0.1:PORT',
      `  data directory  ${place.dataDir}`,
      `  key for the API ${join(place.dataDir, 'api-key')}`,
      '  commands        run unconfined: CAPYBARA_SANDBOX is off.',
      'Try, in a repository: capybara run "explain what this project does"\n',
    ].join('\n'),
  );
  for (const secret of ['api-key', 'encryption-key'])
    expect(statSync(join(place.dataDir, secret)).mode & 0o777).toBe(0o600);
});

test('a second up on the same directory is refused', async () => {
  const [, url] = /Capybara runs at (\S+)/.exec(up.stdout) ?? [];
  const { code, stdout, stderr } = await place.run(['up', '--port', '0']);
  expect({ code, stdout, stderr }).toEqual({
    code: 3,
    stdout: '',
    stderr: `A Capybara already runs on ${place.dataDir}, at ${url}.\n`,
  });
});

describe('run', () => {
  test('without its stream prints the answer alone', async () => {
    const { code, stdout, stderr } = await inRepository('run', 'say hello', '--no-stream');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Hello.\n' });
    expect(normalised(stderr)).toBe(
      '\n✓ Done in N s, 1 turn\n  env/scripted: 10 tokens in (0 % cached), 1 out, price unknown\nNext: capybara run --continue "…"\n',
    );
  });

  test('goes on with the session of this directory', async () => {
    const { stdout } = await inRepository('run', 'and again', '--continue', '--json');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.at(-1)).toMatchObject({
      task: { status: 'succeeded', result: { text: 'Hello again.' }, prompt: 'and again' },
    });
    const types = lines.slice(0, -1).map(({ type }) => type);
    expect(types).toContain('message.completed');
    expect(types.at(-1)).toBe('task.succeeded');
    const { messages } = model.requests.at(-1) ?? { messages: [] };
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    const listed = await inRepository('sessions', 'list', '--json');
    expect(JSON.parse(listed.stdout).data).toHaveLength(1);
    const elsewhere = await place.run(['run', 'and again', '--continue']);
    expect(elsewhere).toMatchObject({ code: 2, stdout: '' });
    expect(elsewhere.stderr).toMatch(
      /^No session has worked in \S+ yet: leave --continue out to begin one\.\n$/,
    );
  });

  test('that fails ends with 1 and the reason', async () => {
    const { code, stdout } = await inRepository('run', 'fail');
    expect(code).toBe(1);
    expect(normalised(stdout)).toMatch(
      /^task_… · env\/scripted · mode safe · unconfined\n\n✗ Failed after N s, 1 turn: [^\n]*this model cannot do that[^\n]*\n(?: {2}[^\n]+\n)?Next: capybara tasks show task_…\n$/,
    );
  });

  test('that reaches a limit ends with 5', async () => {
    const { code, stdout } = await inRepository('run', 'go round', '--limit', 'turns=2');
    expect(code).toBe(5);
    expect(normalised(stdout)).toMatch(/✗ Failed after N s, 2 turns: [^\n]+ \(limit_turns\)\n/);
    expect(stdout).toContain('Next: capybara run --continue --limit turns=N "go on"\n');
  });

  test('that somebody leaves with Ctrl-C goes on without them, and is cancelled by id', async () => {
    const run = place.start(['run', 'wait'], { cwd: repository });
    await run.says(/I wait\./);
    run.kill('SIGINT');
    const left = await run.ended;
    expect(left.code).toBe(130);
    const [, id = ''] =
      /^Detached: the task goes on\.\nFollow it with: capybara tail (task_\w+)$/m.exec(left.stderr) ?? [];
    const listed = await inRepository('tasks', 'list', '--status', 'running');
    expect(listed.stdout).toContain(id);
    const cancelled = await inRepository('tasks', 'cancel', id.slice(0, -3));
    expect(cancelled.stdout).toMatch(new RegExp(`^${id} (is being cancelled|cancelled)\n$`));
    const tail = await inRepository('tail', id);
    expect(tail.code).toBe(1);
    expect(normalised(tail.stdout)).toMatch(/\n\n✗ Cancelled after N s, 1 turn\n/);
  });

  test('with an agent that is none begins nothing', async () => {
    const before = (await inRepository('sessions', 'list', '--json')).stdout;
    expect(await inRepository('run', 'say hello', '--agent', 'nobody')).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/^There is no agent "nobody"; there are build, .*\.\n$/),
    });
    expect((await inRepository('sessions', 'list', '--json')).stdout).toBe(before);
  });
});

test('what was submitted is tailed, listed and shown', async () => {
  const submitted = await inRepository('submit', 'say hello');
  expect(normalised(submitted.stdout)).toBe('task_…\n');
  const id = submitted.stdout.trim();
  const tail = await inRepository('tail', 'last');
  expect(tail).toMatchObject({ code: 0, stderr: '' });
  expect(normalised(tail.stdout)).toBe(
    'task_… · env/scripted · mode safe · unconfined\nHello.\n\n✓ Done in N s, 1 turn\n  env/scripted: 10 tokens in (0 % cached), 1 out, price unknown\nNext: capybara run --continue "…"\n',
  );
  const list = await inRepository('tasks', 'list', '--limit', '1');
  expect(normalised(list.stdout).replaceAll(/ +/g, ' ')).toBe(
    'ID STATUS TURNS CREATED PROMPT\ntask_… succeeded 1 TIME say hello\n',
  );
  const shown = await inRepository('tasks', 'show', id);
  expect(normalised(shown.stdout)).toBe(
    [
      'task     task_…',
      'session  ses_…',
      'status   succeeded',
      'model    env/scripted',
      'mode     safe',
      'turns    1 of 70',
      'created  TIME',
      'ended    TIME',
      'prompt   say hello',
      'usage    env/scripted: 10 tokens in (0 % cached), 1 out, price unknown',
      '',
      'Hello.\n',
    ].join('\n'),
  );
  const session = await inRepository('sessions', 'show', 'last');
  expect(normalised(session.stdout)).toBe(
    [
      'session    ses_…',
      'title      say hello',
      'state      completed',
      `workspace  ${repository}`,
      'created    TIME',
      'used       10 tokens in, 1 out, 1 request of unknown price',
      '',
      `${'TASK'.padEnd(37)}  STATUS     TURNS  PROMPT`,
      `task_…  succeeded  1      say hello\n`,
    ].join('\n'),
  );
});

test('what is allowed always is not asked about again in this directory, until that is taken back', async () => {
  const ask = () => inRepository('run', 'ask me');
  const [, id = ''] = /approvals allow (apr_\w+)/.exec((await ask()).stderr) ?? [];
  const allowed = await inRepository('approvals', 'allow', id, '--always');
  const [, rule = ''] = /^(rule_\w+) allows/m.exec(allowed.stdout) ?? [];
  const what = `bash with exactly this command, in ${repository}:\n    command │ echo mine > mine.txt\n`;
  expect(allowed.stdout).toBe(
    `${id} allowed\n${rule} allows ${what}Take it back with: capybara rules revoke ${rule}\n`,
  );
  expect((await inRepository('tail', 'last')).code).toBe(0);
  expect(await ask()).toMatchObject({ code: 0, stderr: '' });
  const { stdout } = await inRepository('rules', 'list');
  expect(stdout.replace(/ · \S+ · admin\n/, ' · TIME · admin\n')).toBe(`${rule} · TIME · admin\n  ${what}`);
  expect((await inRepository('rules', 'revoke', rule)).stdout).toBe(`${rule} revoked\n`);
  expect((await inRepository('rules', 'list')).stdout).toBe('Nothing is allowed always.\n');
  expect((await ask()).code).toBe(4);
  await inRepository('tasks', 'cancel', 'last');
  rmSync(join(repository, 'mine.txt'));
});

test('a question nobody is here to answer ends run with 4; allowed, the task goes on', async () => {
  const run = await inRepository('run', 'ask me');
  expect(run.code).toBe(4);
  const [, id = ''] = /Answer with: capybara approvals allow (apr_\w+) \(or deny\)/.exec(run.stderr) ?? [];
  expect(normalised(run.stderr)).toBe(
    'bash needs an approval; the task waits. Answer with: capybara approvals allow apr_… (or deny)\n' +
      '  command │ echo mine > mine.txt\n',
  );
  expect(git(repository, 'status', '--porcelain')).toBe('');
  expect((await inRepository('tasks', 'list', '--limit', '1')).stdout).toContain('waiting (approval)');
  expect((await inRepository('approvals', 'list')).stdout).toMatch(
    new RegExp(
      `^${id} · bash · \\S+ · task_\\w+\\n  command │ echo mine > mine\\.txt\\n` +
        `  .always. allows bash with exactly this command, in ${repository}\\.\\n$`,
    ),
  );
  expect(await inRepository('why', 'last')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      `^task_\\w+: A person must allow or deny bash: \`capybara approvals allow ${id}\` \\(or deny\\)\\.\n  ${id} · bash\n    command │ echo mine > mine.txt\n$`,
    ),
  });
  expect((await inRepository('approvals', 'allow', id)).stdout).toBe(`${id} allowed\n`);
  const again = await inRepository('approvals', 'deny', id);
  expect(again).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/^This was allowed already, by admin/),
  });
  const tail = await inRepository('tail', 'last');
  expect(tail.code).toBe(0);
  expect(tail.stdout).toContain('✓ bash echo mine > mine.txt\nWritten.\n');
  expect(git(repository, 'status', '--porcelain')).toBe('?? mine.txt\n');
  expect((await inRepository('why', 'last')).stdout).toMatch(
    /^Nothing is unfinished: the last task, task_\w+, succeeded [\d.]+ s ago\.\n$/,
  );
});

test('a prompt comes from stdin for "-", and one of 10 MB is refused', async () => {
  const { code, stdout } = await place.run(['run', '-', '--no-stream'], {
    cwd: repository,
    stdin: 'say hello',
  });
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'Hello.\n' });
  const long = await place.run(['run', '-'], { cwd: repository, stdin: 'x'.repeat(10_000_000) });
  expect(long).toEqual({
    code: 2,
    stdout: '',
    stderr: 'The prompt is longer than 1 MiB: put what is long into a file of the workspace and name it.\n',
  });
});

test('a person signs in at an MCP server, which then can be used, until they sign out', async () => {
  expect((await place.run(['mcp', 'test', 'guarded'])).stdout).toContain('wants somebody to sign in');
  const login = place.start(['mcp', 'login', 'guarded']);
  const [url = ''] = await login.says(/http:\S+\/authorize\S*/);
  await fetch(await browse(url));
  await login.ended;
  expect(login.stdout).toBe('Signed in at guarded, for look.\n');
  expect((await place.run(['mcp', 'list'])).stdout).toMatch(/guarded .*\(signed in\)\n$/);
  guarded.expire();
  const { stdout, stderr } = await place.run(['mcp', 'test', 'guarded']);
  expect(stdout).toMatch(/^✓ guarded works: .* and has 2 tools\.\n {2}guarded__look +reads\n/);
  expect(stderr).toContain('MCP is off');
  expect((await place.run(['mcp', 'logout', 'guarded'])).stdout).toBe('Signed out at guarded.\n');
  const { servers } = JSON.parse((await place.run(['mcp', 'list', '--json'])).stdout);
  expect(servers).toMatchObject([{ server: 'guarded', signIn: null }]);
});
