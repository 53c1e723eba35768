/** How long somebody waits for Postgres, and what it is called when that is over. */
import { UserError } from '../core/errors.ts';

/** Postgres could not do it within the time given to it. The API answers it with 503. */
export class DatabaseUnavailable extends UserError {
  constructor(cause: unknown) {
    super('database_unavailable', `${whyOf(cause)} at the moment; the request can be sent again.`, 3);
    this.cause = cause;
  }
}

const WHY: Readonly<Record<string, string>> = {
  '53100': 'Postgres has no disk space left',
  '53200': 'Postgres has no memory left',
  '53300': 'Postgres has no connection to spare',
  '25006': 'Postgres takes no changes',
};

/** Its own connections are closed: this process is stopping. In the words of pg-pool. */
export function isClosed(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Cannot use a pool after calling end');
}

function whyOf(cause: unknown): string {
  if (isClosed(cause)) return 'This Capybara is stopping, and reaches no Postgres';
  const { code = '' } = (cause ?? {}) as { code?: string };
  return WHY[code] ?? 'Postgres does not answer';
}

export interface Patience {
  /** How long what failed is repeated. `Infinity`: until Postgres is back. */
  readonly ms: number;
  /** Nobody waits longer than this in all, also for an answer that may be on its way. */
  readonly totalMs?: number;
  /** Once the signal fires, nobody waits longer than `ms` from then, or from when they began to ask if that is later. */
  readonly hurry?: { readonly signal: AbortSignal; readonly ms: number };
}

/** One caller's wait. What is given up may still happen: only what is repeatable is waited for like this. */
export class Wait {
  readonly #patience: Patience;
  #repeatUntil: number;
  readonly #over = Promise.withResolvers<never>();
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(patience: Patience) {
    const { ms, totalMs, hurry } = patience;
    this.#patience = patience;
    this.#repeatUntil = performance.now() + ms;
    this.#over.promise.catch(() => {});
    if (totalMs !== undefined) this.#endIn(totalMs);
    if (hurry?.signal.aborted) this.#hurry();
    else hurry?.signal.addEventListener('abort', this.#hurry);
  }

  /** Whether there is time to pause for so long and ask again. */
  canPause(ms: number): boolean {
    return performance.now() + ms <= this.#repeatUntil;
  }

  /** What was asked for, or `DatabaseUnavailable` when nobody waits any longer. */
  for<T>(asked: Promise<T>): Promise<T> {
    return Promise.race([asked, this.#over.promise]);
  }

  end(): void {
    this.#patience.hurry?.signal.removeEventListener('abort', this.#hurry);
    for (const timer of this.#timers) clearTimeout(timer);
  }

  readonly #hurry = (): void => {
    const { ms } = this.#patience.hurry ?? { ms: 0 };
    this.#repeatUntil = Math.min(this.#repeatUntil, performance.now() + ms);
    this.#endIn(ms);
  };

  #endIn(ms: number): void {
    const late = () => this.#over.reject(new DatabaseUnavailable(new Error(`no answer within ${ms} ms`)));
    this.#timers.push(setTimeout(late, ms));
  }
}
