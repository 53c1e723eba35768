/** `ID` of a command line: a whole `ses_…`, `task_…` or `apr_…`, its unambiguous beginning, or `last`. */
import type { Approval, Session, Task } from '../api/wire.ts';
import type { Client, Page, Query } from '../client/client.ts';
import { UserError } from '../core/errors.ts';
import { fromPublicId } from '../core/id.ts';
import { oneLine } from './untrusted-text.ts';

/** How many of the newest are looked through for a beginning. */
export const MAX_SEARCHED = 1_000;

/** The task that `id` means; for a session, its newest. Throws `UserError` (exit code 2) where there is none, or several. */
export async function findTask(client: Client, id: string): Promise<Task> {
  if (id === 'last') return newest(await client.tasks({ limit: 1 }), 'There is no task yet.');
  if (fromPublicId('task', id)) return client.task(id);
  if (kindOf(id) === 'task') return beginningWith(id, (query) => client.tasks(query));
  const session = await findSession(client, id);
  const none = `The session ${session.id} has no task.`;
  return newest(await client.tasks({ limit: 1, sessionId: session.id }), none);
}

/** The session that `id` means; for a task, the one it belongs to. */
export async function findSession(client: Client, id: string): Promise<Session> {
  if (id === 'last') return newest(await client.sessions({ limit: 1 }), 'There is no session yet.');
  if (fromPublicId('session', id)) return client.session(id);
  if (kindOf(id) === 'session')
    return beginningWith(id, (query) => client.sessions({ ...query, archived: 'true' }));
  return client.session((await findTask(client, id)).sessionId);
}

/** As `findSession`, but `last` is the one that was archived last, of the newest. */
export async function findArchived(client: Client, id: string): Promise<Session> {
  if (id !== 'last') return findSession(client, id);
  const { data } = await client.sessions({ limit: 200, archived: 'true' });
  const archived = data.filter(({ archivedAt }) => archivedAt !== null);
  archived.sort((one, other) => Date.parse(other.archivedAt ?? '') - Date.parse(one.archivedAt ?? ''));
  return newest({ data: archived, nextCursor: null }, 'No session is archived.');
}

/**
 * The id of the question that `id` means, of those that are open; a whole id is taken as it is. `last` is the only one: an answer is
 * never given to a question that one did not mean.
 */
export async function findApproval(client: Client, id: string): Promise<string> {
  if (fromPublicId('approval', id)) return id;
  if (id === 'last') return onlyOpen((await client.approvals({ limit: MAX_LISTED })).data);
  if (!/^apr_[0-9a-f]{0,32}$/i.test(id)) throw notAnId(id, 'apr_…');
  const none = 'None of the open approvals';
  return (await beginningWith(id, (query) => client.approvals(query), none)).id;
}

/** The id of the rule that `id` means: `rule_…` or its unambiguous beginning. */
export async function findRule(client: Client, id: string): Promise<string> {
  if (fromPublicId('rule', id)) return id;
  if (!/^rule_[0-9a-f]{1,32}$/i.test(id)) {
    const found = JSON.stringify(oneLine(id, 60));
    throw new UserError(
      'id_invalid',
      `${found} is not the id of a rule: expected rule_… or its beginning, as \`capybara rules list\` shows it.`,
    );
  }
  return (await beginningWith(id, (query) => client.rules(query), 'No rule')).id;
}

/** Questions that are named where `last` may mean any of them. */
const MAX_LISTED = 10;

function onlyOpen(open: readonly Approval[]): string {
  const [first, other] = open;
  if (first === undefined) throw new UserError('not_found', 'Nobody is asked anything.');
  if (other === undefined) return first.id;
  const lines = open.map(({ id, tool }) => `  ${id} ${oneLine(tool, 60)}`);
  const message = `Several approvals are open, and "last" may mean any of them: give the id.\n${lines.join('\n')}`;
  throw new UserError('id_ambiguous', message);
}

function kindOf(id: string): 'task' | 'session' {
  const match = /^(task|ses)_[0-9a-f]{0,32}$/i.exec(id);
  if (match) return match[1]?.toLowerCase() === 'task' ? 'task' : 'session';
  throw notAnId(id, 'ses_…, task_…');
}

export function notAnId(id: string, kinds: string): UserError {
  const found = JSON.stringify(oneLine(id, 60));
  return new UserError('id_invalid', `${found} is not an id: expected ${kinds}, its beginning, or "last".`);
}

export function newest<Item>({ data }: Page<Item>, none: string): Item {
  const [item] = data;
  if (item === undefined) throw new UserError('not_found', none);
  return item;
}

/** The one of the newest `MAX_SEARCHED` whose id begins so. */
export async function beginningWith<Item extends { id: string }>(
  beginning: string,
  load: (query: Query) => Promise<Page<Item>>,
  none = `None of the newest ${MAX_SEARCHED}`,
): Promise<Item> {
  const found: Item[] = [];
  let cursor: string | undefined;
  for (let searched = 0; searched < MAX_SEARCHED; ) {
    const { data, nextCursor } = await load({ limit: 200, cursor });
    found.push(...data.filter(({ id }) => id.startsWith(beginning.toLowerCase())));
    searched += data.length;
    if (nextCursor === null) break;
    cursor = nextCursor;
  }
  const [item, other] = found;
  if (item && !other) return item;
  const state = item ? `${found.length} ids begin with` : `${none} begins with`;
  throw new UserError(item ? 'id_ambiguous' : 'not_found', `${state} ${beginning}: give more of the id.`);
}
