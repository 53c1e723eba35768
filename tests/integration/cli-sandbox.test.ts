/** How commands are confined, from the outside: `run` on one's own machine, and the worker of a server. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { bubblewrap } from '../support/bubblewrap.ts';
import { byPrompt, CLI_TIMEOUT_MS, Place } from '../support/cli.ts';
import { docker } from '../support/docker.ts';
import { runtime } from '../support/runtime.ts';
import {
  call,
  type ScriptedModel,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

const PROMPT = 'look around';
const COMMITS = 'commit it';

let place: Place;
let model: ScriptedModel;
beforeAll(async () => {
  place = new Place({ CAPYBARA_SANDBOX: 'auto' });
  const command = `cat ${place.dataDir}/api-key ${place.home}/.ssh/id; echo made > made; cat greeting.txt`;
  model = await startScriptedModel({
    script: byPrompt({
      [PROMPT]: [[call('bash', { command })], [say('Looked.')]],
      [COMMITS]: [
        [call('bash', { command: 'echo more > more; git add more; git commit -qm one' })],
        [call('write_file', { path: 'again', content: 'x' }), call('vcs_commit', { message: 'two' })],
        [say('Committed.')],
      ],
    }),
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

const SANDBOXES = [
  'off',
  ...(bubblewrap === undefined ? [] : ['auto']),
  ...(docker === undefined ? [] : ['docker']),
  // It runs nothing as root.
  ...(runtime === undefined || process.getuid?.() === 0 ? [] : ['runtime']),
];

test.each(SANDBOXES)(
  'what an agent commits is its person’s, with the agent as co-author, and what the person commits is theirs alone: sandbox %s',
  async (sandbox) => {
    const repository = place.repository();
    const git = (...args: string[]) =>
      execFileSync('git', args, {
        cwd: repository,
        encoding: 'utf8',
        env: { ...process.env, HOME: place.home },
      });
    for (const name of ['user.name', 'user.email'])
      spawnSync('git', ['config', '--unset', name], { cwd: repository });
    writeFileSync(join(place.home, '.gitconfig'), '[user]\n\tname = Ada\n\temail = ada@example.org\n');
    const hooks = readdirSync(join(repository, '.git/hooks'));
    const endpoint = { CAPYBARA_MODEL_ENDPOINT: model.baseUrl, CAPYBARA_MODEL: 'env/scripted' };
    const { image = '', host = '' } = docker ?? {};
    const engine = { CAPYBARA_DOCKER_IMAGE: image, CAPYBARA_DOCKER_HOST: host };
    const env = { ...endpoint, ...engine, CAPYBARA_SANDBOX: sandbox };
    const { code } = await place.run(['run', COMMITS, '--mode', 'auto'], { cwd: repository, env });
    expect(code).toBe(0);
    git('commit', '-q', '--allow-empty', '-m', 'mine');
    const trailer = 'Co-authored-by: Capybara Vibe <agent@capybara.ai>\n';
    expect(git('log', '-3', '--format=%an <%ae>%n%B').split('Ada <ada@example.org>\n').slice(1)).toEqual([
      'mine\n\n',
      `two\n\n${trailer}\n`,
      `one\n\n${trailer}\n`,
    ]);
    expect(git('config', '--list', '--local')).not.toContain('hookspath');
    expect(readdirSync(join(repository, '.git/hooks'))).toEqual(hooks);
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
