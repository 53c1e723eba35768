/**
 * What the processes under test share: they are handed a `ProcessOrder` as JSON in their first argument and settings by the
 * environment, say `ready URL` when they are, end politely on SIGTERM, and at once when who started them is gone.
 */
import { flushCompileCache } from 'node:module';
import { type Config, loadConfig } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { createLog, type Log } from '../log.ts';
import { offsetClock } from './clock-offset.ts';

export interface ProcessOrder {
  readonly clockOffsetMs: number;
  /** The file that the sink tool appends to. */
  readonly sink: string;
}

interface Program {
  readonly url?: string;
  stop(): Promise<void>;
}

type Start = (config: Config, log: Log, order: ProcessOrder) => Promise<Program>;

export async function runProcess(start: Start): Promise<void> {
  const order = JSON.parse(process.argv[2] ?? '') as ProcessOrder;
  offsetClock(order.clockOffsetMs);
  process.stdin.once('close', () => process.exit()).resume();
  const { config } = loadConfig({ trustWorkingDirectory: false });
  const log = createLog({ level: 'info' });
  const program = await start(config, log, order).catch((error: unknown) => {
    // Postgres is away: who started this tries again. Anything else is a bug, and ends with its stack.
    if (!(error instanceof UserError)) throw error;
    log.warn({ code: error.code }, error.message);
    process.exit(error.exitCode);
  });
  process.once('SIGTERM', () => {
    program.stop().then(
      () => {
        log.info({}, 'stopped');
        // Node's own exit writes its compile cache and joins V8's threads, which a slow disk or a compilation under way can
        // hold up (https://github.com/nodejs/node/issues/54918). What is on trial is the program, and that has ended.
        process.kill(process.pid, 'SIGKILL');
      },
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`);
        process.exit(1);
      },
    );
  });
  // Now, since most of these processes are killed: whichever starts next starts faster.
  flushCompileCache();
  process.stdout.write(`ready ${program.url ?? ''}\n`);
}
