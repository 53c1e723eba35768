/** The image and docker-compose.yml as a team has them: built here, with two workers and a scripted model. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Compose, findCompose, IMAGES, ROOT, run } from './engine.ts';

const IMAGE = 'capybara:test';
const PROJECT = `capybara-test-${process.pid}`;
const BUILD_MS = 20 * 60_000;
const PATIENCE = { timeout: 120_000, interval: 500 };

vi.setConfig({ testTimeout: 300_000, hookTimeout: BUILD_MS });

let directory: string;
let compose: (...args: string[]) => Promise<string>;
let key: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'capybara-compose-'));
  const base = IMAGES.base === undefined ? [] : ['--build-arg', `BASE=${IMAGES.base}`];
  await run('docker', ['build', '--network', 'host', ...base, '--tag', IMAGE, '.']);
  compose = composeWith(await findCompose());
  await compose('up', '-d', '--scale', 'worker=2');
  await untilReady();
}, BUILD_MS);
afterAll(async () => {
  await compose?.('down', '--volumes', '--timeout', '10');
  rmSync(directory, { recursive: true, force: true });
});

function composeWith({ program, args, env }: Compose): typeof compose {
  const settings = join(directory, 'settings');
  const secret = () => randomBytes(16).toString('hex');
  writeFileSync(
    settings,
    `POSTGRES_PASSWORD=${secret()}\nREDIS_PASSWORD=${secret()}\nCAPYBARA_ENCRYPTION_KEY=${randomBytes(32).toString('base64')}\nCAPYBARA_MODEL=scripted\nCAPYBARA_MODEL_ENDPOINT=http://model:8080/v1\n`,
  );
  const variables = {
    ...{ ...env, CAPYBARA_IMAGE: IMAGE, CAPYBARA_ENV_FILE: settings, CAPYBARA_PUBLISH: '127.0.0.1:' },
    ...{ POSTGRES_IMAGE: IMAGES.postgres, REDIS_IMAGE: IMAGES.redis },
    CAPYBARA_TEST_DIRECTORY: join(ROOT, 'tests'),
  };
  const files = ['--file', 'docker-compose.yml', '--file', 'tests/containers/model.yml'];
  const place = ['--project-name', PROJECT, '--env-file', settings];
  return (...more) => run(program, [...args, ...files, ...place, ...more], { env: variables });
}

async function api(path: string, body?: unknown) {
  const address = (await compose('port', 'api', '7070')).trim();
  const response = await fetch(`http://${address}${path}`, {
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

function untilReady(): Promise<void> {
  return vi.waitFor(async () => expect(await api('/readyz')).toMatchObject({ status: 200 }), PATIENCE);
}

async function submit(prompt: string): Promise<{ id: string; sessionId: string }> {
  const answer = await api('/v1/tasks', { prompt, mode: 'auto', workspace: { kind: 'empty' } });
  expect(answer.status, answer.text).toBe(201);
  return JSON.parse(answer.text);
}

async function ended(id: string): Promise<void> {
  await vi.waitFor(async () => {
    expect(JSON.parse((await api(`/v1/tasks/${id}`)).text)).toMatchObject({ status: 'succeeded' });
  }, PATIENCE);
}

/** What the command has added to its file. */
async function linesOf(sessionId: string): Promise<string[]> {
  const { text } = await api(`/v1/sessions/${sessionId}/diff`);
  return text.match(/^\+as .*$/gm) ?? [];
}

/** Those that run. */
async function workers(): Promise<string[]> {
  const labels = [`com.docker.compose.project=${PROJECT}`, 'com.docker.compose.service=worker'];
  const filters = labels.flatMap((label) => ['--filter', `label=${label}`]);
  return (await run('docker', ['ps', '--quiet', '--no-trunc', ...filters])).split('\n').filter(Boolean);
}

/** The worker whose command it is. */
async function whoRuns(command: string): Promise<string> {
  return vi.waitFor(async () => {
    for (const id of await workers()) {
      if ((await run('docker', ['top', id, '-eo', 'pid,args'])).includes(command)) return id;
    }
    throw new Error(`no worker runs ${command}`);
  }, PATIENCE);
}

/** As the command sees itself; outside it is the user of the image, who is no root either. */
const LINE = '+as 1000';

test('the first key comes from one command, and again only by the one that recovers', async () => {
  const bootstrap = () => compose('exec', '-T', 'api', 'capybara', 'migrate', '--bootstrap');
  key = (await bootstrap()).trim();
  expect(key).toMatch(/^capy_/);
  expect(await bootstrap()).toBe('');
  key = (await compose('exec', '-T', 'api', 'capybara', 'keys', 'recover')).trim();
  expect(JSON.parse((await api('/v1/audit')).text).data[0]).toMatchObject({
    action: 'capybara keys recover',
  });
});

test('a task is done by a confined command, and nothing runs as root or with a password in its image', async () => {
  const task = await submit('wait 0');
  await ended(task.id);
  expect(await linesOf(task.sessionId)).toEqual([LINE]);
  const [worker = ''] = await workers();
  expect(await run('docker', ['exec', worker, 'id', '-u'])).toBe('10001\n');
  expect(await run('docker', ['exec', worker, 'capybara', 'doctor'])).toContain(
    '✓ sandbox: Commands run in bubblewrap (strict)',
  );
  expect(await run('docker', ['history', '--no-trunc', IMAGE])).not.toMatch(/PASSWORD|API_KEY/);
});

test('every container says that it is healthy', async () => {
  await vi.waitFor(async () => {
    const ids = (await compose('ps', '-q', 'api', 'worker', 'postgres', 'redis')).trim().split('\n');
    const states = await run('docker', ['inspect', '--format', '{{.State.Health.Status}}', ...ids]);
    expect(states.trim().split('\n')).toEqual(['healthy', 'healthy', 'healthy', 'healthy', 'healthy']);
  }, PATIENCE);
});

test('a worker’s container that is killed in the middle of a command leaves it to the other, once', async () => {
  const task = await submit('wait 4');
  await run('docker', ['kill', await whoRuns('sleep 4')]);
  await ended(task.id);
  expect(await workers()).toHaveLength(1);
  expect(await linesOf(task.sessionId)).toEqual([LINE]);
});

test('a restart of Postgres is waited for', async () => {
  const task = await submit('wait 4');
  await whoRuns('sleep 4');
  await compose('restart', 'postgres');
  await ended(task.id);
  expect(await linesOf(task.sessionId)).toEqual([LINE]);
});

test('what was done is there after all containers are gone and made again, and SIGTERM ends each in time', async () => {
  const task = await submit('wait 0');
  await ended(task.id);
  const began = performance.now();
  await compose('stop', '--timeout', '30', 'api', 'worker');
  expect(performance.now() - began).toBeLessThan(25_000);
  await compose('down');
  await compose('up', '-d', '--scale', 'worker=1');
  await untilReady();
  expect(await linesOf(task.sessionId)).toEqual([LINE]);
  const next = await submit('wait 0');
  await ended(next.id);
});
