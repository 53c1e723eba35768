/** Commands in this process, as somebody types them: what they print, and what they end with. */
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, Config, settings } from '@oclif/core';
import { captureOutput } from '@oclif/test';
import { afterEach, beforeEach, vi } from 'vitest';
import { type ScriptedApi, startScriptedApi } from '../cli/scripted-api.ts';
import { ROOT } from './source-code.ts';

let loaded: Promise<Config> | undefined;

/** Without the list of commands, which are named here, and without plugins: neither is looked for. */
function oclif(): Promise<Config> {
  settings.enableAutoTranspile = false;
  const pjson = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  delete pjson.oclif.commands;
  pjson.oclif.plugins = [];
  loaded ??= Config.load({ root: ROOT, pjson, ignoreManifest: true });
  return loaded;
}

/** `id` as oclif has it: `tasks:list`. */
export async function capybara(id: string, ...argv: string[]) {
  const path = `${ROOT}/src/cli/commands/${id.replaceAll(':', '/')}.ts`;
  const { default: command } = (await import(path)) as { default: Command.Class };
  command.id = id;
  const config = await oclif();
  const { stdout, stderr, error } = await captureOutput(() => command.run(argv, config));
  const code = process.exitCode ?? 0;
  process.exitCode = undefined;
  if (error) throw error;
  return { stdout, stderr, code };
}

/** Before each test a server that answers as it says, which commands talk to, with settings of nobody; handed to `use` with the directory of these. */
export function withScriptedApi(use: (api: ScriptedApi, home: string) => void): void {
  let api: ScriptedApi;
  let home: string;
  beforeEach(async () => {
    api = await startScriptedApi();
    vi.stubEnv('CAPYBARA_URL', api.url);
    vi.stubEnv('CAPYBARA_API_KEY', 'capy_hush');
    home = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-home-')));
    vi.stubEnv('XDG_CONFIG_HOME', home);
    vi.stubEnv('XDG_DATA_HOME', home);
    use(api, home);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await api.close();
    rmSync(home, { recursive: true, force: true });
  });
}
