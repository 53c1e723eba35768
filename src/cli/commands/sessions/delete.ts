import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsDelete extends CapybaraCommand {
  static override summary = 'Delete a session and all that it delegated, for good.';
  static override description =
    'Its log, outputs, events and files are removed. What was used stays counted, the audit trail stays, and the files of a directory of your own ' +
    'are never touched. Not while a task of it is unfinished, or a fork of it is there.';
  static override examples = ['<%= config.bin %> sessions delete ses_0197 --yes'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    yes: Flags.boolean({ description: 'Do not ask.', char: 'y' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsDelete);
    const loaded = await this.settings(flags);
    const [{ findSession }, { confirmDeletion }] = await Promise.all([
      import('../../find.ts'),
      import('../../confirm-deletion.ts'),
    ]);
    const terminal = await this.terminal(loaded);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const session = await findSession(client, args.id);
      if (!flags.yes) await confirmDeletion(session, flags.json ? undefined : terminal.ask);
      const deleted = await client.deleteSession(session.id);
      this.say(flags, deleted, `${session.id} deleted\n`);
    });
  }
}
