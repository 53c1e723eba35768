import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MAX_SETTINGS_BYTES } from '../../src/config/files.ts';
import { KEEP } from '../../src/config/keep.ts';
import { GIT, MAX_GIT_ALLOWED } from '../../src/config/repositories.ts';
import { MAX_RULES } from '../../src/config/rules.ts';
import { withoutSecretsOf } from '../../src/config/secrets.ts';
import {
  MAX_ALLOWED_PATHS,
  MAX_BASH_SECONDS,
  MAX_CONCURRENCY,
  MAX_EXPIRE_SECONDS,
  MAX_PORT,
  MAX_SETTING_LENGTH,
  MAX_UPLOAD_MIB,
  metaOf,
  SETTING_KEYS,
} from '../../src/config/settings.ts';
import { MAX_WEBHOOKS_ALLOWED } from '../../src/config/webhook-settings.ts';
import { type LoadOptions, loadConfig, projectTerms } from '../../src/config.ts';
import { UserError } from '../../src/core/errors.ts';
import { readRepositoryUrl } from '../../src/core/repository.ts';
import { keyFor, readKeys } from '../../src/workspace/git/credentials.ts';
import { SNAPSHOT_LIMITS } from '../../src/workspace/snapshots/limits.ts';

const KEYS = ['a', 'b'].map((letter) => Buffer.alloc(32, letter).toString('base64'));

let root: string;
let home: string;
let cwd: string;
let userFile: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'capybara-config-'));
  home = join(root, 'home');
  cwd = join(root, 'project', 'deep', 'er');
  userFile = join(home, '.config', 'capybara', 'config.yaml');
  mkdirSync(cwd, { recursive: true });
  mkdirSync(home);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(file: string, text: string): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

function load(options: LoadOptions = {}) {
  return loadConfig({ env: {}, cwd, home, ...options });
}

function failure(options: LoadOptions = {}): string {
  try {
    load(options);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    if (error instanceof UserError) {
      expect(error.exitCode).toBe(2);
      expect(error.message).not.toContain('\n');
      return error.message.replaceAll(root, 'ROOT');
    }
  }
  throw new Error('the settings were accepted');
}

