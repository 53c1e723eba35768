import type { Session, Task } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import { oneLine } from './untrusted-text.ts';

/** Tasks of a session that are looked at: those that wait for their turn are its newest. */
const LOOKED_AT = 200;

/** The oldest task of the session that is not finished: the one at work. */
export async function taskInHand(client: Client, { id }: Session): Promise<Task | undefined> {
  const { data } = await client.tasks({ sessionId: id, limit: LOOKED_AT });
  return data.findLast(({ endedAt }) => endedAt === null);
}

export function howToGoOn({ id, title, archivedAt }: Session): string {
  const next =
    archivedAt === null ? `capybara run --session ${id} "…"` : `capybara sessions archive ${id} --undo`;
  return `${id} (${oneLine(title, 60)}) has nothing at work.\nGo on with it: ${next}\n`;
}
