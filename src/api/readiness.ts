/** Whether this process can serve: each thing that it needs is asked, all at once, and none for long. */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import { isMigrated } from '../store/migrate.ts';
import type { ApiDeps } from './deps.ts';

/** How long each may take to answer before this process says that it is not ready. */
export const READY_MS = 2_000;

export const CHECKS = ['postgres', 'queue', 'migrations'] as const;
export type CheckName = (typeof CHECKS)[number];
/** `ok`, or a sentence for whoever asked, which tells nothing of where things are. */
export type Checked = Readonly<Record<CheckName, string>>;

/** No turn has it: the queue knows no such job. */
const NO_TURN = { turnId: '00000000-0000-0000-0000-000000000000', wake: 0 };

/** Throws what is wrong; a `NotReady` may be shown to anybody. */
type Ask = () => Promise<void>;

class NotReady extends Error {}

/** Whoever asks while an answer is outstanding waits for the same one: what is silent is not asked ever more often. */
export class Readiness {
  readonly #asks: Readonly<Record<CheckName, Ask>>;
  readonly #log: ApiDeps['log'];
  readonly #outstanding = new Map<CheckName, Promise<void>>();

  constructor({ db, queue, log }: Pick<ApiDeps, 'db' | 'queue' | 'log'>) {
    this.#log = log;
    this.#asks = {
      postgres: async () => {
        await db.pool.query('SELECT 1');
      },
      queue: async () => {
        await queue.states([NO_TURN]);
      },
      migrations: async () => {
        if (!(await isMigrated(db.pool)))
          throw new NotReady('the database is not that of this version: run `capybara migrate`');
      },
    };
  }

  async check(): Promise<Checked> {
    const found = CHECKS.map(async (name) => [name, await this.#one(name)] as const);
    return Object.fromEntries(await Promise.all(found)) as Checked;
  }

  async #one(name: CheckName): Promise<string> {
    const waited = new AbortController();
    const late = delay(READY_MS, undefined, { signal: waited.signal }).then(() => {
      throw new NotReady(`no answer within ${READY_MS} ms`);
    });
    late.catch(() => {});
    try {
      await Promise.race([this.#ask(name), late]);
      return 'ok';
    } catch (error) {
      this.#log.warn({ check: name, error: messageOf(error) }, 'not ready');
      return error instanceof NotReady ? error.message : 'it cannot be reached';
    } finally {
      waited.abort();
    }
  }

  #ask(name: CheckName): Promise<void> {
    const outstanding = this.#outstanding.get(name);
    if (outstanding !== undefined) return outstanding;
    const asked = this.#asks[name]().finally(() => this.#outstanding.delete(name));
    asked.catch(() => {});
    this.#outstanding.set(name, asked);
    return asked;
  }
}