describe('precedence', () => {
  test('defaults serve where nobody says anything', () => {
    expect(load().config).toEqual({
      agents: {},
      aliases: {},
      models: {},
      port: 7070,
      dataDir: join(home, '.local', 'share', 'capybara'),
      uploadMib: 1024,
      concurrency: 16,
      sandbox: 'auto',
      docker: { program: 'docker' },
      commands: {
        ...{ memoryMib: 8_192, processes: 2_048, fileMib: 10_240, openFiles: 16_384, cpuSeconds: 7_200 },
        freeMib: 512,
      },
      background: { processes: 8, lifetimeSeconds: 3_600, idleSeconds: 900, bufferKib: 1_024 },
      modelIdleSeconds: 60,
      modelTries: 3,
      modelCoolDownSeconds: 30,
      modelAnswerMib: 16,
      modelImages: true,
      offline: false,
      debug: false,
      noColor: false,
      git: { mib: 1024, seconds: 600, cacheMib: 10_240 },
      projectMap: { tokens: 2_000 },
      context: { strategy: 'compact', maxTokens: 100_000, maxMessages: 50, compactAt: 0.8 },
      keep: { filesDays: 14, uploadsDays: 30, auditDays: 365, deliveriesDays: 30 },
      api: { requestsPerMinute: 6_000, wrongKeysPerMinute: 60 },
      schedules: { perTeam: 100, shortestSeconds: 60 },
      metrics: { open: false },
      tracing: {},
      webFetch: { ports: [], seconds: 30, mib: 5 },
      webSearch: {},
      tools: { bash: { enabled: true, timeout: 30 }, filesystem: { enabled: true } },
      mcp: {
        ...{
          enabled: false,
          servers: {},
          teamServers: 'addresses',
          projectServers: false,
          connectSeconds: 30,
          callSeconds: 120,
        },
        ...{ idleSeconds: 60, messageKib: 16_384 },
      },
      providers: {},
    });
    expect(load().sources.port).toEqual({ kind: 'default', name: 'port', where: 'default' });
  });

  test('flag, environment, .env, project, profile, user, default: the first that speaks is heard', () => {
    mkdirSync(join(root, 'project', '.git'));
    write(userFile, 'model: of/user\nprofiles:\n  work:\n    model: of/profile\n');
    const steps: [string, () => LoadOptions][] = [
      ['user', () => ({})],
      ['profile', () => ({ profile: 'work' })],
      ['project', () => ({ profile: 'work' })],
      ['.env', () => ({ profile: 'work' })],
      ['environment', () => ({ profile: 'work', env: { CAPYBARA_MODEL: 'of/environment' } })],
      ['flag', () => ({ flags: { model: 'of/flag' }, env: { CAPYBARA_MODEL: 'of/environment' } })],
    ];
    for (const [kind, options] of steps) {
      if (kind === 'project') write(join(root, 'project/.capybara/config.yaml'), 'model: of/project\n');
      if (kind === '.env') write(join(cwd, '.env'), 'CAPYBARA_MODEL=of/.env\n');
      const loaded = load(options());
      expect([kind, loaded.config.model]).toEqual([kind, `of/${kind}`]);
      expect(loaded.sources.model.kind).toBe(kind);
    }
  });

  test('a source says name, file and line', () => {
    write(userFile, '# mine\n\nport: 8123\n');
    expect(load().sources.port).toEqual({ kind: 'user', name: 'port', where: `${userFile}, line 3` });
    expect(load({ flags: { maxTokens: 7 } }).sources.maxTokens.name).toBe('--max-tokens');
  });

  test('every variable reaches its setting', () => {
    const { config } = load({
      env: {
        DATABASE_URL: 'postgres://u:p@h/d',
        DATABASE_DIRECT_URL: 'postgresql://u:p@h/e',
        REDIS_URL: 'rediss://h',
        CAPYBARA_URL: 'https://c',
        CAPYBARA_API_KEY: 'capy_k',
        CAPYBARA_PORT: '81',
        CAPYBARA_DATA_DIR: 'data',
        CAPYBARA_SNAPSHOTS: '/srv/snapshots',
        CAPYBARA_UPLOAD_MIB: '12',
        CAPYBARA_CONCURRENCY: '3',
        CAPYBARA_SANDBOX: 'docker',
        CAPYBARA_DOCKER_IMAGE: 'registry.local:5000/team/tools:1@sha256:ab',
        CAPYBARA_DOCKER_PROGRAM: '/usr/bin/podman',
        CAPYBARA_DOCKER_HOST: 'unix:///run/docker.sock',
        CAPYBARA_COMMANDS_MEMORY_MIB: '64',
        CAPYBARA_COMMANDS_PROCESSES: '16',
        CAPYBARA_COMMANDS_FILE_MIB: '1',
        CAPYBARA_COMMANDS_OPEN_FILES: '1000000',
        CAPYBARA_COMMANDS_CPU_SECONDS: '1',
        CAPYBARA_COMMANDS_FREE_MIB: '0',
        CAPYBARA_COMMANDS_CPUS: '0.1',
        CAPYBARA_COMMANDS_USER: '1234:4294967294',
        CAPYBARA_COMMANDS_HOSTS: 'registry.npmjs.org, private:*.local:5000',
        CAPYBARA_BACKGROUND_PROCESSES: '64',
        CAPYBARA_BACKGROUND_LIFETIME_SECONDS: '1',
        CAPYBARA_BACKGROUND_IDLE_SECONDS: '86400',
        CAPYBARA_BACKGROUND_BUFFER_KIB: '1',
        CAPYBARA_MODEL: 'openai/m',
        CAPYBARA_TEMPERATURE: '0.5',
        CAPYBARA_MAX_TOKENS: '99',
        CAPYBARA_MODEL_FIRST_TOKEN_SECONDS: '120',
        CAPYBARA_MODEL_IDLE_SECONDS: '9',
        CAPYBARA_MODEL_TRIES: '5',
        CAPYBARA_MODEL_COOL_DOWN_SECONDS: '8',
        CAPYBARA_MODEL_ANSWER_MIB: '7',
        CAPYBARA_MODEL_IMAGES: '0',
        CAPYBARA_PERMISSIONS: '{"bash(git push *)": "ask", "plan/read_file(.env)": "deny"}',
        CAPYBARA_TOOLS_ALLOWED_PATHS: './src/, docs',
        CAPYBARA_TOOLS_BASH_ENABLED: 'no',
        CAPYBARA_TOOLS_BASH_TIMEOUT: '600',
        CAPYBARA_TOOLS_FILESYSTEM_ENABLED: '0',
        CAPYBARA_APPROVALS_EXPIRE_AFTER: '3600',
        CAPYBARA_OFFLINE: 'true',
        CAPYBARA_DEBUG: '1',
        ANTHROPIC_API_KEY: 'a',
        ANTHROPIC_BASE_URL: 'http://a',
        OPENAI_API_KEY: 'o',
        OPENAI_BASE_URL: 'http://o',
        CAPYBARA_MODEL_API_KEY: 'e',
        CAPYBARA_MODEL_ENDPOINT: 'http://e',
        CAPYBARA_GIT_ALLOW: 'https://git.internal, file:///srv/git',
        CAPYBARA_GIT_CREDENTIALS: 'github.com=ghp_t=',
        CAPYBARA_GIT_SSH_KEY: '/etc/key',
        CAPYBARA_GIT_MIB: '8',
        CAPYBARA_GIT_SECONDS: '90',
        CAPYBARA_GIT_CACHE_MIB: '16777216',
        CAPYBARA_CONTEXT_STRATEGY: 'window',
        CAPYBARA_CONTEXT_MAX_TOKENS: '32000',
        CAPYBARA_CONTEXT_MAX_MESSAGES: 'none',
        CAPYBARA_CONTEXT_COMPACT_AT: '0.5',
        CAPYBARA_METRICS_OPEN: 'yes',
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://traces:4318',
        OTEL_EXPORTER_OTLP_HEADERS: 'x-key=k1',
        OTEL_SERVICE_NAME: 'ours',
        CAPYBARA_KEEP_FILES_DAYS: '1',
        CAPYBARA_KEEP_UPLOADS_DAYS: '3650',
        CAPYBARA_KEEP_AUDIT_DAYS: '2',
        CAPYBARA_KEEP_DELIVERIES_DAYS: '3',
        CAPYBARA_API_REQUESTS_PER_MINUTE: '0',
        CAPYBARA_API_WRONG_KEYS_PER_MINUTE: '7',
        CAPYBARA_API_CORS_ORIGINS: 'https://tools.example, http://localhost:3000',
        CAPYBARA_SCHEDULES_PER_TEAM: '0',
        CAPYBARA_SCHEDULES_SHORTEST_SECONDS: '31622400',
        CAPYBARA_WEBHOOKS_ALLOW: 'ci.internal, 10.0.0.0/8,::1',
        CAPYBARA_PROJECT_MAP_TOKENS: '0',
        CAPYBARA_MCP_ENABLED: '1',
        CAPYBARA_MCP_SERVERS: '{"search": {"url": "http://s/mcp"}}',
        CAPYBARA_MCP_TEAM_SERVERS: 'all',
        CAPYBARA_MCP_PROJECT_SERVERS: '1',
        CAPYBARA_MCP_ALLOW: 'mcp.internal, 10.0.0.0/8',
        CAPYBARA_MCP_CONNECT_SECONDS: '600',
        CAPYBARA_MCP_CALL_SECONDS: '3600',
        CAPYBARA_MCP_IDLE_SECONDS: '0',
        CAPYBARA_MCP_MESSAGE_KIB: '64',
        CAPYBARA_WEB_FETCH_PORTS: '8080, 8443',
        CAPYBARA_WEB_FETCH_SECONDS: '9',
        CAPYBARA_WEB_FETCH_MIB: '2',
        CAPYBARA_WEB_SEARCH_PROVIDER: 'tavily',
        CAPYBARA_WEB_SEARCH_API_KEY: 't',
        CAPYBARA_WEB_SEARCH_URL: 'http://t',
        CAPYBARA_ENCRYPTION_KEY: `${KEYS[0]}, ${KEYS[1]}`,
        NO_COLOR: 'x',
      },
    });
    expect(config).toEqual({
      encryptionKey: KEYS,
      agents: {},
      aliases: {},
      models: {},
      databaseUrl: 'postgres://u:p@h/d',
      databaseDirectUrl: 'postgresql://u:p@h/e',
      redisUrl: 'rediss://h',
      url: 'https://c',
      apiKey: 'capy_k',
      port: 81,
      dataDir: join(cwd, 'data'),
      snapshots: '/srv/snapshots',
      uploadMib: 12,
      concurrency: 3,
      sandbox: 'docker',
      docker: {
        image: 'registry.local:5000/team/tools:1@sha256:ab',
        program: '/usr/bin/podman',
        host: 'unix:///run/docker.sock',
      },
      commands: {
        ...{
          memoryMib: 64,
          processes: 16,
          fileMib: 1,
          openFiles: 1_000_000,
          cpuSeconds: 1,
          freeMib: 0,
          cpus: 0.1,
        },
        user: { uid: 1_234, gid: 4_294_967_294 },
        hosts: [
          { host: 'registry.npmjs.org', isPrivate: false },
          { host: '*.local', port: 5_000, isPrivate: true },
        ],
      },
      background: { processes: 64, lifetimeSeconds: 1, idleSeconds: 86_400, bufferKib: 1 },
      model: 'openai/m',
      temperature: 0.5,
      maxTokens: 99,
      modelFirstTokenSeconds: 120,
      modelIdleSeconds: 9,
      modelTries: 5,
      modelCoolDownSeconds: 8,
      modelAnswerMib: 7,
      modelImages: false,
      permissions: [
        { decision: 'ask', tool: 'bash', pattern: 'git push *' },
        { decision: 'deny', tool: 'read_file', pattern: '.env', agent: 'plan' },
      ],
      tools: {
        allowedPaths: ['src', 'docs'],
        bash: { enabled: false, timeout: 600 },
        filesystem: { enabled: false },
      },
      approvals: { expireAfter: 3_600 },
      offline: true,
      debug: true,
      noColor: true,
      git: {
        ...{ allow: ['https://git.internal', 'file:///srv/git'], credentials: 'github.com=ghp_t=' },
        ...{ sshKey: '/etc/key', mib: 8, seconds: 90, cacheMib: 16_777_216 },
      },
      projectMap: { tokens: 0 },
      context: { strategy: 'window', maxTokens: 32_000, maxMessages: null, compactAt: 0.5 },
      keep: { filesDays: 1, uploadsDays: 3_650, auditDays: 2, deliveriesDays: 3 },
      metrics: { open: true },
      tracing: { endpoint: 'http://traces:4318', headers: 'x-key=k1', service: 'ours' },
      api: {
        requestsPerMinute: 0,
        wrongKeysPerMinute: 7,
        corsOrigins: ['https://tools.example', 'http://localhost:3000'],
      },
      schedules: { perTeam: 0, shortestSeconds: 31_622_400 },
      webhooks: { allow: ['ci.internal', '10.0.0.0/8', '::1'] },
      webFetch: { ports: [8080, 8443], seconds: 9, mib: 2 },
      webSearch: { provider: 'tavily', apiKey: 't', url: 'http://t' },
      mcp: {
        ...{ enabled: true, servers: { search: { url: 'http://s/mcp', trusted: true } } },
        ...{ teamServers: 'all', projectServers: true, allow: ['mcp.internal', '10.0.0.0/8'] },
        ...{ connectSeconds: 600, callSeconds: 3_600, idleSeconds: 0, messageKib: 64 },
      },
      providers: {
        anthropic: { apiKey: 'a', baseUrl: 'http://a' },
        openai: { apiKey: 'o', baseUrl: 'http://o' },
        env: { apiKey: 'e', baseUrl: 'http://e' },
      },
    });
  });

  test('an empty text is not set', () => {
    write(join(cwd, '.env'), 'CAPYBARA_PORT=\n');
    write(userFile, 'port:\nmodel: ""\n');
    const loaded = load({ env: { CAPYBARA_PORT: '', NO_COLOR: '' }, flags: { model: '' }, profile: '' });
    expect(loaded.config.port).toBe(7070);
    expect(loaded.config.model).toBeUndefined();
    expect(loaded.config.noColor).toBe(false);
  });

  test('XDG directories are used where they are absolute', () => {
    write(join(root, 'xdg', 'capybara', 'config.yaml'), 'port: 1\n');
    const env = { XDG_CONFIG_HOME: join(root, 'xdg'), XDG_DATA_HOME: 'relative' };
    expect(load({ env }).config.port).toBe(1);
    expect(load({ env }).config.dataDir).toBe(join(home, '.local', 'share', 'capybara'));
    expect(load({ env: { XDG_DATA_HOME: '/d' } }).config.dataDir).toBe('/d/capybara');
  });

  test('a data directory may start at home, and in a file it may not be relative', () => {
    write(userFile, 'dataDir: ~/capy\n');
    expect(load().config.dataDir).toBe(join(home, 'capy'));
    write(userFile, 'dataDir: capy\n');
    expect(failure()).toBe(
      'dataDir (ROOT/home/.config/capybara/config.yaml, line 1) must be a path, absolute or from ~; found "capy".',
    );
  });
});

