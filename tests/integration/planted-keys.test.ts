/**
 * No key is left behind: a run with one planted in each place where a key can be set, whose providers repeat in their errors all that
 * they were sent, and then everything that it wrote, said and started.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { CLI_TIMEOUT_MS, type CliProcess, type Ended, Place } from '../support/cli.ts';
import {
  call,
  error,
  type ScriptedModel,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';

vi.setConfig({ testTimeout: CLI_TIMEOUT_MS, hookTimeout: CLI_TIMEOUT_MS });

const planted = (where: string) => `planted-${where}-5up3r53cr3t`;
const SECRETS = [
  ...['anthropic', 'openai', 'endpoint', 'inline', 'header', 'variable', 'file', 'server', 'search', 'git'],
].map(planted);

let place: Place;
let model: ScriptedModel;
let other: Server;
/** What reached somebody else than a model. */
const heard: string[] = [];
let up: CliProcess;
let repository: string;

beforeAll(async () => {
  place = new Place();
  repository = place.repository();
  const rounds = new Map<string, number>();
  model = await startScriptedModel({
    script: (request) => {
      const all = JSON.stringify(request.headers);
      const round = (rounds.get(request.model) ?? 0) + 1;
      rounds.set(request.model, round);
      if (request.model === 'refuses') return error(400, { message: `this is wrong: ${all}` });
      if (round === 1) return error(500, { message: `I stumble: ${all}`, retryAfter: '0' });
      const command =
        'echo > ready; while [ ! -e go ]; do sleep 0.05; done; env; tr "\\0" "\\n" < /proc/self/environ; true';
      return (
        [
          [call('bash', { command }), call('web_search', { query: 'a' })],
          [say(`You sent ${Object.keys(request.headers).length} headers.`)],
        ][Math.min(round - 2, 1)] ?? say('Done.')
      );
    },
  });
  other = createServer((request, response) => {
    heard.push(JSON.stringify(request.headers));
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(`you sent ${heard.at(-1)}`);
  });
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  place.env = environment();
  const settings = join(place.home, '.config', 'capybara', 'config.yaml');
  mkdirSync(join(place.home, '.config', 'capybara'), { recursive: true });
  writeFileSync(settings, `providers:\n  filed: {baseUrl: "${model.baseUrl}", apiKey: ${planted('file')}}\n`);
  up = await place.up();
});
afterAll(async () => {
  await place.remove();
  await model.close();
  other.close();
});

const otherHost = () => `127.0.0.1:${(other.address() as AddressInfo).port}`;

function environment(): Record<string, string> {
  const { baseUrl, url } = model;
  const inline = { baseUrl, apiKey: planted('inline'), headers: { 'x-team-key': planted('header') } };
  return {
    ...{ ANTHROPIC_API_KEY: planted('anthropic'), ANTHROPIC_BASE_URL: url },
    ...{ OPENAI_API_KEY: planted('openai'), OPENAI_BASE_URL: baseUrl },
    ...{ CAPYBARA_MODEL_API_KEY: planted('endpoint'), CAPYBARA_MODEL_ENDPOINT: baseUrl },
    CAPYBARA_PROVIDERS: JSON.stringify({ inline, variable: { baseUrl, apiKeyVariable: 'TEAM_KEY' } }),
    ...{ TEAM_KEY: planted('variable'), CAPYBARA_API_KEY: planted('server') },
    ...{ CAPYBARA_WEB_SEARCH_PROVIDER: 'tavily', CAPYBARA_WEB_SEARCH_API_KEY: planted('search') },
    CAPYBARA_WEB_SEARCH_URL: `http://${otherHost()}`,
    CAPYBARA_GIT_CREDENTIALS: `${otherHost()}=me:${planted('git')}`,
    ...{ CAPYBARA_PERMISSIONS: '{"bash": "allow", "web_search": "allow"}', CAPYBARA_DEBUG: '1' },
  };
}

/** The secrets that stand in it; as they are, or as a header has user and password. */
function found(text: string | Buffer): string[] {
  const bytes = Buffer.from(text);
  const hidden = Buffer.from(`me:${planted('git')}`).toString('base64');
  return [...SECRETS, hidden].filter((secret) => bytes.includes(secret));
}

const run = (name: string, ...more: string[]) =>
  place.run(['run', '--mode', 'auto', '--model', name, ...more, `ask ${name}`], { cwd: repository });

