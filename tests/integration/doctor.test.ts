/** What `capybara doctor` asks of others, in this process; what it prints is in cli-doctor.test.ts. */
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { doctorReport } from '../../src/cli/doctor-report.ts';
import { withoutSecretsOf } from '../../src/config/secrets.ts';
import { loadConfig } from '../../src/config.ts';
import { answers, type Check } from '../../src/doctor/check.ts';
import { compareClocks, ownClock } from '../../src/doctor/clock.ts';
import { judgeSpace } from '../../src/doctor/disk.ts';
import { embedded } from '../../src/doctor/embedded.ts';
import { judgeGit } from '../../src/doctor/git.ts';
import { encryptionKey, keyFiles, providerKeys } from '../../src/doctor/keys.ts';
import { mcpServers } from '../../src/doctor/mcp.ts';
import { postgres } from '../../src/doctor/postgres.ts';
import { judgeRedis, queue, readInfo } from '../../src/doctor/redis.ts';
import { node } from '../../src/doctor/runtime.ts';
import { apiKeyCheck, server, versions } from '../../src/doctor/server.ts';
import { misspeltVariables } from '../../src/doctor/variables.ts';
import { writeServerInfo } from '../../src/embedded/data-dir.ts';
import { stayPrivate } from '../../src/private-network.ts';
import { VERSION } from '../../src/version.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startRedis } from '../support/redis.ts';
import { startTestApi, type TestApi } from './api-harness.ts';

let database: TestDatabase;
let empty: TestDatabase;
let api: TestApi;
let place: string;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  [database, empty, api] = await Promise.all([
    createTestDatabase(),
    createTestDatabase({ empty: true }),
    startTestApi(),
  ]);
  place = mkdtempSync(join(tmpdir(), 'capybara-doctor-'));
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
afterAll(async () => {
  await Promise.all([database.drop(), empty.drop(), api.close()]);
  rmSync(place, { recursive: true });
});

/** As the report has them, without the stop. */
const said = (checks: readonly Check[]) =>
  checks.map(({ name, state, found, cure }) => [
    state,
    name,
    cure === undefined ? found : `${found}: ${cure}`,
  ]);

async function listening(listener: HttpServer | ReturnType<typeof createServer>): Promise<number> {
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  closing.push(() => new Promise((resolve) => listener.close(resolve)));
  return (listener.address() as AddressInfo).port;
}

test('the encryption key is asked for where Capybara is a server', () => {
  const databaseUrl = 'postgres://db/capybara';
  expect(encryptionKey({})).toEqual([]);
  expect(encryptionKey({ databaseUrl, url: 'https://capybara.example' })).toEqual([]);
  const cure =
    'set CAPYBARA_ENCRYPTION_KEY on every API and worker, to what `openssl rand -base64 32` prints';
  const none = `none is set: webhooks cannot be made: ${cure}`;
  expect(said(encryptionKey({ databaseUrl }))).toEqual([['warning', 'encryption key', none]]);
  expect(said(encryptionKey({ databaseUrl, encryptionKey: ['a', 'b'] }))).toEqual([
    ['ok', 'encryption key', 'CAPYBARA_ENCRYPTION_KEY is set, and 1 more open what was sealed before'],
  ]);
});

