/** Keys: whether each provider has its own, and whether what they stand in is for its owner's eyes alone. */
import { statSync } from 'node:fs';
import { secretFiles } from '../config/secrets.ts';
import type { Config, LoadedConfig } from '../config.ts';
import { providersHere, usualModel } from '../model/main.ts';
import type { Check } from './check.ts';

export async function providerKeys(config: Config): Promise<Check[]> {
  const providers = await providersHere(config);
  if (providers.length === 0 && config.url === undefined) return [noProvider()];
  const keys = providers.map(({ provider, key }): Check => {
    const name = `provider ${provider}`;
    if (key === 'not needed') return { name, state: 'ok', found: 'it needs no key' };
    const tries = `capybara providers test ${provider} tries it`;
    if (key === 'set') return { name, state: 'ok', found: `its key is set; ${tries}` };
    const variable = config.providers[provider]?.apiKeyVariable;
    const cure =
      variable === undefined ? `capybara providers add ${provider} asks for it` : `set ${variable}`;
    return { name, state: 'warning', found: 'no key is set for it', cure };
  });
  return config.url === undefined ? [...keys, await model(config)] : keys;
}

/** Of a server's machine; the embedded Capybara has one of its own. Whether it opens what is sealed, `capybara api` finds at its start. */
export function encryptionKey({
  url,
  databaseUrl,
  encryptionKey: keys = [],
}: Pick<Config, 'url' | 'databaseUrl' | 'encryptionKey'>): Check[] {
  const name = 'encryption key';
  if (url !== undefined || databaseUrl === undefined) return [];
  if (keys.length > 0) {
    const others = keys.length === 1 ? '' : `, and ${keys.length - 1} more open what was sealed before`;
    return [{ name, state: 'ok', found: `CAPYBARA_ENCRYPTION_KEY is set${others}` }];
  }
  const cure =
    'set CAPYBARA_ENCRYPTION_KEY on every API and worker, to what `openssl rand -base64 32` prints';
  return [{ name, state: 'warning', found: 'none is set: webhooks cannot be made', cure }];
}

async function model(config: Config): Promise<Check> {
  const usual = await usualModel(config);
  const name = 'model';
  if (usual !== undefined) return { name, state: 'ok', found: `${usual} answers where none is named` };
  const cure = 'capybara providers use NAME/MODEL chooses one, of those in capybara models list';
  const found =
    config.model === undefined ? 'none is chosen for where none is named' : `there is no ${config.model}`;
  return { name, state: 'warning', found, cure };
}

function noProvider(): Check {
  const cure = 'capybara init sets one up';
  return { name: 'providers', state: 'warning', found: 'no provider of models is configured', cure };
}

const OTHERS = 0o077;

/** Of each file that a secret came from, the one of git's ssh key among them. */
export function keyFiles(loaded: LoadedConfig): Check[] {
  if (process.platform === 'win32') return [];
  return secretFiles(loaded).map((file) => {
    const mode = statSync(file, { throwIfNoEntry: false })?.mode;
    const name = 'key file';
    if (mode === undefined)
      return { name, state: 'wrong', found: `there is no ${file}`, cure: 'set CAPYBARA_GIT_SSH_KEY anew' };
    if ((mode & OTHERS) === 0) return { name, state: 'ok', found: `only its owner may read ${file}` };
    const found = `${file} holds a key, and others may read it (mode ${(mode & 0o777).toString(8)})`;
    return { name, state: 'wrong', found, cure: `chmod 600 ${file}` };
  });
}