describe('the project', () => {
  test('the nearest file up to the root of version control counts', () => {
    write(join(root, '.capybara/config.yaml'), 'model: beyond/root\n');
    write(join(root, 'project/.capybara/config.yaml'), 'model: at/root\n');
    mkdirSync(join(root, 'project', '.hg'));
    expect(load().config.model).toBe('at/root');
    write(join(root, 'project/deep/.capybara/config.yaml'), 'temperature: 1\n');
    expect(load().config.model).toBeUndefined();
    expect(load().config.temperature).toBe(1);
  });

  test('without version control only the working directory counts', () => {
    write(join(root, 'project/.capybara/config.yaml'), 'model: of/another\n');
    expect(load().config.model).toBeUndefined();
    write(join(cwd, '.capybara/config.yaml'), 'model: of/mine\n');
    expect(load().config.model).toBe('of/mine');
  });

  test('it may wish for a model, and set nothing else', () => {
    const nested = (key: string) => {
      const [first, ...rest] = key.split('.').toReversed();
      return rest.reduce((inside, name) => `{${name}: ${inside}}`, `{${first}: 1}`);
    };
    const refused = SETTING_KEYS.filter((key) => {
      write(join(cwd, '.capybara/config.yaml'), nested(key));
      return (
        !['maxTokens', 'temperature', 'model', 'permissions', 'mcp.servers'].includes(key) &&
        failure().includes('may not be set')
      );
    });
    expect(SETTING_KEYS.filter((key) => !refused.includes(key))).toEqual([
      'model',
      'temperature',
      'maxTokens',
      'permissions',
      'mcp.servers',
    ]);
    write(join(cwd, '.capybara/config.yaml'), 'model: a/b\ntemperature: 1\nmaxTokens: 5\n');
    expect(load().config).toMatchObject({ model: 'a/b', temperature: 1, maxTokens: 5 });
  });

  test('a refusal says where the setting belongs, and hides its value', () => {
    write(join(cwd, '.capybara/config.yaml'), 'model: a/b\nproviders:\n  openai:\n    apiKey: hush\n');
    expect(failure()).toBe(
      'providers.openai.apiKey (ROOT/project/deep/er/.capybara/config.yaml, line 4) may not be set by a project, ' +
        'only model, temperature, maxTokens may: set it in the environment or in your own config.yaml.',
    );
    write(join(cwd, '.capybara/config.yaml'), 'profiles:\n  a:\n    model: b\n');
    expect(failure()).toContain('profiles.a.model');
  });

  test('a server that does not trust its directory opens nothing in it', () => {
    write(join(cwd, '.env'), 'not a setting');
    write(join(cwd, '.capybara/config.yaml'), '{');
    expect(load({ trustWorkingDirectory: false }).config.model).toBeUndefined();
    expect(failure()).toContain('.env, line 1');
  });

  test("a project's .env does not say who is told of what is done", () => {
    const lines = ['OTEL_EXPORTER_OTLP_ENDPOINT=http://elsewhere', 'CAPYBARA_METRICS_OPEN=1'];
    write(join(cwd, '.env'), `${lines.join('\n')}\nOTEL_EXPORTER_OTLP_HEADERS=a=b\n`);
    expect(load().config).toMatchObject({ tracing: {}, metrics: { open: false } });
    expect(load().config.tracing).toEqual({});
  });

  test("a project's .env may be its own program's: a directory, or with stores that are not Capybara's", () => {
    write(join(cwd, '.env'), 'DATABASE_URL=file:./dev.db\nREDIS_URL=redis://the-app\nCAPYBARA_PORT=1234\n');
    const { config } = load();
    expect([config.databaseUrl, config.redisUrl, config.port]).toEqual([undefined, undefined, 1234]);
    rmSync(join(cwd, '.env'));
    mkdirSync(join(cwd, '.env'));
    expect(load().config.port).toBe(7070);
  });

  test('a directory may not choose where a key of the person is sent', () => {
    write(join(cwd, '.env'), 'ANTHROPIC_BASE_URL=http://elsewhere\n');
    expect(load().config.providers.anthropic).toEqual({ baseUrl: 'http://elsewhere' });
    expect(failure({ env: { ANTHROPIC_API_KEY: 'hush' } })).toBe(
      'ANTHROPIC_BASE_URL comes from ROOT/project/deep/er/.env, but ANTHROPIC_API_KEY does not (environment): ' +
        'a directory may not choose where your key is sent; set both in one place.',
    );
    write(join(cwd, '.env'), 'ANTHROPIC_BASE_URL=http://elsewhere\nANTHROPIC_API_KEY=own\n');
    expect(load().config.providers.anthropic).toEqual({ baseUrl: 'http://elsewhere', apiKey: 'own' });
    for (const line of ['CAPYBARA_WEB_SEARCH_URL=http://elsewhere', 'CAPYBARA_WEB_SEARCH_PROVIDER=tavily']) {
      write(join(cwd, '.env'), `${line}\n`);
      expect(failure({ env: { CAPYBARA_WEB_SEARCH_API_KEY: 'hush' } })).toContain(
        'a directory may not choose where your key is sent',
      );
    }
  });

  test.each([
    ['apiKeyVariable', 'MY_KEY', false],
    ['headers', { 'x-key': 'hush' }, false],
    ['apiKey', 'hush', true],
  ])('nor one that is the %s of a provider', (name, value, asVariable) => {
    const providers = { openai: { [name]: value } };
    const where = asVariable ? 'environment' : 'ROOT/home/.config/capybara/config.yaml, line 1';
    if (!asVariable) write(userFile, JSON.stringify({ providers }));
    const env = { MY_KEY: 'hush', ...(asVariable && { CAPYBARA_PROVIDERS: JSON.stringify(providers) }) };
    write(join(cwd, '.env'), 'OPENAI_BASE_URL=http://elsewhere\nOPENAI_API_KEY=\n');
    expect(failure({ env })).toBe(
      `OPENAI_BASE_URL comes from ROOT/project/deep/er/.env, but providers.openai.${name} does not (${where}): ` +
        'a directory may not choose where your key is sent; set both in one place.',
    );
    rmSync(join(cwd, '.env'));
    expect(load({ env }).config.providers.openai).toMatchObject(providers.openai);
  });

  test("a directory's own endpoint and key together replace none of the person's headers", () => {
    write(userFile, 'providers: {env: {headers: {x-key: hush}}}\n');
    write(join(cwd, '.env'), 'CAPYBARA_MODEL_ENDPOINT=http://elsewhere\nCAPYBARA_MODEL_API_KEY=own\n');
    expect(failure()).toContain('but providers.env.headers does not');
  });
});