test('MCP servers are looked for where agents have them, and none is started', async () => {
  const of = async (servers: Record<string, unknown>, enabled = true, url?: string) => {
    const env = { CAPYBARA_MCP_SERVERS: JSON.stringify(servers), CAPYBARA_MCP_ENABLED: `${enabled}` };
    const { mcp } = loadConfig({ env }).config;
    return said(await mcpServers({ mcp, ...(url === undefined ? {} : { url }) }, place));
  };
  const port = await listening(createHttpServer((_, answer) => void answer.writeHead(405).end()));
  const servers = {
    node: { command: process.execPath },
    shell: { command: 'bash' },
    none: { command: 'no-such-program' },
    path: { command: '/nowhere/x' },
    own: { command: './in/the/project' },
    up: { url: `http://127.0.0.1:${port}/planted?key=planted`, headers: { k: 'planted' } },
    down: { url: 'http://127.0.0.1:6/mcp' },
  };
  const cure = 'install it, or correct the command (capybara mcp add NAME --force)';
  const start = 'start it, or correct its url (capybara mcp add NAME --force)';
  expect(await of(servers)).toEqual([
    ['ok', 'MCP', 'on, with 7 servers'],
    ['ok', 'MCP server node', `${process.execPath} is there; capybara mcp test node tries it`],
    ['ok', 'MCP server shell', 'bash is there; capybara mcp test shell tries it'],
    ['wrong', 'MCP server none', `there is no no-such-program on the PATH: ${cure}`],
    ['wrong', 'MCP server path', `/nowhere/x is no program: ${cure}`],
    ['ok', 'MCP server own', './in/the/project is of each session; capybara mcp test own tries it'],
    ['ok', 'MCP server up', `http://127.0.0.1:${port} answers; capybara mcp test up tries it`],
    [
      'wrong',
      'MCP server down',
      expect.stringContaining(`:6 cannot be connected to (connect ECONNREFUSED 127.0.0.1:6): ${start}`),
    ],
  ]);
  expect(await of({ a: { command: 'x' } }, false)).toEqual([['ok', 'MCP', 'off, with 1 server configured']]);
  expect(await of({}, false)).toEqual([]);
  expect(await of(servers, true, 'https://capybara.example')).toEqual([]);
});

test('an MCP server with a public address is not asked offline', async () => {
  closing.push(async () => online());
  const online = stayPrivate();
  const far = loadConfig({
    env: { CAPYBARA_MCP_SERVERS: '{"far":{"url":"http://192.0.2.1/mcp"}}', CAPYBARA_MCP_ENABLED: '1' },
  });
  expect(said(await mcpServers(far.config, place))[1]).toEqual([
    ...['wrong', 'MCP server far'],
    'http://192.0.2.1 has a public address, and this is offline: leave out --offline',
  ]);
});

test('MCP servers of a project are told, and whether they are used', async () => {
  const directory = join(place, 'project');
  mkdirSync(join(directory, '.capybara'), { recursive: true });
  writeFileSync(join(directory, '.capybara', 'config.yaml'), 'mcp: {servers: {own: {command: ./planted}}}');
  const of = async (env: Record<string, string>) =>
    said(await mcpServers(loadConfig({ env, cwd: place }).config, directory));
  expect(await of({})).toEqual([
    ['ok', 'MCP servers of the project', 'own: not used, mcp.projectServers is off'],
  ]);
  expect(await of({ CAPYBARA_MCP_PROJECT_SERVERS: '1' })).toEqual([
    ['ok', 'MCP servers of the project', 'own: used in sessions that begin here'],
  ]);
  expect(await of({ CAPYBARA_URL: 'http://c.example' })).toEqual([]);
});

