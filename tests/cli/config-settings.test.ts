/** `config set` and `reset`: what they write into the user's own settings, and what they refuse. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  heardFirst,
  isSecret,
  resetAll,
  resetSetting,
  setSetting,
  settingNamed,
  stillToSay,
} from '../../src/cli/config-settings.ts';
import { settingsPlace } from '../../src/cli/provider-settings.ts';
import { loadConfig } from '../../src/config.ts';

let home: string;
let file: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'capybara-set-'));
  file = join(home, '.config', 'capybara', 'config.yaml');
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const place = (profile?: string) => ({ file, at: profile === undefined ? [] : ['profiles', profile] });
const load = (profile?: string, env = {}, userText?: string) =>
  loadConfig({ env, cwd: home, home, profile, userText });
const set = (name: string, text: string, profile?: string) =>
  setSetting(place(profile), { name, text }, (userText) => load(profile, {}, userText));

describe('a setting', () => {
  test('is written as the file has it, and read so', () => {
    set('temperature', '0.2');
    set('tools.bash.enabled', 'no');
    set('webFetch.ports', '8080, 8443');
    set('aliases.fast', 'work/small');
    set('aliases.a.b', 'work/c');
    set('permissions', '{"bash": "ask"}');
    expect(readFileSync(file, 'utf8')).toContain('temperature: 0.2\n');
    expect(load().config).toMatchObject({
      ...{ temperature: 0.2, tools: { bash: { enabled: false } }, webFetch: { ports: [8080, 8443] } },
      aliases: { fast: 'work/small', 'a.b': 'work/c' },
      permissions: [{ decision: 'ask', tool: 'bash' }],
    });
    set('aliases', '{"other": "work/d"}');
    expect(load().config.aliases).toEqual({ other: 'work/d' });
  });

  test('stays as it was where the disk takes a part of the file', () => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, 'port: 1\n');
    const module = new URL('../../src/config/user-file.ts', import.meta.url).href;
    const change = `import { changeUserFile } from '${module}';
      changeUserFile(process.argv[1], (settings) => settings.set(['model'], 'x'.repeat(9_000)));`;
    const limited = `trap '' XFSZ; ulimit -f 4; exec "$0" --input-type=module -e "$1" "$2"`;
    const { stderr } = spawnSync('bash', ['-c', limited, process.execPath, change, file], {
      encoding: 'utf8',
    });
    expect(stderr).toContain(
      `${file} cannot be written (EFBIG: file too large, write): nothing was changed.`,
    );
    expect(stderr).toContain('exitCode: 1');
    expect([readFileSync(file, 'utf8'), readdirSync(dirname(file))]).toEqual(['port: 1\n', ['config.yaml']]);
  });

  test('goes into a profile where one is named', () => {
    set('model', 'work/a');
    set('model', 'work/b', 'other');
    expect([load().config.model, load('other').config.model]).toEqual(['work/a', 'work/b']);
  });

  test('of a secret makes the file its owner’s alone', () => {
    set('apiKey', 'capy_x');
    expect([isSecret('apiKey'), isSecret('model')]).toEqual([true, false]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test.each([
    ['nothing', 'x', /^There is no setting "nothing": `capybara config show` lists them\.$/],
    ['bash.timeout', '5', /some are like it: tools\.bash\.enabled, tools\.bash\.timeout\.$/],
    ['temperature', '3', /^temperature \(command line\) must be a number from 0 to 2; found "3"\.$/],
    ['port', 'x', /^port \(command line\) must be a whole number from 0 to 65535; found "x"\.$/],
    ['aliases', 'fast', /^aliases is a map: give it as JSON/],
    ['aliases.__proto__', 'a/b', /^There is no setting "aliases\.__proto__"/],
    ['aliases', '{"__proto__": "a/b"}', /^__proto__ is no name in a map/],
    ['permissions', '{"bash": "maybe"}', /^permissions \(command line\)/],
    ['apiKey', 'with space', /not shown: it is a secret/],
  ])('%s is not set to %j', (name, text, sentence) => {
    expect(() => set(name, text)).toThrow(sentence);
    expect(existsSync(file)).toBe(false);
  });

  test.each([
    [
      'dataDir',
      'here',
      /^dataDir \(.*config\.yaml, line \d\) must be .*; found "here"\. Nothing was written\.$/,
    ],
    [
      'providers',
      '{"work": {"apiKeyVariable": "KEY"}}',
      /^providers\.work \(.*\) must have a kind or a baseUrl; .* Nothing was written\.$/,
    ],
  ])('%s is not set to what no command could start with', (name, text, sentence) => {
    expect(() => set(name, text)).toThrow(sentence);
    expect(() => set(name, text, 'other')).toThrow(sentence);
    expect(existsSync(file)).toBe(false);
  });

  test('is written where something else is wrong already, and that is told', () => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, 'dataDir: here\n');
    set('model', 'work/a');
    expect(readFileSync(file, 'utf8')).toBe('dataDir: here\nmodel: work/a\n');
    expect(stillToSay(() => load(), 'model')).toMatch(/^dataDir \(.*\) must be/);
    set('dataDir', '/there');
    expect([load().config.model, stillToSay(() => load(), 'model')]).toEqual(['work/a', undefined]);
  });

  test('goes into no profile that has no name', () => {
    for (const name of ['', ' ', '__proto__', 'a\nb', 'x'.repeat(65)])
      expect(() => settingsPlace(name)).toThrow(/^--profile ".*" is no name of a profile: expected letters/);
    expect(settingsPlace('at work').at).toEqual(['profiles', 'at work']);
  });

  test('that something else says too is told of', () => {
    set('model', 'work/a');
    expect(heardFirst(load(), 'model')).toBeUndefined();
    const loaded = load(undefined, { CAPYBARA_MODEL: 'work/b' });
    expect(heardFirst(loaded, 'model')).toBe('CAPYBARA_MODEL (environment) is set too, and is heard first.');
  });

  test('is taken out again, and what stands beside it stays', () => {
    expect(resetSetting(place(), 'model')).toBe(false);
    expect(existsSync(file)).toBe(false);
    set('model', 'work/a');
    set('temperature', '1');
    expect([resetSetting(place(), 'model'), resetSetting(place(), 'model')]).toEqual([true, false]);
    expect([load().config.model, load().config.temperature]).toEqual([undefined, 1]);
    expect(() => resetSetting(place(), 'nothing')).toThrow(/^There is no setting/);
    expect(settingNamed('tools.bash.timeout').path).toEqual(['tools', 'bash', 'timeout']);
  });
});

describe('all settings', () => {
  test('are put aside under a name with the time', () => {
    expect(resetAll(place(), new Date(0))).toBeUndefined();
    set('model', 'work/a');
    const aside = resetAll(place(), new Date(0));
    expect(aside).toBe(`${file}.1970-01-01T00-00-00-000Z`);
    expect(readdirSync(dirname(file))).toEqual(['config.yaml.1970-01-01T00-00-00-000Z']);
    expect(readFileSync(aside ?? '', 'utf8')).toBe('model: work/a\n');
  });

  test('of a profile go, and the others stay', () => {
    set('model', 'work/a');
    set('model', 'work/b', 'one');
    set('model', 'work/c', 'two');
    expect(resetAll(place('one'), new Date(0))).toBeUndefined();
    expect([load().config.model, load('two').config.model]).toEqual(['work/a', 'work/c']);
    expect(() => load('one')).toThrow(/The profile "one" is not in/);
  });
});
