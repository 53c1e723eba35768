/** How commands are confined, from the outside: `run` on one's own machine, and the worker of a server. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { bubblewrap } from '../support/bubblewrap.ts';
import { byPrompt, CLI_TIMEOUT_MS, Place } from '../support/cli.ts';
import {
  call,
  type ScriptedModel,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

const PROMPT = 'look around';

let place: Place;
let model: ScriptedModel;
beforeAll(async () => {
  place = new Place({ CAPYBARA_SANDBOX: 'auto' });
  const command = `cat ${place.dataDir}/api-key ${place.home}/.ssh/id; echo made > made; cat greeting.txt`;
  model = await startScriptedModel({
    script: byPrompt({ [PROMPT]: [[call('bash', { command })], [say('Looked.')]] }),
  });
});
afterAll(async () => {
  await place.remove();
  await model.close();
});

test.runIf(bubblewrap !== undefined)(
  'run confines commands to the repository, and does not say unconfined',
  async () => {
    mkdirSync(join(place.home, '.ssh'));
    writeFileSync(join(place.home, '.ssh/id'), 'PRIVATE KEY');
    const repository = place.repository();
    const env = { CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL: 'env/scripted' };
    const { code, stdout } = await place.run(['run', PROMPT, '--mode', 'auto'], { cwd: repository, env });
    expect(stdout).toMatch(/^task_\w+ · env\/scripted · mode auto\n/);
    expect(code).toBe(0);
    const told = JSON.stringify(model.requests.at(-1));
    expect(told).toContain('hello world');
    expect(told).not.toContain('PRIVATE KEY');
    expect(told).not.toContain(readFileSync(join(place.dataDir, 'api-key'), 'utf8').trim());
    expect(readFileSync(join(repository, 'made'), 'utf8')).toBe('made\n');
  },
);

test("a server's worker does not start where commands cannot be confined, and names the cure", async () => {
  const env = { DATABASE_URL: inject('postgresUrl'), PATH: '/nowhere' };
  const { code, stderr } = await place.run(['worker'], { env });
  expect(stderr).toBe(
    'Commands of agents must be confined here, but there is no bwrap on the PATH: install bubblewrap 0.8 or newer ' +
      '(apt install bubblewrap), or set CAPYBARA_SANDBOX=off to run them unconfined.\n',
  );
  expect(code).toBe(3);
});

test('the .env of a directory does not say how commands are confined', async () => {
  writeFileSync(join(place.cwd, '.env'), 'CAPYBARA_SANDBOX=off\n');
  const { stdout } = await place.run(['config', 'show', '--json'], { env: { CAPYBARA_SANDBOX: '' } });
  const { settings } = JSON.parse(stdout) as { settings: { key: string; value: string }[] };
  expect(settings.find(({ key }) => key === 'sandbox')).toMatchObject({ value: 'auto' });
});
