/** A session's work is branched off, merged, applied, committed and taken back, by the commands that people type. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { CLI_TIMEOUT_MS, git, Place } from '../support/cli.ts';
import {
  call,
  type ScriptedModel,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';

vi.setConfig({ testTimeout: 4 * CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

let place: Place;
let model: ScriptedModel;

/** The prompt says what to write where: `write FILE TEXT`. */
beforeAll(async () => {
  model = await startScriptedModel({
    script: ({ messages }) => {
      const asked = messages.findLastIndex(({ role, text }) => role === 'user' && /^write /m.test(text));
      const wanted = [...(messages[asked]?.text ?? '').matchAll(/^write (\S+) (\S+)$/gm)].at(-1);
      const isDone = messages.slice(asked).some(({ role }) => role === 'assistant');
      const [, path = '', content = ''] = wanted ?? [];
      return isDone ? say('Written.') : call('write_file', { path, content: `${content}\n` });
    },
  });
  place = new Place({ CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL: 'scripted' });
});
afterAll(async () => {
  await place.remove();
  await model.close();
});

test('a session’s work is taken over in every way', async () => {
  await place.up();
  const repository = place.repository();
  const capybara = async (...args: string[]) => {
    const { code, stdout, stderr } = await place.run(args, { cwd: repository });
    expect([args.join(' '), code, stderr]).toEqual([args.join(' '), 0, '']);
    return stdout;
  };
  const read = (path: string) => readFileSync(join(repository, path), 'utf8');
  writeFileSync(join(repository, '.gitignore'), 'ignored\n');
  writeFileSync(join(repository, 'ignored'), 'precious\n');
  await capybara('run', 'write a first', '--mode', 'auto');
  const { id } = JSON.parse(await capybara('sessions', 'list', '--json')).data[0];

  const [fork = ''] = (await capybara('sessions', 'fork', id, '--turn', '2', '--title', 'Another way')).split(
    '\n',
  );
  await capybara('run', 'write b forked', '--session', fork, '--mode', 'auto');
  expect(existsSync(join(repository, 'b'))).toBe(false);
  const elsewhere = join(place.path, 'elsewhere');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, 'mine'), 'mine\n');
  await capybara('apply', fork, '--directory', elsewhere);
  expect(readFileSync(join(elsewhere, 'b'), 'utf8')).toBe('forked\n');
  await capybara('diff', fork, '--branch', 'agent/fork');
  expect(git(repository, 'show', '--no-patch', '--format=%B', 'agent/fork').trim()).toBe(
    'Another way\n\nCo-authored-by: Capybara Vibe <agent@capybara.ai>',
  );
  expect(git(repository, 'diff', '--name-only', 'main', 'agent/fork')).toBe('a\nb\n');

  await capybara('sessions', 'merge', id, fork);
  expect(read('b')).toBe('forked\n');
  await capybara('run', 'write c third', '--session', id, '--mode', 'auto');
  await capybara('run', 'write ignored theirs', '--session', id, '--mode', 'auto');
  expect(await capybara('diff', id)).toContain('\n-precious\n+theirs\n');
  writeFileSync(join(repository, 'greeting.txt'), 'changed by me\n');
  await capybara('revert', id, '--to', '0');
  expect([existsSync(join(repository, 'a')), existsSync(join(repository, 'c'))]).toEqual([false, false]);
  expect([read('greeting.txt'), read('ignored')]).toEqual(['changed by me\n', 'precious\n']);
  expect(await capybara('sessions', 'turns', id)).toMatch(/^1 .* taken back .*\n(?:.*taken back.*\n){5}$/m);
  await capybara('revert', id, '--to', '4');
  expect([read('a'), read('c'), read('greeting.txt')]).toEqual(['first\n', 'third\n', 'changed by me\n']);
  await capybara('revert', id, '--to', '6');
  expect(read('ignored')).toBe('theirs\n');
  await capybara('revert', id, '--to', '4');
  expect([read('c'), read('ignored')]).toEqual(['third\n', 'precious\n']);
  expect(model.refusals).toEqual([]);
});