test('a hundred hosts may be reached, and no more; they are shown as they are written', () => {
  const hosts = (count: number) => Array.from({ length: count }, (_, index) => `h${index}.example`).join(',');
  const { config, shown } = load({ env: { CAPYBARA_COMMANDS_HOSTS: `${hosts(99)},private:[::1]:80` } });
  expect(config.commands.hosts).toHaveLength(100);
  expect(shown['commands.hosts']).toMatch(/^h0\.example, .*, private:\[::1\]:80$/);
  expect(() => load({ env: { CAPYBARA_COMMANDS_HOSTS: hosts(101) } })).toThrow('must be at most 100 hosts');
});

describe('wrong values', () => {
  test.each([
    [
      { CAPYBARA_PORT: 'abc' },
      'CAPYBARA_PORT (environment) must be a whole number from 0 to 65535; found "abc".',
    ],
    [
      { CAPYBARA_PORT: '1.5' },
      'CAPYBARA_PORT (environment) must be a whole number from 0 to 65535; found "1.5".',
    ],
    [
      { CAPYBARA_TEMPERATURE: '2.1' },
      'CAPYBARA_TEMPERATURE (environment) must be a number from 0 to 2; found "2.1".',
    ],
    [
      { CAPYBARA_MAX_TOKENS: '0' },
      'CAPYBARA_MAX_TOKENS (environment) must be a whole number, 1 or more; found "0".',
    ],
    [
      { CAPYBARA_OFFLINE: 'maybe' },
      'CAPYBARA_OFFLINE (environment) must be 1 or 0 (or true, false); found "maybe".',
    ],
    [
      { CAPYBARA_METRICS_OPEN: 'often' },
      'CAPYBARA_METRICS_OPEN (environment) must be 1 or 0 (or true, false); found "often".',
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4317' },
      'OTEL_EXPORTER_OTLP_ENDPOINT (environment) must be a URL, http://… or https://…; found "localhost:4317".',
    ],
    ...[
      `${KEYS[0]},`,
      KEYS[0]?.slice(1) ?? '',
      `${KEYS[0]?.slice(0, 42)}_=`,
      Array(11).fill(KEYS[0]).join(),
    ].map((text): [Record<string, string>, string] => [
      { CAPYBARA_ENCRYPTION_KEY: text },
      'CAPYBARA_ENCRYPTION_KEY (environment) must be what `openssl rand -base64 32` prints (32 bytes in base64), or at most 10 of them with commas between them; what is there is not (not shown: it is a secret).',
    ]),
    [
      { OTEL_EXPORTER_OTLP_HEADERS: 'hush' },
      'OTEL_EXPORTER_OTLP_HEADERS (environment) must be name=value, with commas between several; what is there is not (not shown: it is a secret).',
    ],
    [
      { OTEL_SERVICE_NAME: 'a'.repeat(101) },
      `OTEL_SERVICE_NAME (environment) must be a name of letters, digits, dots, dashes and underscores, at most 100; found "${'a'.repeat(80)}…".`,
    ],
    [
      { CAPYBARA_SANDBOX: 'podman' },
      'CAPYBARA_SANDBOX (environment) must be "auto", "bubblewrap", "runtime", "docker" or "off"; found "podman".',
    ],
    [
      { CAPYBARA_DOCKER_IMAGE: '--privileged' },
      'CAPYBARA_DOCKER_IMAGE (environment) must be the name or id of an image; found "--privileged".',
    ],
    [
      { CAPYBARA_DOCKER_PROGRAM: 'bin/docker' },
      'CAPYBARA_DOCKER_PROGRAM (environment) must be a program on the PATH, or an absolute path; found "bin/docker".',
    ],
    [
      { CAPYBARA_DOCKER_HOST: 'tcp://10.0.0.1:2375' },
      'CAPYBARA_DOCKER_HOST (environment) must be a socket of this host, unix:///path; found "tcp://10.0.0.1:2375".',
    ],
    [
      { CAPYBARA_COMMANDS_MEMORY_MIB: '63' },
      'CAPYBARA_COMMANDS_MEMORY_MIB (environment) must be a whole number from 64 to 1048576; found "63".',
    ],
    [
      { CAPYBARA_COMMANDS_OPEN_FILES: '1000001' },
      'CAPYBARA_COMMANDS_OPEN_FILES (environment) must be a whole number from 64 to 1000000; found "1000001".',
    ],
    [
      { CAPYBARA_COMMANDS_FREE_MIB: '1048577' },
      'CAPYBARA_COMMANDS_FREE_MIB (environment) must be a whole number from 0 to 1048576; found "1048577".',
    ],
    [
      { CAPYBARA_COMMANDS_CPUS: '1024.5' },
      'CAPYBARA_COMMANDS_CPUS (environment) must be a number from 0.1 to 1024; found "1024.5".',
    ],
    [
      { CAPYBARA_BACKGROUND_PROCESSES: '65' },
      'CAPYBARA_BACKGROUND_PROCESSES (environment) must be a whole number from 1 to 64; found "65".',
    ],
    [
      { CAPYBARA_BACKGROUND_LIFETIME_SECONDS: '0' },
      'CAPYBARA_BACKGROUND_LIFETIME_SECONDS (environment) must be a whole number from 1 to 604800; found "0".',
    ],
    [
      { CAPYBARA_COMMANDS_USER: '0:61000' },
      'CAPYBARA_COMMANDS_USER (environment) must be uid:gid in numbers, neither of them 0; found "0:61000".',
    ],
    [
      { CAPYBARA_COMMANDS_USER: '61000:4294967295' },
      'CAPYBARA_COMMANDS_USER (environment) must be uid:gid in numbers, neither of them 0; found "61000:4294967295".',
    ],
    [
      { CAPYBARA_COMMANDS_HOSTS: 'https://example.com' },
      'CAPYBARA_COMMANDS_HOSTS (environment) must be at most 100 hosts such as registry.npmjs.org, *.example.com:8443 or ' +
        'private:registry.local:5000, with commas between them; found "https://example.com".',
    ],
    [
      { CAPYBARA_COMMANDS_USER: 'nobody' },
      'CAPYBARA_COMMANDS_USER (environment) must be uid:gid in numbers, neither of them 0; found "nobody".',
    ],
    [
      { CAPYBARA_URL: 'ftp://u:pw@h' },
      'CAPYBARA_URL (environment) must be a URL, http://… or https://…; found "ftp://***@h".',
    ],
    [
      { DATABASE_URL: 'mysql://u:hush@h' },
      'DATABASE_URL (environment) must be a URL, postgres://… or postgresql://…; what is there is not (not shown: it is a secret).',
    ],
    [
      { OPENAI_API_KEY: 'hush hush' },
      'OPENAI_API_KEY (environment) must be a key of ASCII characters without spaces; what is there is not (not shown: it is a secret).',
    ],
    [
      { CAPYBARA_MODEL: 'a b' },
      'CAPYBARA_MODEL (environment) must be provider/model, without spaces; found "a b".',
    ],
  ])('%o stops the start', (env, message) => {
    expect(failure({ env })).toBe(message);
  });

  test('limits hold on both sides', () => {
    expect(load({ flags: { port: MAX_PORT } }).config.port).toBe(MAX_PORT);
    expect(failure({ flags: { port: MAX_PORT + 1 } })).toBe(
      '--port (command line) must be a whole number from 0 to 65535; found "65536".',
    );
    expect(load({ flags: { concurrency: MAX_CONCURRENCY } }).config.concurrency).toBe(MAX_CONCURRENCY);
    expect(failure({ flags: { concurrency: MAX_CONCURRENCY + 1 } })).toContain('from 1 to 1000');
    expect(load({ flags: { uploadMib: MAX_UPLOAD_MIB } }).config.uploadMib).toBe(MAX_UPLOAD_MIB);
    expect(failure({ flags: { uploadMib: MAX_UPLOAD_MIB + 1 } })).toContain('from 1 to 65536');
    const longest = 'm'.repeat(MAX_SETTING_LENGTH);
    expect(load({ flags: { model: longest } }).config.model).toBe(longest);
    expect(failure({ flags: { model: `${longest}m` } })).toContain(
      'must be a text of at most 4096 characters',
    );
  });

  test.each([
    [
      'CAPYBARA_CONTEXT_MAX_TOKENS',
      ['1000', '10000000'],
      ['999', '10000001', 'none'],
      'from 1000 to 10000000',
    ],
    ['CAPYBARA_CONTEXT_MAX_MESSAGES', ['2', '100000', 'none', 'null'], ['1', '100001', '2.5'], 'or "none"'],
    ['CAPYBARA_CONTEXT_COMPACT_AT', ['0.3', '0.95'], ['0.29', '0.96', '80'], 'from 0.3 to 0.95'],
    ['CAPYBARA_CONTEXT_STRATEGY', ['compact', 'window'], ['all'], '"compact" or "window"'],
  ])('%s is one of %j, none of %j', (name, right, wrong, expected) => {
    for (const value of right) expect(load({ env: { [name]: value } })).toBeDefined();
    for (const value of wrong) expect(failure({ env: { [name]: value } })).toContain(expected);
  });

  test.each([
    ['CAPYBARA_MODEL_FIRST_TOKEN_SECONDS', 'modelFirstTokenSeconds', 300],
    ['CAPYBARA_MODEL_IDLE_SECONDS', 'modelIdleSeconds', 300],
    ['CAPYBARA_MODEL_TRIES', 'modelTries', 20],
    ['CAPYBARA_MODEL_COOL_DOWN_SECONDS', 'modelCoolDownSeconds', 600],
    ['CAPYBARA_MODEL_ANSWER_MIB', 'modelAnswerMib', 64],
  ] as const)('%s is from 1 to its most', (name, key, most) => {
    for (const value of [1, most]) expect(load({ env: { [name]: `${value}` } }).config[key]).toBe(value);
    write(userFile, `${key}: ${most}\n`);
    expect(load().config[key]).toBe(most);
    for (const value of [0, most + 1]) {
      expect(failure({ env: { [name]: `${value}` } })).toBe(
        `${name} (environment) must be a whole number from 1 to ${most}; found "${value}".`,
      );
    }
  });

  test('the map of a project takes from none to its most', () => {
    const env = (tokens: number) => ({ env: { CAPYBARA_PROJECT_MAP_TOKENS: `${tokens}` } });
    for (const tokens of [0, 20_000]) expect(load(env(tokens)).config.projectMap).toEqual({ tokens });
    for (const tokens of [-1, 20_001])
      expect(failure(env(tokens))).toContain(`must be a whole number from 0 to 20000; found "${tokens}"`);
  });

  test('settings of the web say what they expect', () => {
    write(userFile, `webFetch:\n  ports: 1, ${MAX_PORT}\n  seconds: 300\n  mib: 64\n`);
    expect(load().config.webFetch).toEqual({ ports: [1, MAX_PORT], seconds: 300, mib: 64 });
    write(userFile, 'webFetch:\n  ports: 8080\n');
    expect(load().config.webFetch.ports).toEqual([8080]);
    for (const ports of ['0', `${MAX_PORT + 1}`, '80;81', '8080,', 'all']) {
      expect(failure({ env: { CAPYBARA_WEB_FETCH_PORTS: ports } })).toBe(
        `CAPYBARA_WEB_FETCH_PORTS (environment) must be port numbers from 1 to 65535, with commas between them; found "${ports}".`,
      );
    }
    expect(failure({ env: { CAPYBARA_WEB_FETCH_SECONDS: '301' } })).toContain('from 1 to 300');
    expect(failure({ env: { CAPYBARA_WEB_FETCH_MIB: '65' } })).toContain('from 1 to 64');
    expect(failure({ env: { CAPYBARA_WEB_SEARCH_PROVIDER: 'altavista' } })).toContain(
      'must be brave, tavily or searxng; found "altavista"',
    );
  });

  test('a value that nobody hears is not judged', () => {
    expect(load({ env: { CAPYBARA_PORT: 'abc' }, flags: { port: 5 } }).config.port).toBe(5);
  });

  test('an unknown key names the nearest one', () => {
    write(userFile, 'temprature: 1\n');
    expect(failure()).toBe(
      'ROOT/home/.config/capybara/config.yaml, line 1: there is no setting "temprature"; the nearest one is "temperature".',
    );
    write(userFile, 'profiles:\n  a:\n    providers:\n      opnai:\n        apiKey: hush\n');
    expect(failure({ profile: 'a' })).toContain(
      'line 5) must have a kind or a baseUrl; only anthropic, openai, env need none.',
    );
  });

  test('an unknown profile names those there are', () => {
    expect(failure({ profile: 'work' })).toBe(
      'The profile "work" is not in ROOT/home/.config/capybara/config.yaml: there is no such file.',
    );
    write(userFile, 'port: 1\n');
    expect(failure({ profile: 'work' })).toContain('it has no profiles.');
    write(userFile, 'profiles:\n  home: {port: 1}\n  club:\n');
    expect(failure({ profile: 'work' })).toContain('it has home, club.');
    expect(load({ profile: 'club' }).config.port).toBe(7070);
    expect(load({ profile: 'home' }).sources.port.kind).toBe('profile');
  });
});

