import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import type { Log, LogLevel } from '../log.ts';
import { endedSentence } from './failure.ts';
import { oncePerPress } from './interrupts.ts';

/** A program that runs until it is asked to stop, politely. */
export interface Running {
  stop(): Promise<void>;
}

/** What a program is started with. */
export interface Starting {
  readonly log: Log;
  /** The program cannot go on: it is stopped, and the command ends with `reason` and exit code 3. */
  readonly fail: (reason: string) => void;
}

/** Postgres itself, not a pooler. Throws `UserError` where no database is configured. */
export function databaseOf(config: Config): string {
  const url = config.databaseDirectUrl ?? config.databaseUrl;
  if (url !== undefined) return url;
  throw new UserError(
    'no_database',
    'DATABASE_URL is not set: set it to the Postgres of this server, postgres://….',
  );
}

interface Program {
  readonly config: Config;
  /** What its log tells without `--debug`. */
  readonly level: LogLevel;
  /** A person pressed Ctrl-C, and it is about to stop. */
  readonly onInterrupt?: () => void;
}

/** Runs a program until SIGINT, SIGTERM or SIGHUP, then stops it politely; a second SIGINT ends the process at once. */
export async function runUntilStopped(
  { config, level, onInterrupt }: Program,
  start: (starting: Starting) => Promise<Running>,
): Promise<void> {
  const { createLog } = await import('../log.ts');
  const log = createLog({ level: config.debug ? 'debug' : level, pretty: process.stderr.isTTY === true });
  const stopping = stopSignal();
  const failed = Promise.withResolvers<UserError>();
  const fail = (reason: string) =>
    failed.resolve(new UserError('ended', `${endedSentence(reason)}: start again, nothing is lost.`, 3));
  const running = await start({ log, fail });
  const end = await Promise.race([stopping, failed.promise]);
  if (!(end instanceof UserError)) {
    if (end === 'interrupted') onInterrupt?.();
    return running.stop();
  }
  // It is broken: what its parts say while they stop says less than what broke it.
  await running.stop().catch((error: unknown) => log.debug({ error }, 'a part did not stop politely'));
  throw end;
}

const FORCED_EXIT = 130;

function stopSignal(): Promise<'interrupted' | 'told'> {
  return new Promise((resolve) => {
    const stop = () => resolve('told');
    process.once('SIGTERM', stop);
    process.once('SIGHUP', stop);
    let presses = 0;
    const press = () => {
      presses += 1;
      if (presses === 1) resolve('interrupted');
      else process.exit(FORCED_EXIT);
    };
    process.on('SIGINT', oncePerPress(press));
  });
}
