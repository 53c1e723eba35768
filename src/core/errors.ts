/**
 * Failures as data. Four kinds (DESIGN: suspension, cancellation and shutdown are outcomes, not errors):
 *
 * - `retryable`: the same request may succeed later; `retryAfterMs` when the other side said when.
 * - `terminal`: asking again cannot help; a person has to change something.
 * - `cancelled`: someone asked for it to stop.
 * - `bug`: Capybara's own mistake.
 */
export interface Failure {
  readonly kind: 'retryable' | 'terminal' | 'cancelled' | 'bug';
  /** Stable, snake_case, for programs: `rate_limited`, `model_not_found`, ... */
  readonly code: string;
  /** One sentence for a person: what was found, what was expected, what to do. Never contains a secret. */
  readonly message: string;
  readonly retryAfterMs?: number;
}

/** Thrown where a person's input or setting cannot be used. `code` is stable, the message one sentence. */
export class UserError extends Error {
  override readonly name = 'UserError';
  readonly code: string;
  /** Exit code of the CLI (DESIGN §8): 2 bad usage, 3 no server or no access. */
  readonly exitCode: 1 | 2 | 3 | 4 | 5;
  constructor(code: string, message: string, exitCode: 1 | 2 | 3 | 4 | 5 = 2) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** What a connection fails with that `private-network.ts` refuses; Node names it for the list that it looks at. */
const REFUSED_OFFLINE = 'ERR_IP_BLOCKED';
export const OFFLINE_RULE = 'offline only loopback and private addresses are contacted';

/** Whether a connection was refused because it would have left for the public internet. */
export function isRefusedOffline(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === REFUSED_OFFLINE;
}

/** The text of anything thrown, without a stack. */
export function messageOf(error: unknown): string {
  if (isRefusedOffline(error)) return `it has a public address, and ${OFFLINE_RULE}`;
  return error instanceof Error ? error.message : String(error);
}