describe('malformed files', () => {
  test.each([
    ['a: b: c\n', 'line 1, column 4: not valid YAML (block as implicit key).'],
    ['port: 1\nport: 2\n', 'line 2, column 1: not valid YAML (duplicate key).'],
    ['- port\n', 'line 1: the file is a list; expected a map of settings (name: value).'],
    ['hush\n', 'line 1: the file is something else; expected a map of settings (name: value).'],
    ['port: [1]\n', 'line 1: port is a list; expected a text, a number or true/false.'],
    ['model: &m a/b\napiKey: *m\n', 'line 2: aliases (*name) are not read in settings.'],
  ])('YAML %j', (text, message) => {
    write(userFile, text);
    expect(failure()).toBe(`ROOT/home/.config/capybara/config.yaml, ${message}`);
  });

  test('an empty YAML file sets nothing', () => {
    write(userFile, '# nothing yet\n');
    expect(load().config.port).toBe(7070);
  });

  test.each([
    ['A=1\nhush hush\n', 2, 'this is not a setting'],
    ['A="b\nc"\n\n# d\noops\n', 5, 'this is not a setting'],
    ['A=1\r\nB="hush\r\n', 2, 'a quote is opened and never closed'],
  ])('.env %j', (text, line, found) => {
    write(join(cwd, '.env'), text);
    expect(failure()).toBe(
      `ROOT/project/deep/er/.env, line ${line}: ${found}; expected NAME=value, a comment (#) or an empty line.`,
    );
  });

  test('.env is read as other programs write it', () => {
    write(
      join(cwd, '.env'),
      '\uFEFF# hi\r\nexport CAPYBARA_PORT=5 # five\r\n CAPYBARA_MODEL = "a/b"\nX=`a\nb`\nY=it\'s',
    );
    expect(load().config).toMatchObject({ port: 5, model: 'a/b' });
  });

  test('a file larger than the limit is not read', () => {
    const fits = `#${' '.repeat(MAX_SETTINGS_BYTES - 1)}`;
    write(userFile, fits);
    expect(load().config.port).toBe(7070);
    write(userFile, `${fits} `);
    expect(failure()).toContain(`has ${MAX_SETTINGS_BYTES + 1} bytes`);
  });

  test('what is not a file, or cannot be reached, is said in one sentence', () => {
    rmSync(userFile, { force: true });
    mkdirSync(userFile, { recursive: true });
    expect(failure()).toContain('is not a file: expected a file with settings.');
    rmSync(join(home, '.config'), { recursive: true });
    symlinkSync('.env', join(cwd, '.env'));
    expect(failure()).toContain('The settings in ROOT/project/deep/er/.env cannot be read: ELOOP');
    rmSync(join(cwd, '.env'));
    write(join(home, '.config'), 'a file');
    expect(load().config.port).toBe(7070);
  });
});

