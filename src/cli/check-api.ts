/** What a supervisor asks of the API on its own machine. */
import { messageOf, UserError } from '../core/errors.ts';

const CHECK_MS = 5_000;

/** Resolves where the API that listens on this port of this machine can serve. Throws `UserError` `not_ready` (exit code 3). */
export async function checkApi(port: number): Promise<void> {
  const url = `http://127.0.0.1:${port}/readyz`;
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(CHECK_MS) });
  } catch (error) {
    throw new UserError(
      'not_ready',
      `No API answers on port ${port} of this machine (${messageOf(error)}).`,
      3,
    );
  }
  const said = (await response.json().catch(() => ({}))) as { readonly detail?: string };
  if (!response.ok) throw new UserError('not_ready', said.detail ?? `It answered ${response.status}.`, 3);
}
