/** `init`: by flags, and as a person answers it; each in this process, against a server that speaks the wire of real ones. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CHECKS } from '../../src/cli/init/answers.ts';
import { BrokenOff, unlessBroken } from '../../src/cli/init/ask.ts';
import { type InitOptions, initialise } from '../../src/cli/init/initialise.ts';
import { withVariables } from '../../src/cli/init/save.ts';
import { loadConfig } from '../../src/config.ts';
import { newProvider, tryProviders } from '../../src/model/main.ts';
import { type ScriptedModel, say, startScriptedModel } from '../support/scripted-model/scripted-model.ts';

const KEY = 'sk-planted-0123456789';
/** What may be typed at a terminal beside letters. */
const ENTER = '\r';
const DOWN = '\u001b[B';
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const [HIDDEN, SHOWN] = ['\u001b[?25l', '\u001b[?25h'];

let home: string;
let file: string;
let model: ScriptedModel;
const environment = { ...process.env };
const cwd = process.cwd();

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'capybara-init-'));
  file = join(home, 'config', 'capybara', 'config.yaml');
  model = await startScriptedModel({ script: () => say('OK') });
  Object.assign(process.env, { XDG_CONFIG_HOME: join(home, 'config'), XDG_DATA_HOME: home });
  process.chdir(home);
});
afterEach(async () => {
  await model.close();
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  process.chdir(cwd);
  rmSync(home, { recursive: true, force: true });
});

function init({ given, ...options }: Partial<InitOptions> = {}) {
  return initialise(loadConfig({ env: process.env, cwd: home, home }), {
    ...{ providers: { newProvider, tryProviders }, io: undefined, keyStdin: false, tries: true },
    ...{ savesEnv: false, replaces: false, agrees: false, profile: undefined, isQuiet: false },
    given: { type: 'custom', name: 'mine', endpoint: model.baseUrl, model: 'scripted', ...given },
    ...options,
  });
}

const saved = () => (existsSync(file) ? readFileSync(file, 'utf8') : undefined);

describe('each answer', () => {
  test.each([
    ['name', ['a', 'my-provider.2', 'x'.repeat(64)], ['', ' ', 'env', 'a b', '-a', 'x'.repeat(65)]],
    [
      'endpoint',
      ['http://localhost:1/v1', 'https://a.example'],
      ['', 'localhost:1', 'ftp://a', 'file:///x', 'https://u:p@a.example'],
    ],
    [
      'apiKey',
      ['0123456789', 'x'.repeat(4_096)],
      ['012345678', '01234 6789', 'x'.repeat(4_097), 'ключ-ключ-ключ'],
    ],
    ['model', ['', 'gpt-5', 'org/model:tag'], ['a b', 'a\tb']],
    ['temperature', ['0', '0.0', '0.7', '2', '2.0'], ['', '-0.1', '2.1', 'warm', '1e1']],
    ['maxTokens', ['', '1', '100000'], ['0', '-1', '1.5', 'many']],
  ] as const)('%s is looked at', (field, fine, wrong) => {
    expect(fine.filter((text) => CHECKS[field](text) !== undefined)).toEqual([]);
    for (const text of wrong) expect(CHECKS[field](text)).toMatch(/^[^\n]+\.$/);
  });
});

