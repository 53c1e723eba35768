/** `providers` and `models`: each command in this process, against servers that speak the wire of real ones. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Command, Config, settings } from '@oclif/core';
import { captureOutput } from '@oclif/test';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { askKey, checkKey, MAX_KEY_LENGTH, readKey } from '../../src/cli/secret-input.ts';
import { changeUserFile } from '../../src/config/user-file.ts';
import { cliProgram } from '../support/cli.ts';
import {
  error,
  type ScriptedModel,
  type Step,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';
import { startScriptedApi } from './scripted-api.ts';

const COMMANDS = fileURLToPath(new URL('../../src/cli/commands', import.meta.url));
const KEY = 'sk-planted-0123456789';

let oclif: Config;
let home: string;
let file: string;
const environment = { ...process.env };
const closers: (() => Promise<void>)[] = [];

beforeAll(async () => {
  settings.enableAutoTranspile = false;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const pjson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  delete pjson.oclif.commands;
  pjson.oclif.plugins = [];
  oclif = await Config.load({ root, pjson, ignoreManifest: true });
});

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'capybara-providers-'));
  file = join(home, 'config', 'capybara', 'config.yaml');
  for (const name of ['ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'CAPYBARA_URL', 'CAPYBARA_MODEL'])
    delete process.env[name];
  Object.assign(process.env, { XDG_CONFIG_HOME: join(home, 'config'), XDG_DATA_HOME: home });
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  process.exitCode = undefined;
  rmSync(home, { recursive: true, force: true });
});
afterAll(() => {
  process.exitCode = undefined;
});

async function capybara(id: string, ...argv: string[]) {
  const { default: command } = (await import(`${COMMANDS}/${id.replaceAll(':', '/')}.ts`)) as {
    default: Command.Class;
  };
  command.id = id;
  const { stdout, stderr, error: thrown } = await captureOutput(() => command.run(argv, oclif));
  const code = process.exitCode ?? 0;
  process.exitCode = undefined;
  if (thrown) throw thrown;
  expect(stdout + stderr).not.toContain('planted');
  return { stdout, stderr, code };
}

function write(text: string, mode = 0o644): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, mode);
}
const read = () => readFileSync(file, 'utf8');
const modeOf = () => (statSync(file).mode & 0o777).toString(8);

async function model(
  step: Step = say('OK.'),
  options: { apiKey?: string; models?: string[] } = {},
): Promise<ScriptedModel> {
  const server = await startScriptedModel({ script: () => step, ...options });
  closers.push(() => server.close());
  return server;
}

describe('providers add', () => {
  test('writes where it is and the variable of its key, beside all that stands there', async () => {
    write(
      '# Mine.\nmodel: work/a # the small one\n\naliases: {fast: work/a}\nproviders:\n  # The old one.\n  old: {baseUrl: "http://old/v1"}\ngit:\n  mib: 5\n',
    );
    const { stdout, code } = await capybara(
      'providers:add',
      'work',
      '--url',
      'https://w.example/v1',
      '--key-variable',
      'WORK_KEY',
    );
    expect(code).toBe(0);
    expect(stdout).toContain(`work added to ${file}.`);
    expect(stdout).toContain('capybara providers test work');
    expect(read()).toBe(
      '# Mine.\nmodel: work/a # the small one\n\naliases: { fast: work/a }\nproviders:\n  # The old one.\n  old: { baseUrl: "http://old/v1" }\n' +
        '  work:\n    baseUrl: https://w.example/v1\n    apiKeyVariable: WORK_KEY\ngit:\n  mib: 5\n',
    );
    expect(modeOf()).toBe('644');
    expect(readdirSync(dirname(file))).toEqual(['config.yaml']);
  });

  test('makes the file, its owner’s alone; the known ones need no address, and those on this machine no key', async () => {
    expect((await capybara('providers:add', 'ollama')).code).toBe(0);
    expect(modeOf()).toBe('600');
    await capybara('providers:add', 'mistral', '--no-key');
    await capybara('providers:add', 'home', '--url', 'http://localhost:8080/v1');
    await capybara('providers:add', 'again', '--file', '/kept/session.json');
    expect(read()).toBe(
      'providers:\n  ollama:\n    baseUrl: http://127.0.0.1:11434\n  mistral:\n    baseUrl: https://api.mistral.ai/v1\n' +
        '  home:\n    baseUrl: http://localhost:8080/v1\n  again:\n    kind: replay\n    file: /kept/session.json\n',
    );
    const { stdout } = await capybara('providers:list');
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['PROVIDER', 'KIND', 'ADDRESS', 'KEY', 'DEFAULT'],
      ['ollama', 'ollama', 'http://127.0.0.1:11434', 'not needed', '-'],
      ['mistral', 'chat', 'https://api.mistral.ai/v1', 'none', '-'],
      ['home', 'chat', 'http://localhost:8080/v1', 'not needed', '-'],
      ['again', 'replay', 'its own', 'not needed', 'again/recording'],
      [''],
    ]);
  });

  test('a link to the file stays one, and a key makes what it leads to its owner’s alone', async () => {
    const kept = join(home, 'dotfiles.yaml');
    writeFileSync(kept, 'providers:\n');
    mkdirSync(dirname(file), { recursive: true });
    symlinkSync(kept, file);
    changeUserFile(file, (change) => change.set(['providers', 'work', 'apiKey'], 'k'));
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(readFileSync(kept, 'utf8')).toBe('providers:\n  work:\n    apiKey: k\n');
    expect((statSync(kept).mode & 0o777).toString(8)).toBe('600');
  });

  test('what another wrote meanwhile is not lost, and what stands in a line stays there', () => {
    write('# Only this.\n');
    let others = 0;
    changeUserFile(file, (change) => {
      others += 1;
      if (others < 3) write(`# Only this.\nport: ${others} # free\n`);
      change.set(['model'], 'a/b');
    });
    expect(read()).toBe('# Only this.\nport: 2 # free\nmodel: a/b\n');
    changeUserFile(file, (change) => change.set(['port'], 7));
    expect(read()).toBe('# Only this.\nport: 7 # free\nmodel: a/b\n');
    const racing = () =>
      changeUserFile(file, (change) => {
        others += 1;
        write(`port: ${others}\n`);
        change.set(['port'], 1);
      });
    expect(racing).toThrow(`${file} cannot be written (others change it all the time): nothing was changed.`);
    expect(() => changeUserFile(file, (change) => change.set(['model'], 'm'.repeat(256 * 1024)))).toThrow(
      'bytes that it may have',
    );
    expect(readdirSync(dirname(file))).toEqual(['config.yaml']);
  });

  test('a profile has providers of its own', async () => {
    write('profiles:\n  home:\n    model: a/b\n');
    await capybara('providers:add', 'lmstudio', '--profile', 'home');
    expect(read()).toBe(
      'profiles:\n  home:\n    model: a/b\n    providers:\n      lmstudio:\n        baseUrl: http://127.0.0.1:1234/v1\n',
    );
  });

  test.each([
    [
      ['work'],
      'Nothing says where work is: pass --url, or take one of the known names (anthropic, openai, google',
    ],
    [['work', '--url', 'w.example'], '--url "w.example" is no address of an API: expected a URL, https://….'],
    [['work', '--url', 'ftp://u:planted@w.example'], '--url "ftp://w.example" is no address of an API'],
    [['a b', '--url', 'http://w'], '"a b" is no name of a provider'],
    [['env', '--url', 'http://w'], 'The provider env is CAPYBARA_MODEL_ENDPOINT: choose another name.'],
    [
      ['old', '--no-key', '--url', 'http://w'],
      `There is a provider old in FILE already: pass --replace, or take another name.`,
    ],
    [
      ['openai'],
      'No key was given for openai: pass --key-stdin, --key-variable NAME, or --no-key where it wants none.',
    ],
    [['again', '--kind', 'replay'], 'Nothing says what it plays: pass --file FILE'],
    [['openai', '--kind', 'openai', '--file', 'f'], 'this one is of kind openai'],
    [['openai', '--key-variable', '1 x'], 'apiKeyVariable is wrong'],
    [['openai', '--key-stdin', '--no-key'], 'cannot stand beside'],
  ])('%j is refused, and nothing is written', async (argv, said) => {
    const before = 'providers: {old: {baseUrl: "http://old/v1"}}\n';
    write(before);
    const { stderr, code } = await capybara('providers:add', ...argv);
    expect(stderr.replaceAll(file, 'FILE')).toContain(said);
    expect(code).toBe(2);
    expect(read()).toBe(before);
  });

  test('of a file that is no YAML nothing is changed', async () => {
    write('providers: [\n');
    expect((await capybara('providers:add', 'ollama')).stderr).toContain('not valid YAML');
    expect(() => changeUserFile(file, () => {})).toThrow('not valid YAML');
    expect(read()).toBe('providers: [\n');
  });

  test('the key comes from stdin, and is shown nowhere', { timeout: 60_000 }, () => {
    const { PATH = '', NODE_COMPILE_CACHE = '', XDG_CONFIG_HOME = '' } = process.env;
    const env = { PATH, NODE_COMPILE_CACHE, XDG_CONFIG_HOME, HOME: home };
    const stdout = execFileSync(
      process.execPath,
      [cliProgram(), 'providers', 'add', 'openai', '--key-stdin'],
      {
        ...{ env, input: `${KEY}\n`, encoding: 'utf8', cwd: home },
      },
    );
    expect(stdout).not.toContain('planted');
    expect(read()).toBe(`providers:\n  openai:\n    apiKey: ${KEY}\n`);
    expect(modeOf()).toBe('600');
  });
});

describe('a key', () => {
  test('is as long as it may be, and without spaces; what is wrong is not quoted', async () => {
    const longest = 'k'.repeat(MAX_KEY_LENGTH);
    expect(checkKey(` ${longest}\n`, 'x')).toBe(longest);
    for (const wrong of [`${longest}k`, 'planted key', 'plänted', '']) {
      expect(() => checkKey(wrong, 'from stdin')).toThrow(/^The key from stdin must be 1 to 4096 ASCII/);
      expect(() => checkKey(wrong, 'from stdin')).not.toThrow(/pl.nted/);
    }
    async function* endless() {
      for (;;) yield Buffer.from('k'.repeat(1_000));
    }
    await expect(readKey(endless())).rejects.toThrow('must be 1 to 4096');
  });

  async function typed(...pieces: string[]) {
    const raw: boolean[] = [];
    const input = Object.assign(new PassThrough(), { setRawMode: (is: boolean) => raw.push(is) });
    const output = new PassThrough();
    const asked = askKey({ input, output }, 'Key: ');
    for (const piece of pieces) input.write(piece);
    const key = await asked.finally(() => expect(raw).toEqual([true, false]));
    return { key, shown: String(output.read()) };
  }

  test('that is typed is not shown, can be mended, and broken off', async () => {
    expect(await typed('sk-', 'onf', '\u007f', 'e\r')).toEqual({ key: 'sk-one', shown: 'Key: \n' });
    expect((await typed('sk\u0003')).key).toBeUndefined();
    expect((await typed('\u0004')).key).toBeUndefined();
    await expect(typed('\n')).rejects.toThrow('The key that was typed must be');
  });
});

test('Ctrl-C where a key is asked for leaves: exit code 130, and nothing is written', async () => {
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} });
  const stdin = vi.spyOn(process, 'stdin', 'get').mockReturnValue(input as unknown as typeof process.stdin);
  input.write('sk-\u0003');
  const { code, stdout, stderr } = await capybara('providers:add', 'openai');
  stdin.mockRestore();
  expect({ code, stdout, isWritten: existsSync(file) }).toEqual({ code: 130, stdout: '', isWritten: false });
  expect(stderr).toBe('Key of openai (not shown): \nNothing was changed.\n');
});

describe('providers use and remove', () => {
  const both =
    'providers:\n  work: {baseUrl: "http://127.0.0.1:1/v1"} # local\n  anthropic: {apiKey: planted}\nmodel: work/a\n';

  test('use writes the model: a provider’s own choice, one that is named, or an alias', async () => {
    write(`${both}aliases: {fast: work/b}\n`);
    for (const [argument, chosen] of [
      ['anthropic', 'anthropic/claude-opus-5-5'],
      ['work/org/m', 'work/org/m'],
      ['fast', 'fast'],
    ]) {
      const { stdout } = await capybara('providers:use', argument ?? '');
      expect(stdout).toBe(`${chosen} is used from now on (${file}).\n`);
      expect(read()).toContain(`\nmodel: ${chosen}\n`);
    }
    expect(modeOf()).toBe('600');
    process.env.CAPYBARA_MODEL = 'work/other';
    const { stderr } = await capybara('providers:use', 'work/a');
    expect(stderr).toBe('CAPYBARA_MODEL (environment) says work/other, and is heard first.\n');
  });

  test.each([
    ['work', 'Provider work has no model of its own choice: name one, `capybara providers use work/MODEL`'],
    ['other', 'There is no provider "other" here, there are work, anthropic'],
    ['other/m', 'Model "other/m" names no configured provider'],
    ['constructor', 'There is no provider "constructor" here'],
  ])('use %s is refused', async (argument, said) => {
    write(both);
    const { stderr, code } = await capybara('providers:use', argument);
    expect(stderr).toContain(said);
    expect(code).toBe(2);
    expect(read()).toBe(both);
  });

  test('remove takes the provider and its key out, and says that its model is still chosen', async () => {
    write(both);
    const { stdout, stderr } = await capybara('providers:remove', 'work');
    expect(stdout).toBe(`work removed from ${file}.\n`);
    expect(stderr).toContain('The model work/a is still chosen');
    await capybara('providers:remove', 'anthropic');
    expect(read()).toBe('model: work/a\n');
    process.env.OPENAI_API_KEY = KEY;
    expect((await capybara('providers:remove', 'openai')).stderr).toBe(
      `There is no provider openai in ${file}: it comes from OPENAI_API_KEY (environment), unset that.\n`,
    );
  });
});

describe('providers test', () => {
  const providers = (...entries: [string, object][]) => {
    process.env.CAPYBARA_PROVIDERS = JSON.stringify(Object.fromEntries(entries));
  };

  test('asks for the least there is, and says who answered and how fast', async () => {
    const server = await model(say('OK.'), { apiKey: KEY, models: ['m-1'] });
    providers(['work', { baseUrl: server.baseUrl, apiKey: KEY }]);
    const { stdout, code } = await capybara('providers:test');
    expect(stdout).toMatch(/^✓ work: work\/m-1 answered in \d+ ms, as m-1\.\n$/);
    expect(code).toBe(0);
    expect(server.requests.map(({ body }) => body.max_tokens)).toEqual([16]);
    const { stdout: json } = await capybara('providers:test', 'work/m-1', '--json');
    expect(JSON.parse(json).providers).toMatchObject([
      { provider: 'work', model: 'work/m-1', ok: true, code: null, answeredAs: 'm-1' },
    ]);
  });

  test('wrong key, unknown model, wrong address, nobody there: each in its own sentence', {
    timeout: 30_000,
  }, async () => {
    const server = await model(say('OK.'), { apiKey: KEY, models: ['m-1', 'm-2'] });
    const page = createServer((_, response) => void response.writeHead(404).end('nothing here'));
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
    closers.push(async () => void page.close());
    const other = `http://127.0.0.1:${(page.address() as AddressInfo).port}/v1`;
    providers(
      ['key', { baseUrl: server.baseUrl, apiKey: 'sk-planted-other' }],
      ['none', { baseUrl: server.baseUrl }],
      ['unset', { baseUrl: server.baseUrl, apiKeyVariable: 'CAPYBARA_TEST_UNSET_KEY' }],
      ['gone', { baseUrl: 'http://127.0.0.1:1/v1' }],
      ['page', { baseUrl: other }],
      ['work', { baseUrl: server.baseUrl, apiKey: KEY }],
    );
    const said = async (name: string) => {
      const { stdout, code } = await capybara('providers:test', name);
      expect(code).toBe(1);
      return stdout.trim();
    };
    expect(await said('key/m-1')).toBe(
      '✗ key: The key for provider key was refused (401): check providers.key.apiKey.',
    );
    expect(await said('none')).toBe('✗ none: Provider none wants a key (401): set providers.none.apiKey.');
    expect(await said('unset')).toBe(
      '✗ unset: Provider unset wants a key (401): set CAPYBARA_TEST_UNSET_KEY.',
    );
    expect((await capybara('providers:list')).stdout).toMatch(/^unset +chat +\S+ +none/m);
    expect(await said('gone/m')).toBe(
      '✗ gone: Provider gone could not be reached at http://127.0.0.1:1/v1 (ECONNREFUSED). Check the address, that it runs, and the network.',
    );
    expect(await said('page/m')).toContain('Nor does it list any: check the base URL of provider page.');
    expect(await said('page')).toBe(
      '✗ page: Provider page does not say which models it has: name one, page/MODEL.',
    );
    const unknown = await said('work/m-3');
    expect(unknown).toContain('Model m-3 was not found at ');
    expect(unknown).toContain('It has work/m-1, work/m-2: name one of them.');
    const { stderr, code } = await capybara('providers:test', 'nobody');
    expect(stderr).toContain(
      'There is no provider "nobody" here, there are key, none, unset, gone, page, work',
    );
    expect(code).toBe(2);
  });

  test('an answer that was cut before its first word is one', async () => {
    const message = 'Could not finish the message because max_tokens or model output limit was reached.';
    const server = await model(error(400, { message }));
    providers(['work', { baseUrl: server.baseUrl }]);
    expect((await capybara('providers:test', 'work/m')).stdout).toMatch(/^✓ work: work\/m answered in/);
  });

  test('one that cannot be used as it is configured says so, and the others are tried', async () => {
    const server = await model();
    providers(['bare', { kind: 'chat' }], ['work', { baseUrl: server.baseUrl, models: { m: {} } }]);
    const { stdout, code } = await capybara('providers:test');
    expect(stdout).toContain('✗ bare: Provider bare ');
    expect(stdout).toContain('✓ work: work/m answered in');
    expect(code).toBe(1);
  });

  test('where no provider is, it says how to add one', async () => {
    // Else the Ollama of whoever runs this is one.
    process.env.CAPYBARA_OFFLINE = '1';
    const { stderr } = await capybara('providers:test');
    expect(stderr).toContain('No model provider is configured here: `capybara providers add NAME` adds one');
    expect((await capybara('providers:list')).stdout).toContain('No provider is configured');
    expect((await capybara('models:list')).stderr).toContain('No model provider is configured');
    expect(existsSync(file)).toBe(false);
  });
});

describe('models list', () => {
  test('has what the provider says, what is kept and what is said, and names who could not be asked', async () => {
    const server = await model(say('OK.'), { models: ['m-1'] });
    const own = {
      'm-1': {
        contextTokens: 32_768,
        images: false,
        prices: { input: 0.5, output: 2, long: { above: 5, input: 1, output: 4 } },
      },
    };
    process.env.CAPYBARA_PROVIDERS = JSON.stringify({
      work: { baseUrl: server.baseUrl, models: own },
      gone: { baseUrl: 'http://127.0.0.1:1/v1' },
      gone2: { baseUrl: 'http://127.0.0.1:1/v1', models: { 'claude-haiku-4-5': {} } },
    });
    const { stdout, stderr, code } = await capybara('models:list');
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['MODEL', 'WINDOW', 'OUTPUT', 'IMAGES', '$/M IN', 'CACHED', 'OUT', 'KNOWN FROM'],
      ['work/m-1', '32k', '?', 'no', '0.5+', '-', '2+', 'settings, provider'],
      ['gone2/claude-haiku-4-5', '?', '?', 'yes', '?', '?', '?', expect.stringMatching(/^data of 20/)],
      [''],
    ]);
    expect(stderr).toContain('Provider gone could not be reached at http://127.0.0.1:1/v1 (ECONNREFUSED).\n');
    expect(code).toBe(0);
    const { stdout: json } = await capybara('models:list', '--provider', 'work', '--json');
    expect(JSON.parse(json).data).toMatchObject([
      { provider: 'work', models: [{ model: 'work/m-1', outputTokens: null }] },
    ]);
    expect((await capybara('models:list', '--provider', 'x')).stderr).toContain(
      'there are work, gone, gone2',
    );
  });
});

describe('with a server', () => {
  test('its models and providers are shown, and the others say that they belong to it', async () => {
    const api = await startScriptedApi();
    closers.push(async () => void (await api.close()));
    const unknown = {
      contextTokens: 1_050_000,
      outputTokens: null,
      images: null,
      temperature: null,
      prices: null,
      from: [],
    };
    const data = [
      {
        provider: 'work',
        kind: 'chat',
        defaultModel: null,
        models: [{ model: 'work/m', ...unknown }],
        problem: 'No.',
      },
    ];
    api.on('GET /v1/models', () => ({ data, default: null, keptAsOf: '2026-01-01' }));
    Object.assign(process.env, { CAPYBARA_URL: api.url, CAPYBARA_API_KEY: 'capy_hush' });
    const { stdout, stderr } = await capybara('models:list');
    expect(stdout).toContain('work/m  1.05M   ?');
    expect(stderr).toBe('No.\n');
    expect(api.received[0]?.query).toEqual({ ask: 'true' });
    expect((await capybara('providers:list')).stdout).toBe('PROVIDER  KIND  DEFAULT\nwork      chat  -\n');
    for (const command of [['add', 'ollama'], ['use', 'x'], ['test'], ['remove', 'x']]) {
      const { stderr: said, code } = await capybara(`providers:${command[0]}`, ...command.slice(1));
      expect(said).toContain('its providers belong to it: set them where it runs, or unset CAPYBARA_URL');
      expect(code).toBe(2);
    }
    expect(existsSync(file)).toBe(false);
  });
});
