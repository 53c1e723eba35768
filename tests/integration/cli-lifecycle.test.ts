/** Capybaras that end while they are needed: whoever is still there goes on. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ECHO_MS } from '../../src/cli/interrupts.ts';
import { byPrompt, CLI_TIMEOUT_MS, normalised, Place } from '../support/cli.ts';
import {
  call,
  hang,
  type ScriptedModel,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

let place: Place;
let model: ScriptedModel;
/** What `wait` hangs on the first time it is asked for. */
let opened: PromiseWithResolvers<void>;

beforeEach(async () => {
  place = new Place();
  opened = Promise.withResolvers();
  let asked = 0;
  const wait = () => {
    asked += 1;
    return asked === 1 ? [say('I wait.\n'), hang(opened.promise), say('Enough.')] : say('I wait no more.');
  };
  const script = byPrompt({
    'say hello': [say('Hello.')],
    'ask me': [call('bash', { command: 'echo mine >> mine.txt' }), say('Written.')],
  });
  model = await startScriptedModel({
    script: (request) =>
      request.messages.some(
        ({ role, ...message }) => role === 'user' && 'text' in message && message.text.startsWith('wait'),
      )
        ? wait()
        : script(request),
  });
  place.env = { CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL: 'scripted' };
});
afterEach(async () => {
  await place.remove();
  await model.close();
});

function killPostgres(): void {
  const [pid = ''] = readFileSync(join(place.dataDir, 'postgres', 'data', 'postmaster.pid'), 'utf8').split(
    '\n',
  );
  process.kill(Number(pid), 'SIGKILL');
}

describe('run, with a Capybara of its own,', () => {
  test('is left with Ctrl-C: the next run finishes its task too', async () => {
    const first = place.start(['run', 'wait']);
    await first.says(/I wait\./);
    first.kill('SIGINT');
    const left = await first.ended;
    expect({ code: left.code, stderr: normalised(left.stderr) }).toEqual({
      code: 130,
      stderr:
        '\nStopping; press Ctrl-C again within 2 s to cancel the task.\n' +
        'The task is kept: the next `capybara run` or `capybara up` goes on with it.\nFollow it with: capybara tail task_…\n',
    });
    const up = await place.up();
    const tail = await place.run(['tail', 'last']);
    expect(tail.code).toBe(0);
    expect(tail.stdout).toMatch(/\nI wait no more\.\n\n✓ Done in /);
    // As `npm run` passes it on: one press, so that it still stops politely.
    up.kill('SIGINT');
    await delay(ECHO_MS / 5);
    up.kill('SIGINT');
    expect(await up.ended).toMatchObject({
      code: 0,
      stderr: 'Stopping; press Ctrl-C again to end at once.\n',
    });
  });

  test('is gone when it ends: what it says to type next works, and leaves nothing running', async () => {
    const { code, stdout } = await place.run(['run', 'say hello']);
    const [id = ''] = /task_\w+/.exec(stdout) ?? [];
    expect(code).toBe(0);
    const shown = await place.run(['tasks', 'show', id]);
    expect({ code: shown.code, stderr: shown.stderr }).toEqual({ code: 0, stderr: '' });
    expect(shown.stdout).toContain('Hello.');
    const tail = await place.run(['tail', id]);
    expect({ ...tail, stdout: normalised(tail.stdout) }).toEqual({
      code: 0,
      stderr: '',
      stdout: normalised(stdout),
    });
    expect(existsSync(join(place.dataDir, 'server.json'))).toBe(false);
  });

  test('has its task wait while a question is answered: what was allowed is run once, by who goes on with it', async () => {
    const cwd = place.repository();
    const capybara = async (...args: string[]) => place.run(args, { cwd });
    const asked = await capybara('run', 'ask me');
    const [, id = ''] = /approvals allow (apr_\w+)/.exec(asked.stderr) ?? [];
    const [task = ''] = /task_\w+/.exec(asked.stdout) ?? [];
    expect(await capybara('approvals', 'allow', id)).toEqual({
      ...{ code: 0, stderr: '' },
      stdout: `${id} allowed\nGo on with its task: capybara tail ${task}\n`,
    });
    expect((await capybara('why')).stdout).toContain('but no worker is live: start one with `capybara up`');
    expect(existsSync(join(cwd, 'mine.txt'))).toBe(false);
    const tail = await capybara('tail', task);
    expect([tail.code, tail.stderr]).toEqual([0, '']);
    expect(tail.stdout).toContain('✓ bash echo mine >> mine.txt\nWritten.\n');
    expect(readFileSync(join(cwd, 'mine.txt'), 'utf8')).toBe('mine\n');
  });

  test('cancels its task with Ctrl-C twice', async () => {
    const run = place.start(['run', 'wait']);
    await run.says(/I wait\./);
    run.kill('SIGINT');
    await run.says(/press Ctrl-C again/);
    // Sooner it would be the echo of the first.
    await delay(ECHO_MS);
    run.kill('SIGINT');
    const { code, stderr } = await run.ended;
    expect({ code, last: stderr.trimEnd().split('\n').at(-1) }).toEqual({ code: 130, last: 'Cancelled.' });
    await place.up();
    expect((await place.run(['tasks', 'list'])).stdout).toMatch(/ cancelled /);
    expect(model.requests).toHaveLength(1);
  });

  test('serves a second run, which takes over when the first has ended', async () => {
    const first = place.start(['run', 'say hello']);
    const second = place.start(['run', 'wait']);
    const done = first.ended.then(() => opened.resolve());
    expect(await first.ended).toMatchObject({ code: 0 });
    await done;
    const { code, stdout } = await second.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/(I wait no more|Enough)\.\n\n✓ Done in /);
  });

  test('starts its Postgres again when that is killed, and finishes', async () => {
    const run = place.start(['run', 'wait']);
    await run.says(/I wait\./);
    killPostgres();
    const { code, stdout, stderr } = await run.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nI wait no more\.\n\n✓ Done in /);
    expect(stderr).toMatch(/^The embedded Postgres ended( \([^\n]*\))?: it is started again\.$/m);
  });
});

test('up ends with exit code 3 and a sentence when its Postgres is killed', async () => {
  const up = await place.up();
  killPostgres();
  const { code, stderr } = await up.ended;
  expect(code).toBe(3);
  expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
    /^The embedded Postgres ended( \(.*\))?: start again, nothing is lost\.$/,
  );
});