describe('Postgres', () => {
  const where = (url: string) => new URL(url).host + new URL(url).pathname;

  test('that is well is told with its version, its tables and its clock', async () => {
    const checks = await postgres({ databaseUrl: database.url });
    // The suite's own is not durable, to be quick.
    const durable = checks.filter(({ name }) => name !== 'Postgres durability');
    expect(said(durable)).toEqual([
      ['ok', 'Postgres', expect.stringMatching(/ answers, version \d+\.\d+/)],
      ['ok', 'migrations', 'the database is the one of this version'],
      ['ok', 'clock of Postgres', 'it agrees with the one of this machine'],
    ]);
  });

  test('that was not migrated, has another password, or is not there, is told with what to do', async () => {
    expect(said(await postgres({ databaseUrl: empty.url }))).toContainEqual([
      ...['wrong', 'migrations'],
      'the database is not the one of this version: capybara migrate brings it up to it',
    ]);
    const missing = new URL(database.url);
    missing.pathname = '/nowhere';
    const [denied] = said(await postgres({ databaseUrl: missing.href }));
    expect(denied).toEqual([
      ...['wrong', 'Postgres'],
      `${where(missing.href)} does not let us in (database "nowhere" does not exist): check the user, the password and the database in DATABASE_URL`,
    ]);
    const [gone] = said(await postgres({ databaseUrl: 'postgres://u:hush@127.0.0.1:1/d' }));
    expect(gone).toEqual([
      ...['wrong', 'Postgres'],
      '127.0.0.1:1/d does not answer (connect ECONNREFUSED 127.0.0.1:1): start it, or set DATABASE_URL to the one that runs',
    ]);
  });

  test('behind a pooler wants DATABASE_DIRECT_URL, and one that leads to the same database', async () => {
    const pooled = await throughPooler(database.url);
    const cure = 'set DATABASE_DIRECT_URL to Postgres itself';
    expect(said(await postgres({ databaseUrl: pooled }))).toContainEqual([
      ...['wrong', 'pooler'],
      `DATABASE_URL leads through a pooler, which LISTEN and session locks do not: ${cure}`,
    ]);
    const well = await postgres({ databaseUrl: pooled, databaseDirectUrl: database.url });
    expect(well.filter(({ state }) => state === 'wrong')).toEqual([]);
    expect(well.map(({ name }) => name)).toContain('Postgres, direct');
    expect(said(await postgres({ databaseUrl: pooled, databaseDirectUrl: pooled }))).toContainEqual([
      ...['wrong', 'pooler'],
      `DATABASE_DIRECT_URL leads through a pooler, which LISTEN and session locks do not: ${cure}`,
    ]);
    const others = await postgres({ databaseUrl: database.url, databaseDirectUrl: empty.url });
    expect(said(others)).toContainEqual([
      ...['wrong', 'Postgres, direct'],
      'DATABASE_URL and DATABASE_DIRECT_URL lead to two databases: set both to the same one',
    ]);
  });

  /** Passes everything on, but for the number of the process, of which poolers make up their own (BackendKeyData). */
  async function throughPooler(url: string): Promise<string> {
    const { port: behind, hostname } = new URL(url);
    const port = await listening(
      createServer((near) => {
        const far = connect(Number(behind), hostname);
        near.pipe(far).on('error', () => near.destroy());
        near.on('error', () => far.destroy());
        far.on('data', (piece: Buffer) => {
          const at = piece.indexOf(Buffer.from([0x4b, 0, 0, 0]));
          if (at >= 0 && at + 9 <= piece.length) piece.writeInt32BE(4_711, at + 5);
          near.write(piece);
        });
        far.on('close', () => near.destroy());
      }),
    );
    const pooled = new URL(url);
    pooled.host = `127.0.0.1:${port}`;
    return pooled.href;
  }
});

describe('Redis', () => {
  test('that may throw jobs away is told', async (context) => {
    const redis = await startRedis('the doctor of Redis');
    if (redis === undefined) return context.skip();
    const client = new Redis(redis.url);
    try {
      const states = async () => said(await queue({ redisUrl: redis.url })).slice(0, 3);
      expect(await states()).toEqual([
        ['ok', 'Redis', expect.stringMatching(/^127\.0\.0\.1:\d+ answers, (Redis|Valkey) \d/)],
        ['ok', 'Redis memory', 'it evicts nothing (noeviction)'],
        ['ok', 'clock of Redis', 'it agrees with the one of this machine'],
      ]);
      await client.config('SET', 'maxmemory-policy', 'allkeys-lru');
      expect((await states())[1]).toEqual([
        ...['wrong', 'Redis memory'],
        'its maxmemory-policy is allkeys-lru, so it may throw jobs away: redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration',
      ]);
      await client.config('SET', 'maxmemory-policy', 'noeviction');
    } finally {
      client.disconnect();
      await redis.stop();
    }
  });

  test('that is old, a replica, or not there, is told; without one the queue is on Postgres', async () => {
    const info = (...lines: string[]) => readInfo(lines.join('\r\n'));
    expect(said(judgeRedis('r:1', info('redis_version:6.0.16')))).toEqual([
      ['wrong', 'Redis', 'r:1 answers, Redis 6.0.16: use Redis 6.2 or newer, or Valkey'],
    ]);
    expect(said(judgeRedis('r:1', info('# Replication', 'redis_version:7.2.4', 'role:slave')))).toEqual([
      ...[
        [
          'wrong',
          'Redis',
          'r:1 answers, Redis 7.2.4, and it is a replica that takes no writes: set REDIS_URL to the primary',
        ],
      ],
    ]);
    expect(said(judgeRedis('r:1', info('redis_version:7.2.4', 'valkey_version:8.1.0')))).toEqual([
      ['ok', 'Redis', 'r:1 answers, Valkey 8.1.0'],
    ]);
    expect(said(await queue({ redisUrl: 'redis://:hush@127.0.0.1:1' }))).toEqual([
      ...[
        [
          'wrong',
          'Redis',
          '127.0.0.1:1 does not answer (connect ECONNREFUSED 127.0.0.1:1): start it, or set REDIS_URL to the one that runs',
        ],
      ],
    ]);
    expect(said(await queue({ databaseUrl: 'postgres://x' }))).toEqual([
      ['ok', 'queue', 'on Postgres, since REDIS_URL is not set'],
    ]);
    expect(await queue({})).toEqual([]);
  });
});

