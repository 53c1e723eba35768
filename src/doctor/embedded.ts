/** One's own Capybara: whether one runs on this data directory, and whether one could be started. */
import { readFileSync } from 'node:fs';
import { messageOf } from '../core/errors.ts';
import { readServerInfo } from '../embedded/data-dir.ts';
import { postgresPackage } from '../embedded/postgres-binaries.ts';
import { type Check, withoutStop } from './check.ts';
import { server } from './server.ts';

const NAME = 'own Capybara';

export async function embedded(dataDir: string): Promise<Check[]> {
  const info = readServerInfo(dataDir);
  if (info === undefined) return [startable(dataDir)];
  if (!isAlive(info.pid))
    return [{ name: NAME, state: 'ok', found: `the one of ${dataDir} ended; capybara up starts it again` }];
  const apiKey = readFileSync(info.apiKeyFile, 'utf8').trim();
  const cure = `capybara up starts it again, once process ${info.pid} has ended`;
  return (await server({ url: info.url, apiKey, cure })).filter(({ name }) => name !== 'clock of the server');
}

function startable(dataDir: string): Check {
  try {
    postgresPackage();
    return { name: NAME, state: 'ok', found: `none runs on ${dataDir}; capybara up starts one` };
  } catch (error) {
    return { name: NAME, state: 'wrong', found: withoutStop(messageOf(error)) };
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