test('nothing of a key is in what was said, in a row, in a file, or in the environment of what was started', async () => {
  const refused = ['anthropic/refuses', 'openai/refuses', 'env/refuses', 'filed/refuses', 'variable/refuses'];
  const going = run('inline/works');
  await vi.waitFor(() => expect(existsSync(join(repository, 'ready'))).toBe(true), {
    timeout: 60_000,
    interval: 100,
  });
  expect(startedBy(up.child.pid ?? 0).filter(({ environ }) => found(environ).length > 0)).toEqual([]);
  writeFileSync(join(repository, 'go'), '');
  const ended: Ended[] = [await going];
  expect(ended[0]?.stdout).toContain('You sent');
  for (const name of refused) ended.push(await run(name, '--workspace', 'empty'));
  ended.push(await run('env/refuses', '--workspace', `http://${otherHost()}/x.git`));
  for (const command of [
    'models list',
    'providers list',
    'providers test filed/refuses',
    'config show',
    'doctor',
  ])
    ended.push(await place.run(command.split(' ')));
  expect(ended.map(({ code }) => code)).toEqual([0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0]);

  // Each of them was used, or this test shows nothing.
  const sent = JSON.stringify(model.requests.map(({ headers }) => headers)) + heard.join('');
  const unused = [planted('server'), planted('git')];
  expect(SECRETS.filter((secret) => !sent.includes(secret) && !unused.includes(secret))).toEqual([]);
  expect(sent).toContain(Buffer.from(`me:${planted('git')}`).toString('base64'));

  expect(ended.flatMap(({ stdout, stderr }) => found(stdout + stderr))).toEqual([]);
  const rows = await rowsOf();
  expect(rows.length).toBeGreaterThan(100);
  expect(rows.join('\n')).toContain('this is wrong: ');
  expect(rows.filter((row) => found(row).length > 0)).toEqual([]);
  const own = readFileSync(join(place.dataDir, 'api-key'), 'utf8').trim();
  expect([rows.join(''), up.stdout, up.stderr].filter((text) => text.includes(own))).toEqual([]);
  expect(found(up.stdout + up.stderr)).toEqual([]);
  await up.end('SIGINT');
  expect(found(up.stdout + up.stderr)).toEqual([]);
  expect(filesOf(place.dataDir).filter((file) => found(readFileSync(file)).length > 0)).toEqual([]);
  expect(found(objectsIn(place.dataDir))).toEqual([]);
});

/** The processes below one, but for itself and those that only start it, with what each was given. */
function startedBy(pid: number): { readonly name: string; readonly environ: Buffer }[] {
  if (process.platform !== 'linux') return [];
  const parents = new Map(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [
        Number(name),
        Number(
          textOf(`/proc/${name}/stat`)
            .replace(/^.*\) \S /s, '')
            .split(' ')[0],
        ),
      ]),
  );
  const below = (one: number): number[] =>
    [...parents].flatMap(([child, parent]) => (parent === one ? [child, ...below(child)] : []));
  const names = below(pid).map((each) => ({
    each,
    name: textOf(`/proc/${each}/cmdline`).replaceAll('\0', ' '),
  }));
  const started = names.filter(({ name }) => !/ up --port 0 $/.test(name));
  expect(started.some(({ name }) => name.includes('while [ ! -e go ]'))).toBe(true);
  return started.map(({ each, name }) => ({ name, environ: Buffer.from(textOf(`/proc/${each}/environ`)) }));
}

/** What is gone by now is empty. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

/** All rows of all tables, as text; what is compressed in them, too. */
async function rowsOf(): Promise<string[]> {
  const directory = join(place.dataDir, 'postgres');
  const port = readFileSync(join(directory, 'data', 'postmaster.pid'), 'utf8').split('\n')[3];
  const password = readFileSync(join(directory, 'password'), 'utf8').trim();
  const client = new Client({
    host: '127.0.0.1',
    port: Number(port),
    user: 'capybara',
    password,
    database: 'postgres',
  });
  await client.connect();
  try {
    const tables = await client.query<{ name: string }>(
      `SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables
        WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`,
    );
    const rows: string[] = [];
    for (const { name } of tables.rows) {
      const { rows: all } = await client.query<{ text: string }>(`SELECT t::text AS text FROM ${name} t`);
      rows.push(...all.map(({ text }) => `${name} ${text}`));
    }
    const { rows: outputs } = await client.query<{ body: Buffer }>('SELECT body FROM output');
    return [...rows, ...outputs.map(({ body }) => String(body[0] === 0x1f ? gunzipSync(body) : body))];
  } finally {
    await client.end();
  }
}

function filesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => lstatSync(path).isFile());
}

/** What git repositories below a directory hold, which is compressed in their files. */
function objectsIn(directory: string): Buffer {
  const repositories = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => /(^|\/)objects$/.test(name) && existsSync(join(directory, name, '..', 'HEAD')))
    .map((name) => join(directory, name, '..'));
  expect(repositories.length).toBeGreaterThan(0);
  const args = ['cat-file', '--batch-all-objects', '--batch'];
  const env = {
    PATH: process.env.PATH ?? '',
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'safe.directory',
    GIT_CONFIG_VALUE_0: '*',
  };
  return Buffer.concat(
    repositories.map((git) =>
      execFileSync('git', [`--git-dir=${git}`, ...args], { env, maxBuffer: 2 ** 28 }),
    ),
  );
}