describe('what is shown', () => {
  test('secrets are masked, and so are passwords and queries in URLs', () => {
    const { shown, config } = load({
      env: {
        CAPYBARA_ENCRYPTION_KEY: KEYS.join(),
        DATABASE_URL: 'postgres://u:hush@h:5/d?password=hush',
        CAPYBARA_API_KEY: 'hush',
        OPENAI_BASE_URL: 'http://u:hush@o/v1?key=hush',
        CAPYBARA_PORT: '5',
        CAPYBARA_WEB_SEARCH_API_KEY: 'hush',
        CAPYBARA_WEB_FETCH_PORTS: '8080,8443',
      },
    });
    expect(shown).toMatchObject({
      databaseUrl: 'postgres://***@h:5/d?***',
      ...{ apiKey: '********', encryptionKey: '********' },
      'providers.openai.baseUrl': 'http://***@o/v1?***',
      port: '5',
      'webSearch.apiKey': '********',
      'webFetch.ports': '8080, 8443',
    });
    expect(JSON.stringify(shown)).not.toContain('hush');
    expect(withoutSecretsOf(config, `it has ${KEYS[1]}`)).toBe('it has ********');
  });

  test('every setting has a variable of its own, and .env.example lists them all', () => {
    const variables = SETTING_KEYS.map((key) => metaOf(key).env);
    expect(new Set(variables).size).toBe(SETTING_KEYS.length);
    const example = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
    expect(Object.keys(parseEnv(example)).toSorted()).toEqual(variables.toSorted());
    write(join(cwd, '.env'), example);
    expect(load().config.port).toBe(7070);
  });
});

