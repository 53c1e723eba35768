import type { Session } from '../api/wire.ts';
import { UserError } from '../core/errors.ts';
import type { Terminal } from './terminal.ts';
import { oneLine } from './untrusted-text.ts';

/** Throws `UserError` (exit code 2) unless the person here says yes; where there is none, that is for --yes to say. */
export async function confirmDeletion({ id, title }: Session, ask: Terminal['ask']): Promise<void> {
  if (ask === undefined) {
    throw new UserError(
      'not_confirmed',
      `Deleting ${id} cannot be undone: say that it is meant with --yes, or put it away with capybara sessions archive ${id}.`,
    );
  }
  const question = `Delete ${id} (${oneLine(title, 60)}) for good? [y, N] `;
  const typed = await ask(question, new AbortController().signal);
  if (/^y(es)?$/i.test(typed?.trim() ?? '')) return;
  throw new UserError('not_confirmed', 'Nothing was deleted.');
}
