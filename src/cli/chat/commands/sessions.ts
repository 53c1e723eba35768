/** Which session this is: name it, go to another, branch off, take another's work in. */
import type { Session } from '../../../api/wire.ts';
import { UserError } from '../../../core/errors.ts';
import { MAX_TITLE_LENGTH } from '../../../core/title.ts';
import { findSession } from '../../find.ts';
import { mergedText, mergeIn } from '../../take-over.ts';
import { oneLine } from '../../untrusted-text.ts';
import { type ChatCommand, type ChatContext, say, sessionOf } from './context.ts';

/** Sessions that are offered: the newest. */
const LISTED = 100;
/** Among which a name is looked for. */
const MAX_NAMED = 200;

type Act = (context: ChatContext, args: string) => Promise<void>;

const ACTS: Readonly<Record<string, { readonly about: string; readonly act: Act }>> = {
  list: { about: 'the newest sessions, to go to one', act: load },
  load: { about: 'go to a session: its name, ID, or last', act: load },
  new: { about: 'begin another one with the next message', act: async ({ show }) => show(undefined) },
  save: { about: 'give it a name, by which it is loaded: NAME', act: save },
  branch: { about: 'go on in a copy: [NAME]', act: branch },
  merge: { about: "take another session's files in: [ID]", act: merge },
};

export const SESSION_COMMANDS: readonly ChatCommand[] = [
  {
    name: 'session',
    summary: 'list, load, new, save, branch, merge',
    usage: '[WHAT] [NAME|ID]',
    complete: async () =>
      Object.entries(ACTS).map(([value, { about }]) => ({ value, label: value, description: about })),
    run: async (context, args) => {
      const [, what = '', rest = ''] = /^(\S*)\s*([\s\S]*)$/.exec(args) ?? [];
      if (what === '') return about(context);
      const found = Object.hasOwn(ACTS, what) ? ACTS[what] : undefined;
      if (found === undefined)
        throw new UserError('bad_usage', `Expected /session ${Object.keys(ACTS).join(', ')}; found ${what}.`);
      await found.act(context, rest.trim());
    },
  },
  {
    name: 'fork',
    summary: 'go on in a copy, with the files as they were there',
    usage: '[TURN]',
    run: async (context, args) => {
      if (!/^\d{0,9}$/.test(args))
        throw new UserError('bad_usage', `Expected /fork and the number of a turn; found ${args}.`);
      await forked(context, args === '' ? {} : { turn: Number(args) });
    },
  },
];

async function about(context: ChatContext): Promise<void> {
  const { id, title, workspace } = sessionOf(context);
  const where = workspace.path ?? workspace.repository?.url ?? workspace.kind;
  say(context, `${oneLine(title, 120)}\n${id} in ${oneLine(where, 200)}`);
}

async function load(context: ChatContext, args: string): Promise<void> {
  const id = args || (await chosen(context, 'Which session?'));
  if (id !== undefined) context.show((await named(context, id)) ?? (await findSession(context.client, id)));
}

/** The newest of that name. */
async function named({ client }: ChatContext, name: string): Promise<Session | undefined> {
  if (/^(?:last|(?:ses|task)_[0-9a-f]*)$/i.test(name)) return undefined;
  const { data } = await client.sessions({ limit: MAX_NAMED });
  const found = data.find(({ title }) => title.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return found;
  throw new UserError(
    'not_found',
    `None of the newest sessions has the name ${JSON.stringify(oneLine(name, 60))}: /session list shows them.`,
  );
}

async function chosen({ client, choose, state }: ChatContext, title: string): Promise<string | undefined> {
  const { data } = await client.sessions({ limit: LISTED });
  const others = data.filter(({ id, archivedAt }) => id !== state().session?.id && archivedAt === null);
  if (others.length === 0) throw new UserError('not_found', 'There is no other session.');
  return choose(title, others.map(itemOf));
}

function itemOf({ id, title, state, createdAt }: Session) {
  const label = `${oneLine(title, 60) || 'untitled'} ${id.slice(0, 12)}`;
  return { value: id, label, description: `${state}, ${createdAt.slice(0, 16).replace('T', ' ')}` };
}

async function save(context: ChatContext, name: string): Promise<void> {
  if (name === '')
    throw new UserError(
      'bad_usage',
      'Every session is kept; expected a name for this one: /session save NAME.',
    );
  const { title } = await context.client.patchSession(sessionOf(context).id, { title: titled(name) });
  say(context, `Kept as ${oneLine(title, 100)}: /session load ${oneLine(title, 100)}`);
}

async function branch(context: ChatContext, name: string): Promise<void> {
  await forked(context, name === '' ? {} : { title: titled(name) });
}

function titled(name: string): string {
  if (name.length <= MAX_TITLE_LENGTH) return name;
  throw new UserError(
    'bad_usage',
    `A name has at most ${MAX_TITLE_LENGTH} characters; found ${name.length}.`,
  );
}

async function forked(context: ChatContext, where: { turn?: number; title?: string }): Promise<void> {
  const { id } = sessionOf(context);
  context.show(await context.client.fork(id, where));
  context.tell({ do: 'note', text: `a copy of ${id}, which stays as it is`, tone: 'good' });
}

async function merge(context: ChatContext, args: string): Promise<void> {
  const session = sessionOf(context);
  const id = args || (await chosen(context, 'Whose files are taken in?'));
  if (id === undefined) return;
  const { id: from } = await findSession(context.client, id);
  say(context, mergedText(await mergeIn(context.client, session, from)));
}
