/** A session is recorded with a model, and played again without one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { byPrompt, CLI_TIMEOUT_MS, git, Place } from '../support/cli.ts';
import {
  call,
  type ScriptedModel,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';

const PROMPT = 'greet the capybara';
vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

let place: Place;
let model: ScriptedModel;

beforeAll(async () => {
  place = new Place();
  model = await startScriptedModel({
    apiKey: 'sk-planted-0123456789',
    script: byPrompt({
      [PROMPT]: [
        [call('read_file', { path: 'greeting.txt' })],
        [call('edit_file', { path: 'greeting.txt', old_string: 'world', new_string: 'capybara' })],
        [say('The greeting is mended.')],
      ],
    }),
  });
});
afterAll(async () => {
  await place.remove();
  await model.close();
});

test('run --record writes a session that a provider of kind replay plays, step by step', async () => {
  const file = join(place.repository(), '..', 'recorded.json');
  const recorded = place.repository();
  const asked = { CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL_API_KEY: 'sk-planted-0123456789' };
  const first = await place.run(['run', PROMPT, '--mode', 'auto', '--record', file], {
    cwd: recorded,
    env: { ...asked, CAPYBARA_MODEL: 'scripted' },
  });
  expect(first).toMatchObject({ code: 0, stderr: `Recorded 3 answers in ${file}.\n` });
  expect(readFileSync(file, 'utf8')).not.toContain('sk-planted');
  const requests = model.requests.length;
  const again = place.repository();
  const second = await place.run(['run', PROMPT, '--mode', 'auto'], {
    cwd: again,
    env: { CAPYBARA_PROVIDERS: JSON.stringify({ again: { kind: 'replay', file } }) },
  });
  expect(second).toMatchObject({ code: 0, stderr: '' });
  expect(second.stdout).toContain('The greeting is mended.');
  expect(git(again, 'diff')).toBe(git(recorded, 'diff'));
  expect(model.requests).toHaveLength(requests);
});