describe('the server', () => {
  test('is told with its version and what the key is for', async () => {
    const checks = await server({ url: api.url, apiKey: api.me.apiKey });
    expect(said(checks)).toEqual([
      ['ok', 'server', `${api.url} answers, and takes the key; it is ${VERSION}, and this is ${VERSION}`],
      ['ok', 'API key', expect.stringMatching(/^“.+” of .+ may read, .*, and does not end$/)],
      ['ok', 'clock of the server', 'it agrees with the one of this machine'],
    ]);
    expect(JSON.stringify(checks)).not.toContain(api.me.apiKey);
    const cure = 'set CAPYBARA_API_KEY to one of its keys';
    expect(said(await server({ url: api.url, apiKey: 'capy_hush' })).slice(0, 1)).toEqual([
      ['wrong', 'server', `${api.url} does not take the key it is given: ${cure}`],
    ]);
    expect(said(await server({ url: api.url })).slice(0, 1)).toEqual([
      ['wrong', 'server', `${api.url} needs a key, and none is set: ${cure}`],
    ]);
  });

  test('may live under a path; what is none, or gone, is told', async () => {
    const asked: string[] = [];
    const other = createHttpServer(({ url = '' }, response) => {
      asked.push(url);
      response.end('<html>');
    });
    const origin = `http://127.0.0.1:${await listening(other)}`;
    expect(
      said(await server({ url: `${origin.replace('//', '//me:hush@')}/below`, apiKey: 'capy_hush' }))[0],
    ).toEqual([
      ...['wrong', 'server'],
      `${origin} answers with HTTP 200, and not as a Capybara does: check CAPYBARA_URL, and that it serves`,
    ]);
    expect(asked).toEqual(['/below/v1/keys/self']);
    await closing.pop()?.();
    const [[, , gone] = []] = said(await server({ url: origin, apiKey: 'capy_hush' }));
    expect(gone).toMatch(
      /^http:\S+ does not answer \(.*ECONNREFUSED.*\): check CAPYBARA_URL, and that it runs$/,
    );
  });

  test('of another version is worth knowing, and so is a key that ends soon', () => {
    expect(versions('o', '1.4.9', '1.4.0').state).toBe('ok');
    expect(said([versions('o', '1.5.0', '1.4.0')])).toEqual([
      [
        'warning',
        'server',
        'o answers, and takes the key; it is 1.5.0, and this is 1.4.0: update the older one',
      ],
    ]);
    const key = {
      ...{ id: 'k', userId: 'u', userName: 'Ada', name: 'laptop', prefix: 'capy_a' },
      lastUsedAt: null,
    };
    const ending = {
      ...key,
      scopes: ['read' as const],
      createdAt: '',
      expiresAt: '2026-01-15T00:00:00.000Z',
    };
    const states = [0, 1, 2].map(
      (days) => apiKeyCheck(ending, Date.parse('2026-01-01T00:00:00Z') + days * 86_400_000).state,
    );
    expect(states).toEqual(['ok', 'warning', 'warning']);
    expect(apiKeyCheck(ending, Date.parse('2026-01-14T00:00:00Z'))).toEqual({
      ...{ name: 'API key', state: 'warning', cure: 'have a new one made: capybara keys create' },
      found: '“laptop” of Ada may read, and ends at 2026-01-15T00:00:00.000Z, in 1 day',
    });
  });
});