describe('rules', () => {
  const GIT = [
    'permissions:',
    '  "bash(git *)": allow',
    '  "bash(git push *)": ask',
    '  plan/read_file: deny',
    '',
  ].join('\n');

  test('are a map in the user’s file, in its order, and may be for one agent', () => {
    write(userFile, GIT);
    const loaded = load();
    expect(loaded.config.permissions).toEqual([
      { decision: 'allow', tool: 'bash', pattern: 'git *' },
      { decision: 'ask', tool: 'bash', pattern: 'git push *' },
      { decision: 'deny', tool: 'read_file', agent: 'plan' },
    ]);
    expect(loaded.shown.permissions).toBe('allow bash(git *), ask bash(git push *), deny plan/read_file');
    expect(loaded.sources.permissions).toMatchObject({ kind: 'user', where: `${userFile}, line 2` });
    expect(load({ env: { CAPYBARA_PERMISSIONS: '{"bash": "deny"}' } }).config.permissions).toHaveLength(1);
  });

  test('of a profile take the place of the rest', () => {
    write(userFile, `${GIT}profiles:\n  work:\n    permissions:\n      bash: deny\n`);
    expect(load({ profile: 'work' }).config.permissions).toEqual([{ decision: 'deny', tool: 'bash' }]);
  });

  const RULE = 'must be tool, tool(pattern) or agent/tool(pattern), of at most 1000 characters.';
  test.each([
    ['{"bash(x":"ask"}', `the rule "bash(x" ${RULE}`],
    ['{"ls":"ask","bash(":"ask","bash(x":"ask"}', `the rule "bash(" ${RULE}`],
    ['{"bash(x)":"maybe"}', 'the rule "bash(x)" must say "allow", "ask" or "deny"; found "maybe".'],
    ['{"bash":{"x":1}}', 'the rule "bash" must say "allow", "ask" or "deny"; found {"x":1}.'],
    [`{"bash(${'x'.repeat(200)}":"ask"}`, `the rule "bash(${'x'.repeat(74)}… ${RULE}`],
  ])('of which one is none stop the start, and it is named: %s', (text, wrong) => {
    expect(failure({ env: { CAPYBARA_PERMISSIONS: text } })).toBe(
      `CAPYBARA_PERMISSIONS (environment): ${wrong}`,
    );
  });

  test.each([
    ['  bash: maybe\n', '"bash" must say "allow", "ask" or "deny"; found "maybe".'],
    ['  ls: ask\n  bash:\n', '"bash" must say "allow", "ask" or "deny"; found null.'],
    ['  bash: 1\n', '"bash" must say "allow", "ask" or "deny"; found 1.'],
    ['  "bash(": ask\n', `"bash(" ${RULE}`],
  ])('of which one is none are named with their file: %j', (text, wrong) => {
    write(userFile, `permissions:\n${text}`);
    const place = 'permissions (ROOT/home/.config/capybara/config.yaml, line 2): the rule ';
    expect(failure()).toBe(`${place}${wrong}`);
  });

  test.each(['ask', '[]', '{"bash"', '3'])('that are no map stop the start: %s', (text) => {
    expect(failure({ env: { CAPYBARA_PERMISSIONS: text } })).toBe(
      'CAPYBARA_PERMISSIONS (environment) must be a map of at most 500 rules, {"tool(pattern)": "allow", "ask" or "deny"}; ' +
        `found ${JSON.stringify(text)}.`,
    );
  });

  test('are at most as many as may be set', () => {
    const map = (count: number) =>
      JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, index) => [`t${index}`, 'ask'])));
    const env = (count: number) => ({ env: { CAPYBARA_PERMISSIONS: map(count) } });
    expect(load(env(MAX_RULES)).config.permissions).toHaveLength(MAX_RULES);
    expect(failure(env(MAX_RULES + 1))).toContain('must be a map of at most 500 rules');
  });

  test('of a project may ask and deny, and are read for a task that works in it', () => {
    const file = write(
      join(root, 'project/.capybara/config.yaml'),
      'model: a/b\npermissions:\n  bash(npm *): ask\n',
    );
    mkdirSync(join(root, 'project', '.git'));
    expect(projectTerms(cwd).rules).toEqual([{ decision: 'ask', tool: 'bash', pattern: 'npm *' }]);
    expect(load().config).toMatchObject({ model: 'a/b' });
    expect(load().config.permissions).toBeUndefined();
    write(file, 'permissions:\n  bash: deny\n  bash(npm *): allow\n');
    const refused =
      'The rule bash(npm *) (ROOT/project/.capybara/config.yaml, line 2) allows something: ' +
      'the rules of a project may only ask or deny.';
    expect(failure()).toBe(refused);
    expect(() => projectTerms(cwd).rules).toThrow(refused.replace('ROOT', root));
    write(file, 'model: a/b\n');
    expect(projectTerms(cwd).rules).toEqual([]);
    expect(projectTerms(home).rules).toEqual([]);
  });

  test.each([
    'CAPYBARA_PERMISSIONS={}',
    'CAPYBARA_TOOLS_BASH_ENABLED=1',
    'CAPYBARA_APPROVALS_EXPIRE_AFTER=5',
  ])('and what else an agent may do stand in no .env of a directory: %s', (line) => {
    write(join(cwd, '.env'), `${line}\n`);
    expect(failure()).toBe(
      `${line.split('=')[0]} (ROOT/project/deep/er/.env) may not be set by a directory: ` +
        'set it in the environment or in your own config.yaml.',
    );
  });

  test.each(['/etc', '..', 'a/../b', '../a', 'a,,/b', ' , '])(
    'allowed paths stay in the workspace: %j',
    (value) => {
      const env = { CAPYBARA_TOOLS_ALLOWED_PATHS: value };
      if (value === ' , ') expect(load({ env }).config.tools.allowedPaths).toEqual(['.', '.']);
      else
        expect(failure({ env })).toContain(
          'must be at most 100 directories of the workspace, relative to it',
        );
    },
  );

  test('allowed paths are at most as many as may be named', () => {
    const env = (count: number) => ({
      env: { CAPYBARA_TOOLS_ALLOWED_PATHS: Array(count).fill('a').join(',') },
    });
    expect(load(env(MAX_ALLOWED_PATHS)).config.tools.allowedPaths).toHaveLength(MAX_ALLOWED_PATHS);
    expect(failure(env(MAX_ALLOWED_PATHS + 1))).toContain('must be at most 100 directories');
  });

  test.each([
    ['CAPYBARA_TOOLS_BASH_TIMEOUT', MAX_BASH_SECONDS],
    ['CAPYBARA_APPROVALS_EXPIRE_AFTER', MAX_EXPIRE_SECONDS],
  ])('%s is from 1 to %d', (name, most) => {
    for (const value of [1, most]) expect(load({ env: { [name]: `${value}` } })).toBeDefined();
    for (const value of [0, most + 1])
      expect(failure({ env: { [name]: `${value}` } })).toContain(`must be a whole number from 1 to ${most}`);
  });
});

