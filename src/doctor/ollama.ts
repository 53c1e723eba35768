import type { Config } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { installedModels, type OllamaTarget, ollamaVersion } from '../model/ollama-admin.ts';
import { configuredOllamas } from '../model/ollama-choice.ts';
import { findOllama, foundSentence, hasProvider } from '../model/ollama-discovery.ts';
import type { Check } from './check.ts';

/** Those that are configured, and the one that one's own Capybara finds on this machine where no provider is. */
export function ollamas(config: Config, port?: number): Promise<Check[]>[] {
  const isFound = config.databaseUrl === undefined && !config.offline && !hasProvider(config);
  return [...configuredOllamas(config.providers).map(answering), ...(isFound ? [onThisMachine(port)] : [])];
}

async function answering(target: OllamaTarget): Promise<Check[]> {
  const name = `Ollama (${target.provider})`;
  try {
    const [version, models] = await Promise.all([ollamaVersion(target), installedModels(target)]);
    const found = `${version} answers, with ${models.length} ${models.length === 1 ? 'model' : 'models'}`;
    if (models.length > 0) return [{ name, state: 'ok', found }];
    return [{ name, state: 'warning', found, cure: 'capybara models pull NAME installs one' }];
  } catch (error) {
    const cure = 'start it (ollama serve), or correct its baseUrl';
    return [{ name, state: 'wrong', found: messageOf(error).replace(/\.$/, ''), cure }];
  }
}

async function onThisMachine(port?: number): Promise<Check[]> {
  const found = await findOllama(port === undefined ? {} : { port });
  if (found === undefined) return [];
  return [
    {
      name: 'Ollama',
      state: found.models.length > 0 ? 'ok' : 'warning',
      found: foundSentence(found).replace(/\.$/, ''),
    },
  ];
}
