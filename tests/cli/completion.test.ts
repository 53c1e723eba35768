/** What is completed at Tab: by the manifest as it is published, and in the shells that are here. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { complete } from '../../src/cli/completion/answer.ts';
import { readLine } from '../../src/cli/completion/line.ts';
import { cliProgram } from '../support/cli.ts';
import { PseudoTerminal } from '../support/pseudo-terminal.ts';
import { anApproval, aSession, aTask, type ScriptedApi, startScriptedApi, TASK_ID } from './scripted-api.ts';

let api: ScriptedApi;
let home: string;
let root: URL;
const environment = { ...process.env };

beforeAll(async () => {
  api = await startScriptedApi();
  home = mkdtempSync(join(tmpdir(), 'capybara-completion-'));
  root = pathToFileURL(`${dirname(dirname(cliProgram()))}/`);
  mkdirSync(join(home, 'capybara'));
  writeFileSync(
    join(home, 'capybara', 'config.yaml'),
    'profiles:\n  work:\n    port: 1\n  home:\n    port: 2\n  x$(id>f):\n    port: 3\nproviders:\n  box:\n    kind: ollama\nmcp: {servers: {files: {command: x}}}\n',
  );
  Object.assign(process.env, { CAPYBARA_URL: api.url, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home });
  api.on('GET /v1/tasks', () => ({ data: [aTask({ prompt: 'do\tit\nnow' })], nextCursor: null }));
  api.on('GET /v1/sessions', () => ({ data: [aSession()], nextCursor: null }));
  api.on('GET /v1/approvals', () => ({ data: [anApproval()], nextCursor: null }));
});
afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  await api.close();
  rmSync(home, { recursive: true, force: true });
});

/** The values alone. */
async function at(...words: string[]): Promise<string[]> {
  const lines = (await complete(root, ['fish', ...words])).split('\n').filter(Boolean);
  return lines.map((line) => line.replace(/\t.*/, ''));
}