describe('by flags', () => {
  test('tries it, saves it for its owner alone, and shows no key', async () => {
    const { answer, text } = await init({ given: { apiKey: KEY, temperature: '0.2', maxTokens: '500' } });
    expect(answer).toMatchObject({ saved: true, provider: 'mine', file, tried: { ok: true } });
    expect(text).toContain('key          set (not shown)');
    expect(JSON.stringify([answer, text])).not.toContain(KEY);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const { config } = loadConfig({ env: process.env, cwd: home, home });
    expect(config).toMatchObject({ model: 'mine/scripted', temperature: 0.2, maxTokens: 500 });
    expect(config.providers.mine).toEqual({ baseUrl: model.baseUrl, apiKey: KEY });
  });

  test('keeps the model that answered where none was named, unless one is configured', async () => {
    const { text } = await init({ given: { model: undefined } });
    expect(text).toContain(`mine, with the model scripted, is saved in ${file}.`);
    expect(saved()).toContain('model: mine/scripted');
    await init({ given: { name: 'other', model: undefined } });
    expect(saved()).toContain('model: mine/scripted');
    rmSync(file);
    const untried = await init({ given: { model: undefined }, tries: false });
    expect(untried.text).toContain('capybara providers use mine/MODEL');
    expect(saved()).not.toContain('model:');
  });

  test('writes into a profile, and leaves the rest of the file as it is', async () => {
    await init({ given: { name: 'first' } });
    const before = saved() ?? '';
    writeFileSync(file, `# mine\n${before}`);
    await init({ profile: 'work' });
    expect(saved()).toMatch(/^# mine\n/);
    const { config } = loadConfig({ env: process.env, cwd: home, home, profile: 'work' });
    expect(config.model).toBe('mine/scripted');
  });

  test('does not overwrite what says something else, unless it is told to', async () => {
    await init();
    const before = saved();
    await expect(init({ given: { model: 'other' } })).rejects.toMatchObject({
      code: 'would_overwrite',
      message: `This would replace model in ${file}: pass --replace, or take another --name.`,
    });
    expect(saved()).toBe(before);
    await init();
    expect(saved()).toBe(before);
    await init({ given: { model: 'other' }, replaces: true });
    expect(saved()).toContain('model: mine/other');
  });

  test('writes nothing where the connection fails, unless nobody wants it tried', async () => {
    const given = { endpoint: 'http://127.0.0.1:9/v1' };
    const { answer, text, exitCode } = await init({ given });
    expect([answer.saved, exitCode]).toEqual([false, 1]);
    expect(text).toContain('✗ Provider mine could not be reached');
    expect(saved()).toBeUndefined();
    expect((await init({ given, tries: false })).answer.saved).toBe(true);
  });

  test.each([
    [{ type: undefined }, /^Nobody can be asked here: pass --type/],
    [{ endpoint: undefined }, /^Nobody can be asked here: pass --endpoint/],
    [{ endpoint: 'https://models.example/v1' }, /^Nobody can be asked for the key here/],
    [{ endpoint: 'ftp://x' }, /^--endpoint \("ftp:\/\/x"\): An endpoint is an address/],
    [{ temperature: '2.1' }, /^--temperature \("2.1"\): The temperature is/],
    [{ apiKey: 'short key' }, /^the key: A key has no spaces\.$/],
  ])('refuses %j in a sentence, and writes nothing', async (given, sentence) => {
    await expect(init({ given })).rejects.toThrow(sentence);
    expect(saved()).toBeUndefined();
  });

  test('adds to .env what Capybara then reads there, and says not to commit it', async () => {
    writeFileSync('.env', '# keep\nOTHER=1\nCAPYBARA_TEMPERATURE=\n');
    const { text } = await init({ given: { apiKey: KEY }, savesEnv: true });
    expect(text).toContain('do not commit it');
    expect(text).not.toContain(KEY);
    expect(statSync('.env').mode & 0o777).toBe(0o600);
    expect(readFileSync('.env', 'utf8')).toBe(
      `# keep\nOTHER=1\nCAPYBARA_TEMPERATURE=0.7\nCAPYBARA_MODEL_ENDPOINT=${model.baseUrl}\nCAPYBARA_MODEL_API_KEY=${KEY}\nCAPYBARA_MODEL=env/scripted\n`,
    );
    rmSync(file);
    const { config } = loadConfig({ env: {}, cwd: home, home });
    expect(config.providers.env).toEqual({ baseUrl: model.baseUrl, apiKey: KEY });
    await expect(init({ given: { model: 'other' }, savesEnv: true })).rejects.toThrow(
      `This would replace CAPYBARA_MODEL in ${join(home, '.env')}: pass --replace`,
    );
  });

  test('replaces a variable where it stands, once', () => {
    expect(withVariables('A=1\nexport B=2\nA=3\n# A=4', { A: 'x', C: 'y' })).toBe(
      'A=x\nexport B=2\n# A=4\nC=y\n',
    );
    expect(withVariables('', { A: 'x' })).toBe('A=x\n');
  });

  test.each(['a#b', 'a$b', `a"b`, `a'b`, `a'"b`, '"a"', 'a\\nb', `'a\\nb`])(
    'reads %s back from .env as it is',
    (key) => {
      expect(parseEnv(withVariables('', { A: key, B: 'x' }))).toEqual({ A: key, B: 'x' });
    },
  );

  test.each([
    [
      'every kind of quote',
      `key-of-all'"\`#`,
      /^\S+\.env cannot be written \(CAPYBARA_MODEL_API_KEY would be read back/,
    ],
    ['a directory', KEY, /^\S+\.env cannot be written \(it is a directory\): it is as it was\.$/],
  ])('writes nothing at all where .env cannot take it: %s', async (what, apiKey, sentence) => {
    if (what === 'a directory') mkdirSync('.env');
    await expect(init({ given: { apiKey }, savesEnv: true })).rejects.toThrow(sentence);
    expect(saved()).toBeUndefined();
  });

  test('keeps a .env that is a link', async () => {
    writeFileSync('kept', 'A=1\n');
    symlinkSync('kept', '.env');
    await init({ given: { apiKey: KEY }, savesEnv: true });
    expect(lstatSync('.env').isSymbolicLink()).toBe(true);
    expect(readFileSync('kept', 'utf8')).toContain(`CAPYBARA_MODEL_API_KEY=${KEY}\n`);
  });
});

describe('a person', () => {
  /** Types an answer when its question is there. */
  async function answering(
    steps: readonly (readonly [question: string, typed: string | (() => string | undefined)])[],
    given = {},
  ) {
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input });
    const output = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24 });
    let seen = '';
    output.on('data', (piece) => {
      seen += piece;
    });
    const nothing = { type: undefined, name: undefined, endpoint: undefined, model: undefined };
    const done = init({ io: { input, output }, given: { ...nothing, ...given } });
    for (const [question, typed] of steps) {
      await vi.waitFor(() => expect(seen).toContain(question), 5_000);
      const text = typeof typed === 'string' ? typed : typed();
      if (text !== undefined) input.write(text);
    }
    return { ...(await done), seen, hides: seen.lastIndexOf(HIDDEN) > seen.lastIndexOf(SHOWN) };
  }

  const questions = (key: string, temperature = ''): (readonly [string, string])[] => [
    ['Name of the provider', `mine${ENTER}`],
    ['Type', `${DOWN}${DOWN}${DOWN}${DOWN}${ENTER}`],
    ['Endpoint', `${model.baseUrl}${ENTER}`],
    ...(key === '' ? [] : [['API key', `${key}${ENTER}`] as const]),
    ['Model (optional)', `scripted${ENTER}`],
    ['Temperature', `${temperature}${ENTER}`],
    ['Max tokens', ENTER],
  ];

  test('is asked, is shown all but the key and what came of trying, and agrees', async () => {
    const { answer, seen } = await answering([...questions(''), ['Save it to', ENTER]]);
    expect(answer).toMatchObject({ saved: true, tried: { ok: true } });
    expect(seen).toContain('key          none');
    expect(saved()).toContain('model: mine/scripted');
    expect(saved()).toContain('temperature: 0.7');
  });

  test('types a temperature in place of the usual one', async () => {
    await answering([...questions('', '0.2'), ['Save it to', ENTER]]);
    expect(saved()).toContain('temperature: 0.2');
  });

  test('types a key that is not shown', async () => {
    const endpoint = 'https://models.invalid/v1';
    const given = { name: 'far', type: 'custom', endpoint, model: 'm', temperature: '1', maxTokens: '9' };
    const { answer, seen } = await answering(
      [
        ['API key', `${KEY}${ENTER}`],
        ['Save it even so', ENTER],
      ],
      given,
    );
    expect(answer.saved).toBe(false);
    expect(seen).not.toContain(KEY);
    expect(saved()).toBeUndefined();
  });

  test.each(['Type', 'Endpoint', 'Save it to'])(
    'who presses Ctrl-C at %s has changed nothing',
    async (last) => {
      const steps = [...questions(''), ['Save it to', ENTER] as const];
      const at = steps.findIndex(([question]) => question === last);
      const { answer, exitCode, seen } = await answering([...steps.slice(0, at), [last, CTRL_C]]);
      expect([answer.saved, exitCode]).toEqual([false, 130]);
      expect(seen).toContain('Nothing was written.');
      expect(saved()).toBeUndefined();
    },
  );

  test.each([
    ['Name of the provider', 'Ctrl-D', () => CTRL_D],
    ['Save it to', 'Ctrl-D', () => CTRL_D],
    ['Type', 'SIGINT', () => void process.emit('SIGINT')],
    ['Type', 'SIGTERM', () => void process.emit('SIGTERM')],
    ['Name of the provider', 'SIGHUP', () => void process.emit('SIGHUP')],
  ])('at %s %s ends it, and leaves the cursor to be seen', async (last, _, act) => {
    const steps = [...questions(''), ['Save it to', ENTER] as const];
    const at = steps.findIndex(([question]) => question === last);
    const { answer, exitCode, hides, seen } = await answering([...steps.slice(0, at), [last, act]]);
    expect([answer.saved, exitCode, hides, saved()]).toEqual([false, 130, false, undefined]);
    expect(seen).toContain('Nothing was written.');
    expect(process.listenerCount('SIGTERM')).toBe(0);
  });

  test('what is tried is not waited for by who has left', async () => {
    const over = new AbortController();
    const io = { input: new PassThrough(), output: new PassThrough(), signal: over.signal };
    const trying = unlessBroken(io, new Promise(() => {}));
    over.abort();
    await expect(trying).rejects.toThrow(BrokenOff);
    await expect(unlessBroken(io, new Promise(() => {}))).rejects.toThrow(BrokenOff);
  });
});
