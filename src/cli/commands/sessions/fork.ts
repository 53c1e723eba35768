import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsFork extends CapybaraCommand {
  static override summary =
    'Branch off: a new session that goes on from a turn of another, with its files as they were.';
  static override description =
    'The other session stays as it is. Turns are the answers of its whole log, counted from 1; 0 is before the first.';
  static override examples = [
    '<%= config.bin %> sessions fork last',
    '<%= config.bin %> sessions fork ses_0197 --turn 3 --title "another way"',
  ];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    turn: Flags.integer({
      description: 'Behind this turn; behind the newest that has ended where left out.',
      helpValue: 'NUMBER',
      min: 0,
    }),
    title: Flags.string({ description: 'Its title; that of the other where left out.' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsFork);
    const loaded = await this.settings(flags);
    const { findSession } = await import('../../find.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id } = await findSession(client, args.id);
      const { turn, title } = flags;
      const fork = await client.fork(id, { ...(turn !== undefined && { turn }), ...(title && { title }) });
      const next = `capybara run --session ${fork.id} "…"`;
      this.say(flags, fork, `${fork.id}\nGo on with it: ${next}\n`);
    });
  }
}