describe('a place of a command line', () => {
  test('has commands and topics, with what they are for', async () => {
    expect(await at('se')).toEqual(['sessions']);
    expect(await complete(root, ['zsh', 'sub'])).toBe('submit\tGive an agent a task and print its id.\n');
    expect(await at('models', '')).toEqual(['delete', 'list', 'pull']);
    expect(await at('nonsense', '')).toEqual([]);
    const all = await complete(root, ['zsh', '']);
    expect(all.split('\n').filter((line) => line !== '' && !/^\S+\t\S/.test(line))).toEqual([]);
  });

  test('has flags that were not said yet, and what they take', async () => {
    expect(await at('run', 'x', '--mo')).toEqual(['--model', '--mode']);
    expect(await at('run', '--mode', 'safe', '--mo')).toEqual(['--model']);
    expect(await at('run', '--limit', 'turns=1', '--lim')).toEqual(['--limit']);
    expect(await at('run', '--mode', '')).toEqual(['safe', 'plan', 'auto']);
    expect(await at('run', '--mode=p')).toEqual(['--mode=plan']);
    expect(await at('init', '--no')).toEqual(['--no-test']);
    expect(await at('tail', '--he')).toEqual(['--help']);
    expect(await at('submit', '--', '--mo')).toEqual([]);
    expect(await at('run', '--temperature', '')).toEqual([]);
    expect(await at('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });

  test('may want a path, which the shell completes itself', async () => {
    for (const words of [
      ['run', '--workspace', ''],
      ['apply', '--directory', 's'],
      ['run', '--attach='],
    ])
      expect(await complete(root, ['fish', ...words])).toBe(':files\n');
  });

  test('may want what the settings name, where a shell reads nothing else into it', async () => {
    expect(await at('up', '--profile', '')).toEqual(['work', 'home']);
    expect(await at('providers', 'test', '')).toEqual(['box']);
    expect(await at('mcp', 'remove', '')).toEqual(['files']);
    expect(await at('config', 'set', 'webSearch.u')).toEqual(['webSearch.url']);
  });

  test('may want ids, which the server is asked for', async () => {
    expect(await complete(root, ['fish', 'tasks', 'show', 'task_'])).toBe(`${TASK_ID}\trunning: do it now\n`);
    expect(await at('tail', '')).toEqual(['last', TASK_ID, aSession().id]);
    expect(await at('run', '--session', 'se')).toEqual([aSession().id]);
    expect(await at('approvals', 'allow', 'apr_')).toEqual([anApproval().id]);
  });

  test('is nothing where no server answers, and where settings are wrong', async () => {
    process.env.CAPYBARA_URL = 'http://127.0.0.1:1';
    expect(await at('tail', '')).toEqual(['last']);
    process.env.CAPYBARA_PORT = 'high';
    expect(await at('tail', '')).toEqual([]);
    delete process.env.CAPYBARA_PORT;
    process.env.CAPYBARA_URL = api.url;
  });
});

test('bash parts words at = and :, and keeps what stands before', () => {
  expect(readLine('bash', ['run', '--mode', '=', 'sa'])).toEqual({
    before: ['run'],
    current: '--mode=sa',
    kept: 7,
  });
  expect(readLine('bash', ['run', '--mode', '='])).toEqual({ before: ['run'], current: '--mode=', kept: 7 });
  expect(readLine('bash', ['models', 'delete', 'box/qwen3', ':', '8'])).toMatchObject({
    current: 'box/qwen3:8',
    kept: 10,
  });
  expect(readLine('zsh', ['run', '--mode=sa'])).toEqual({ before: ['run'], current: '--mode=sa', kept: 0 });
});

describe('in a shell', () => {
  let bin: string;
  beforeAll(() => {
    bin = join(home, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'capybara'), `#!/bin/sh\nexec '${process.execPath}' '${cliProgram()}' "$@"\n`);
    chmodSync(join(bin, 'capybara'), 0o755);
  });

  const environmentOf = () => {
    const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env;
    return { PATH: `${bin}${delimiter}${PATH}`, NODE_COMPILE_CACHE, HOME: home, CAPYBARA_URL: api.url };
  };
  const within = (shell: string, ...args: string[]) =>
    execFileSync(shell, args, { env: environmentOf(), cwd: home, encoding: 'utf8' });

  /** Says so where it is not here. */
  function has(shell: string): boolean {
    try {
      execFileSync(shell, ['--version'], { stdio: 'ignore' });
      return true;
    } catch {
      console.log(`SKIPPED: completion in ${shell} needs ${shell} on the PATH`);
      return false;
    }
  }

  test.runIf(has('bash'))('bash completes', () => {
    const script = `
      source <(capybara completion bash)
      at() { COMP_WORDS=(capybara "$@"); COMP_CWORD=$#; _capybara; echo "\${COMPREPLY[*]}"; }
      at approvals al; at run --mode = sa; at run --workspace ''; complete -p capy`;
    expect(within('bash', '--norc', '-c', script)).toBe('allow\nsafe\n\ncomplete -F _capybara capy\n');
  });

  test.runIf(has('fish'))('fish completes', () => {
    const script = `
      capybara completion fish | source
      complete -C 'capybara approvals al'; complete -C 'capy run --mode=s'; complete -C 'capybara run --workspace ./bi'`;
    expect(within('fish', '--no-config', '-c', script)).toBe(
      'allow\tAllow what an agent asked for: the agent goes on.\n--mode=safe\n./bin/\n',
    );
  });

  test.runIf(has('zsh'))('zsh completes', { timeout: 60_000 }, async () => {
    const { command, args } = { command: 'zsh', args: ['-f', '-i'] };
    const terminal = new PseudoTerminal({
      command,
      args,
      cwd: home,
      env: environmentOf(),
      columns: 100,
      rows: 30,
    });
    try {
      terminal.type(
        "autoload -Uz compinit; compinit -u; source <(capybara completion zsh); PS1='ready> '; clear\r",
      );
      await terminal.sees(/^ready>/m);
      terminal.type('capybara approvals al\t');
      await terminal.sees(/capybara approvals allow/);
      terminal.type('\x15capybara sessions re\t');
      await terminal.sees(/rename +-- Give a session another title/);
    } finally {
      terminal.type('\x03\x15exit\r');
      await terminal.ended;
    }
  });
});

test('the script of a shell says where it goes', () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = readFileSync(
      new URL(`../../src/cli/completion/capybara.${shell}`, import.meta.url),
      'utf8',
    );
    expect(script).toContain(`capybara completion ${shell}`);
  }
});