describe('what the API lets in', () => {
  test.each(['CAPYBARA_API_REQUESTS_PER_MINUTE', 'CAPYBARA_API_WRONG_KEYS_PER_MINUTE'])(
    'is counted from nothing to a million a minute: %s',
    (name) => {
      const of = (text: string) => ({ env: { [name]: text } });
      for (const text of ['0', '1000000']) expect(load(of(text))).toBeDefined();
      for (const text of ['-1', '1000001'])
        expect(failure(of(text))).toContain('must be a whole number from 0 to 1000000');
    },
  );

  test.each(['*', 'tools.example', 'https://tools.example/', 'https://tools.example/x', 'null', ''])(
    'does not take %j for the origin of a page',
    (text) => {
      const given = { env: { CAPYBARA_API_CORS_ORIGINS: `https://a.example,${text}` } };
      expect(failure(given)).toContain('must be at most 50 origins such as https://tools.example');
    },
  );
});

describe('webhooks', () => {
  const allow = (value: string) => ({ env: { CAPYBARA_WEBHOOKS_ALLOW: value } });

  test('may be sent to as many private places as can be listed', () => {
    const hosts = (count: number) => Array.from({ length: count }, (_, index) => `h${index}`).join();
    expect(load(allow(hosts(MAX_WEBHOOKS_ALLOWED))).config.webhooks?.allow).toHaveLength(
      MAX_WEBHOOKS_ALLOWED,
    );
    expect(failure(allow(hosts(MAX_WEBHOOKS_ALLOWED + 1)))).toContain('must be at most 100 hosts');
  });

  test.each(['10.0.0.0/33', '1.2.3', '999.1.1.1', 'http://h', 'a b', '*.example', '', 'h,,i', '::1/129'])(
    'know no place like %j',
    (text) => {
      if (text === '') expect(load(allow(text)).config.webhooks).toBeUndefined();
      else
        expect(failure(allow(text))).toContain('CAPYBARA_WEBHOOKS_ALLOW (environment) must be at most 100');
    },
  );

  test('go by no `.env`: a directory says not where a server may send', () => {
    write(join(cwd, '.env'), 'CAPYBARA_WEBHOOKS_ALLOW=127.0.0.1\n');
    expect(load().config.webhooks).toBeUndefined();
  });
});

describe('repositories', () => {
  test.each([
    ['CAPYBARA_GIT_MIB', GIT.mib.most],
    ['CAPYBARA_GIT_SECONDS', GIT.seconds.most],
    ['CAPYBARA_GIT_CACHE_MIB', GIT.cacheMib.most],
    ['CAPYBARA_KEEP_FILES_DAYS', KEEP.filesDays.most],
    ['CAPYBARA_KEEP_UPLOADS_DAYS', KEEP.uploadsDays.most],
    ['CAPYBARA_KEEP_AUDIT_DAYS', KEEP.auditDays.most],
    ['CAPYBARA_KEEP_DELIVERIES_DAYS', KEEP.deliveriesDays.most],
  ])('%s is from 1 to %d', (name, most) => {
    for (const value of [1, most]) expect(load({ env: { [name]: `${value}` } })).toBeDefined();
    for (const value of [0, most + 1])
      expect(failure({ env: { [name]: `${value}` } })).toContain(`must be a whole number from 1 to ${most}`);
  });

  test('have a history that a snapshot can hold as one file', () => {
    expect(GIT.mib.most * 1024 * 1024).toBeLessThanOrEqual(SNAPSHOT_LIMITS.fileBytes);
  });

  test('may come from as many places as can be listed, each the beginning of a URL', () => {
    const env = (count: number) => ({
      env: { CAPYBARA_GIT_ALLOW: Array.from({ length: count }, (_, index) => `http://h/${index}`).join() },
    });
    expect(load(env(MAX_GIT_ALLOWED)).config.git.allow).toHaveLength(MAX_GIT_ALLOWED);
    expect(failure(env(MAX_GIT_ALLOWED + 1))).toContain('must be at most 100 beginnings of URLs');
    for (const wrong of ['/srv/git', 'https://u:s3cret@h', 'ext::sh', 'https://h,,http://i']) {
      const message = failure({ env: { CAPYBARA_GIT_ALLOW: wrong } });
      expect(message).toContain('CAPYBARA_GIT_ALLOW (environment) must be at most 100 beginnings of URLs');
      expect(message).not.toContain('s3cret');
    }
  });

  test.each([
    ['github.com=ghp_a', [['github.com', 'x-access-token', 'ghp_a']]],
    ['Git.example:8443/Team/=ana:pa:ss=', [['git.example:8443/Team', 'ana', 'pa:ss=']]],
    [
      'a.example=one, b.example/x=u:two',
      [
        ['a.example', 'x-access-token', 'one'],
        ['b.example/x', 'u', 'two'],
      ],
    ],
  ])('have keys: %s', (text, expected) => {
    const { credentials } = load({ env: { CAPYBARA_GIT_CREDENTIALS: text } }).config.git;
    expect(readKeys(credentials).map(({ place, user, secret }) => [place, user, secret])).toEqual(expected);
  });

  test.each(['s3cret', 'github.com=', '=s3cret', 'github.com=s3cret,', 'github.com=s3 cret', 'x=s3crét'])(
    'have no key like %j, which is not shown',
    (text) => {
      const message = failure({ env: { CAPYBARA_GIT_CREDENTIALS: text } });
      expect(message).toContain('CAPYBARA_GIT_CREDENTIALS (environment) must be host=TOKEN');
      expect(message).not.toMatch(/s3cr/);
      expect(load({ env: { CAPYBARA_GIT_CREDENTIALS: 'h=s3cret' } }).shown['git.credentials']).toBe(
        '********',
      );
    },
  );

  test('go by no `.env`: a directory says neither from where others come nor with which key', () => {
    write(
      join(cwd, '.env'),
      'CAPYBARA_GIT_ALLOW=http://h\nCAPYBARA_GIT_CREDENTIALS=h=s\nCAPYBARA_GIT_SSH_KEY=/k\n',
    );
    expect(load().config.git).toEqual({ mib: 1024, seconds: 600, cacheMib: 10_240 });
  });

  test.each([
    ['https://h.example/team/app', 'h.example/team'],
    ['https://h.example/teammates/app', 'h.example'],
    ['https://h.example:8443/team/app', undefined],
    ['https://other.example/team', undefined],
    ['http://h.example/team/app', 'h.example/team'],
    ['ssh://git@h.example/team/app', undefined],
  ])('%s has the key of %s', (url, place) => {
    const keys = readKeys('h.example=a,h.example/team=b');
    expect(keyFor(keys, readRepositoryUrl(url))?.place).toBe(place);
  });
});
