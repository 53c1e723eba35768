/** `capybara run` in a real repository, told by environment variables alone where its model is. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { byPrompt, CLI_TIMEOUT_MS, git, normalised, Place } from '../support/cli.ts';
import {
  call,
  type ScriptedModel,
  say,
  startScriptedModel,
  think,
  usage,
} from '../support/scripted-model/scripted-model.ts';

const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';
const PROMPT = 'greet the capybara';
const COUNTS = usage({ input: 1000, output: 10, cached: 500, reasoning: 0 });

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

let place: Place;
let model: ScriptedModel;

beforeAll(async () => {
  place = new Place();
  model = await startScriptedModel({
    apiKey: 'sk-test',
    script: byPrompt({
      [PROMPT]: [
        [
          think('Where is it?'),
          say('I look at two files.'),
          call('read_file', { path: 'greeting.txt' }),
          call('list_dir'),
          COUNTS,
        ],
        [call('edit_file', { path: 'greeting.txt', old_string: 'world', new_string: 'capybara' }), COUNTS],
        [call('bash', { command: 'cat greeting.txt; exit 3' }), COUNTS],
        [say('The greeting\nis mended.'), COUNTS],
      ],
    }),
  });
});
afterAll(async () => {
  await place.remove();
  await model.close();
});

const transcript = (name: string) => `task_… · ${name} · mode auto · unconfined
I look at two files.
▶ read_file greeting.txt
✓ read_file greeting.txt
▶ list_dir
✓ list_dir
▶ edit_file greeting.txt
✓ edit_file greeting.txt
▶ bash cat greeting.txt; exit 3
✗ bash cat greeting.txt; exit 3 (exit 3)
The greeting
is mended.

✓ Done in N s, 4 turns
  ${name}: 4,000 tokens in (50 % cached), 40 out, price unknown
  tools: 3 of 4 calls succeeded (75 %)
Next: capybara run --continue "…"
`;

type Way = [name: string, wire: string, variables: (model: ScriptedModel) => Record<string, string>];

const ALSO: Way[] = [
  [
    'openai/small',
    'small',
    ({ baseUrl }) => ({
      OPENAI_BASE_URL: baseUrl,
      OPENAI_API_KEY: 'sk-test',
      CAPYBARA_MODEL: 'openai/small',
    }),
  ],
  [
    'anthropic/claude-opus-5-5',
    'claude-opus-5-5',
    ({ url }) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'sk-test' }),
  ],
];

describe('a change is made in a repository, with', () => {
  test.each<Way>([
    [
      'env/scripted',
      'scripted',
      ({ baseUrl }) => ({
        CAPYBARA_MODEL_ENDPOINT: baseUrl,
        CAPYBARA_MODEL_API_KEY: 'sk-test',
        CAPYBARA_MODEL: 'scripted',
      }),
    ],
    ['openai/gpt-5.5', 'gpt-5.5', ({ baseUrl }) => ({ OPENAI_BASE_URL: baseUrl, OPENAI_API_KEY: 'sk-test' })],
    [
      'anthropic/small',
      'small',
      ({ url }) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'sk-test', CAPYBARA_MODEL: 'small' }),
    ],
    // A provider is used whether its model is named or its first; each of these says it for the other wire.
    ...(EVERY_POINT ? ALSO : []),
  ])('%s', async (name, wire, variables) => {
    const repository = place.repository();
    const { code, stdout, stderr } = await place.run(['run', PROMPT, '--mode', 'auto'], {
      cwd: repository,
      env: variables(model),
    });
    expect({ code, stderr, stdout: normalised(stdout) }).toEqual({
      code: 0,
      stderr: '',
      stdout: transcript(name),
    });
    expect(git(repository, 'diff', '--unified=0')).toContain('-hello world\n+hello capybara\n');
    expect(git(repository, 'status', '--porcelain')).toBe(' M greeting.txt\n');
    expect(model.requests.at(-1)).toMatchObject({ model: wire, outcome: 'answered' });
    expect(model.refusals).toEqual([]);
    // What was started for the while is gone.
    expect(existsSync(join(place.dataDir, 'server.json'))).toBe(false);
  });
});

test('a repository that is named is cloned, and left as it is', async () => {
  const repository = place.repository();
  const env = {
    CAPYBARA_MODEL_ENDPOINT: model.baseUrl,
    CAPYBARA_MODEL_API_KEY: 'sk-test',
    CAPYBARA_MODEL: 'scripted',
  };
  const url = pathToFileURL(repository).href;
  const { code, stdout, stderr } = await place.run(
    ['run', PROMPT, '--mode', 'auto', '--workspace', `${url}#main`],
    {
      env,
    },
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('✓ edit_file greeting.txt');
  expect(git(repository, 'status', '--porcelain')).toBe('');
  const diff = await place.run(['diff', 'last'], { env });
  expect(diff.stdout).toContain('-hello world\n+hello capybara\n');
  const shown = await place.run(['sessions', 'show', 'last'], { env });
  expect(shown.stdout).toContain('file:///');
});

test('a key that the model refuses fails the task, in a sentence, and nothing is changed', async () => {
  const repository = place.repository();
  const env = { OPENAI_BASE_URL: model.baseUrl, OPENAI_API_KEY: 'sk-wrong' };
  const { code, stdout, stderr } = await place.run(['run', PROMPT, '--mode', 'auto'], {
    cwd: repository,
    env,
  });
  expect(code).toBe(1);
  expect(stderr).toBe('');
  expect(normalised(stdout)).toMatch(/\n✗ Failed after N s, 1 turn: [^\n]*key[^\n]*\(\w+\)\n/);
  expect(stdout).not.toContain('sk-wrong');
  expect(readFileSync(join(repository, 'greeting.txt'), 'utf8')).toBe('hello world\n');
});
