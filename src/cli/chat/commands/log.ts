/** The conversation itself: take something back, empty the context, write it to a file; and what it used. */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Entry } from '../../../api/wire.ts';
import { standing } from '../../../core/entry.ts';
import { messageOf, UserError } from '../../../core/errors.ts';
import { usageLines } from '../../summary.ts';
import { takeBack, takenBackText } from '../../take-over.ts';
import { readEntries, readTurns, turnsText } from '../../turns.ts';
import { conversationText } from '../conversation-text.ts';
import { lastTask } from '../state.ts';
import { type ChatCommand, say, sessionOf } from './context.ts';

export const LOG_COMMANDS: readonly ChatCommand[] = [
  {
    name: 'undo',
    summary: 'take your last message back, files too',
    usage: '[TURN]',
    run: async (context, args) => {
      const session = sessionOf(context);
      const turn = args === '' ? turnBeforeLast(await readEntries(context.client, session.id)) : turnOf(args);
      const { applied } = await takeBack(context.client, session, turn);
      say(context, takenBackText(turn, applied));
    },
  },
  {
    name: 'turns',
    summary: 'list the turns, by number',
    usage: '',
    run: async (context) => say(context, turnsText(await readTurns(context.client, sessionOf(context).id))),
  },
  {
    name: 'clear',
    summary: 'empty what the model sees; log and files stay',
    usage: '',
    run: async ({ client, state }) => {
      const { id } = sessionOf({ state });
      await client.revert(id, { entry: 0, files: 'left' });
    },
  },
  {
    name: 'compact',
    summary: 'begin the next answer with a summary',
    usage: '',
    run: async ({ client, state }) => {
      await client.askCompaction(sessionOf({ state }).id);
    },
  },
  {
    name: 'export',
    summary: 'write the conversation to a file, as Markdown',
    usage: 'FILE',
    run: async (context, args) => {
      if (args === '') throw new UserError('bad_usage', 'Expected a file: /export FILE.');
      const session = sessionOf(context);
      const text = conversationText(session, await readEntries(context.client, session.id));
      await write(resolve(context.cwd, args), text);
      say(context, `Wrote ${args}.`);
    },
  },
  {
    name: 'usage',
    summary: 'what the last task used',
    usage: '',
    run: async (context) => {
      sessionOf(context);
      const known = lastTask(context.state());
      const task = known && (await context.client.task(known.id));
      const lines = task === undefined ? [] : usageLines(task.usage);
      say(context, lines.length === 0 ? 'Nothing was used yet.' : lines.join('\n'));
    },
  },
];

function turnOf(args: string): number {
  if (/^\d{1,9}$/.test(args)) return Number(args);
  throw new UserError('bad_usage', `Expected /undo and the number of a turn; found ${args}.`);
}

/** The last turn before what a person said last, of what counts; 0: there is none. */
export function turnBeforeLast(entries: readonly Entry[]): number {
  const counting = standing(entries);
  const last = counting.findLast(({ kind }) => kind === 'user');
  if (last === undefined)
    throw new UserError('nothing_said', 'Nothing was said yet that could be taken back.');
  const before = counting.findLast(({ kind, position }) => kind === 'assistant' && position < last.position);
  const answers = entries.filter(({ kind }) => kind === 'assistant');
  return answers.findIndex(({ position }) => position === before?.position) + 1;
}

/** Nothing is written over. */
async function write(file: string, text: string): Promise<void> {
  await writeFile(file, text, { flag: 'wx' }).catch((error: unknown) => {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST';
    const why = isThere ? 'there is such a file already' : messageOf(error);
    throw new UserError('not_written', `${JSON.stringify(file)} was not written: ${why}. Name another.`);
  });
}