test('one’s own Capybara is told where it runs, and where it has ended', async () => {
  const apiKeyFile = join(place, 'key');
  writeFileSync(apiKeyFile, `${api.me.apiKey}\n`);
  expect(said(await embedded(place))).toEqual([
    ['ok', 'own Capybara', `none runs on ${place}; capybara up starts one`],
  ]);
  writeServerInfo(place, { url: api.url, pid: process.pid, apiKeyFile });
  expect(said(await embedded(place)).map(([state, name]) => `${state} ${name}`)).toEqual([
    'ok server',
    'ok API key',
  ]);
  writeServerInfo(place, { url: api.url, pid: 2 ** 22 + 1, apiKeyFile });
  expect(said(await embedded(place))).toEqual([
    ['ok', 'own Capybara', `the one of ${place} ended; capybara up starts it again`],
  ]);
});

describe('keys', () => {
  const settingsIn = (yaml: string, env: Record<string, string> = {}) => {
    const home = mkdtempSync(join(place, 'home-'));
    const file = join(home, 'config.yaml');
    writeFileSync(join(home, 'config.yaml'), '');
    const options = { home, cwd: home, env: { XDG_CONFIG_HOME: join(home, 'xdg'), ...env } };
    return { file, options, yaml };
  };

  test('that others may read are told, with the command', () => {
    const { options } = settingsIn('');
    const env = join(options.cwd, '.env');
    writeFileSync(env, 'CAPYBARA_API_KEY=capy_hush\nCAPYBARA_PORT=1\n', { mode: 0o644 });
    chmodSync(env, 0o644);
    expect(said(keyFiles(loadConfig(options)))).toEqual([
      ['wrong', 'key file', `${env} holds a key, and others may read it (mode 644): chmod 600 ${env}`],
    ]);
    chmodSync(env, 0o600);
    expect(said(keyFiles(loadConfig(options)))).toEqual([
      ['ok', 'key file', `only its owner may read ${env}`],
    ]);
    writeFileSync(env, 'CAPYBARA_PORT=1\n');
    chmodSync(env, 0o644);
    expect(keyFiles(loadConfig(options))).toEqual([]);
  });

  test('of providers are told where they are missing, and where none is needed', async () => {
    const providers = {
      mine: { baseUrl: 'http://127.0.0.1:1/v1' },
      work: { kind: 'chat', baseUrl: 'https://models.example/v1', apiKeyVariable: 'WORK_KEY' },
    };
    const env = { CAPYBARA_PROVIDERS: JSON.stringify(providers), OPENAI_API_KEY: 'sk-hush' };
    const { config } = loadConfig(settingsIn('', env).options);
    const found = said(await providerKeys(config));
    expect(found).toContainEqual([
      'ok',
      'provider openai',
      'its key is set; capybara providers test openai tries it',
    ]);
    expect(found).toContainEqual(['ok', 'provider mine', 'it needs no key']);
    expect(found).toContainEqual(['warning', 'provider work', 'no key is set for it: set WORK_KEY']);
    expect(found).toContainEqual([
      'warning',
      'model',
      'none is chosen for where none is named: capybara providers use NAME/MODEL chooses one, of those in capybara models list',
    ]);
    expect(said(await providerKeys({ ...config, model: 'mine/m' }))).toContainEqual([
      ...['ok', 'model', 'mine/m answers where none is named'],
    ]);
    expect(JSON.stringify(found)).not.toContain('hush');
  });

  test('are taken out of what is shown, wherever they stand', () => {
    const env = {
      ...{
        DATABASE_URL: 'postgres://u:p%40ss-hush@h/d',
        CAPYBARA_API_KEY: 'capy_hush-1',
        OPENAI_API_KEY: 'sk-hush',
      },
      ...{ CAPYBARA_GIT_CREDENTIALS: 'h.test=me:hush-2', OTEL_EXPORTER_OTLP_HEADERS: 'a=hush-3' },
    };
    const { config } = loadConfig(settingsIn('', env).options);
    const text = 'p%40ss-hush p@ss-hush capy_hush-1 sk-hush me:hush-2 hush-2 hush-3 and nothing else';
    expect(withoutSecretsOf(config, text)).toBe(`${'******** '.repeat(7)}and nothing else`);
  });
});

