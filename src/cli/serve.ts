import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import type { Log } from '../log.ts';
import type { Running } from './mains.ts';

/** Postgres itself, not a pooler. Throws `UserError` where no database is configured. */
export function databaseOf(config: Config): string {
  const url = config.databaseDirectUrl ?? config.databaseUrl;
  if (url !== undefined) return url;
  throw new UserError(
    'no_database',
    'DATABASE_URL is not set: set it to the Postgres of this server, postgres://….',
  );
}

/** Runs a program until SIGINT, SIGTERM or SIGHUP, then stops it politely; a second SIGINT ends the process at once. */
export async function runUntilStopped(config: Config, start: (log: Log) => Promise<Running>): Promise<void> {
  const { createLog } = await import('../log.ts');
  const log = createLog({
    level: config.debug ? 'debug' : 'info',
    pretty: process.stderr.isTTY === true,
  });
  const stopping = stopSignal();
  const running = await start(log);
  await stopping;
  await running.stop();
}

const FORCED_EXIT = 130;

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGHUP', resolve);
    process.once('SIGINT', () => {
      process.on('SIGINT', () => process.exit(FORCED_EXIT));
      resolve();
    });
  });
}
