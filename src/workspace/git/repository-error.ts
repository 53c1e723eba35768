import type { Failure } from '../../core/errors.ts';

/**
 * Why a repository cannot be cloned. `code`: `repository_unreachable` (it may be there later), `repository_refused` (an address
 * that may not be connected to), `repository_denied`, `repository_moved`, `repository_untrusted` (its certificate), `repository_too_large`,
 * `repository_timeout`, `repository_broken`, `repository_cache` (what was kept of it here), `ref_not_found`, `git_missing`.
 */
export class RepositoryError extends Error {
  override readonly name = 'RepositoryError';
  readonly failure: Failure;
  constructor(kind: 'retryable' | 'terminal', code: string, message: string) {
    super(message);
    this.failure = { kind, code, message };
  }
}