test('what is too old, too full or wrong is told, with what to do', () => {
  expect(node('22.4.0', '/n').state).toBe('wrong');
  expect(node('24.0.0', '/n')).toEqual({ name: 'Node', state: 'ok', found: '24.0.0, /n' });
  expect(
    ['git version 2.30.2', 'git version 2.31.0', 'git version 2.36.0 (Apple)', 'git'].map(
      (version) => judgeGit(version).state,
    ),
  ).toEqual([...['wrong', 'warning', 'ok', 'wrong']]);
  expect(judgeGit('git version 2.30.2').found).toBe(
    'git version 2.30.2, and 2.31 or newer is needed for snapshots and clones',
  );
  const space = (freeMib: number, freeFiles?: number) =>
    judgeSpace('disk', {
      ...{ path: '/d', least: 512, setting: 'CAPYBARA_DATA_DIR' },
      space: { freeMib, ...(freeFiles === undefined ? {} : { freeFiles }) },
    });
  expect([511, 512, 2_047, 2_048].map((mib) => space(mib).state)).toEqual([
    'wrong',
    'warning',
    'warning',
    'ok',
  ]);
  expect(space(511)).toEqual({
    ...{ name: 'disk', state: 'wrong', found: 'only 511 MiB free at /d, and 512 MiB have to be' },
    cure: 'remove what is not needed there, or set CAPYBARA_DATA_DIR to a place on a larger disk',
  });
  expect(space(20_480).found).toBe('20 GiB free at /d');
  expect(space(20_480, 3)).toMatchObject({ state: 'wrong', found: 'only 3 more files can be made at /d' });
});

test('a misspelt variable is told, and what belongs to others is not', () => {
  const variables = { CAPYBARA_MODLE: 'a/b', CAPYBARA_MODEL: 'a/b', CAPYBARA_CI_MARK: 'x', OTHER: 'y' };
  const found = 'CAPYBARA_MODLE is no setting; the nearest one is CAPYBARA_MODEL: rename it, or take it out';
  expect(said(misspeltVariables(variables))).toEqual([['warning', 'environment', found]]);
});

test('clocks are compared by what was known before and after', () => {
  const apart = (theirs: number, withinMs = 0) =>
    compareClocks({ of: 'Postgres', theirs, before: 1_000_000, after: 1_000_100, withinMs });
  expect([1_000_050, 998_001, 1_002_099].map((theirs) => apart(theirs).state)).toEqual(['ok', 'ok', 'ok']);
  expect(apart(1_002_100).found).toBe('it is 2 s ahead of the one of this machine');
  expect(apart(700_001).state).toBe('warning');
  expect(apart(700_000)).toMatchObject({
    state: 'wrong',
    found: 'it is 300 s behind the one of this machine',
  });
  expect(apart(997_500, 1_000).state).toBe('ok');
  expect(ownClock(new Date('2001-01-01')).state).toBe('wrong');
});

test('what throws or never answers is a line, and holds nothing up', async () => {
  const checks = await answers(
    [
      { name: 'silent', ask: () => new Promise<never>(() => {}) },
      {
        name: 'broken',
        ask: () => {
          throw new Error('It fell over.');
        },
      },
      { name: 'well', ask: () => [{ name: 'well', state: 'ok', found: 'it is' }] },
    ],
    20,
  );
  expect(doctorReport(checks, { isUnicode: true })).toBe(
    '✗ silent: there is no answer within 0.02 s: look at what it runs on, and try again.\n' +
      '✗ broken: it cannot be looked at (It fell over).\n✓ well: it is.\n2 things must be mended.\n',
  );
  expect(doctorReport(checks.slice(2), { isUnicode: false })).toBe(
    '+ well: it is.\nNothing must be mended.\n',
  );
  const warned = { name: 'sandbox', state: 'warning', found: 'none' } as const;
  expect(doctorReport([warned, ...checks.slice(2)], { isUnicode: false })).toBe(
    '! sandbox: none.\n+ well: it is.\nNothing must be mended; one thing could be better (!).\n',
  );
  expect(doctorReport([warned, warned, ...checks], { isUnicode: false })).toMatch(
    /\n2 things must be mended; 2 things could be better \(!\)\.\n$/,
  );
});
