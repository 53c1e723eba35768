import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';
import { oneLine } from '../../untrusted-text.ts';

export default class SessionsRename extends CapybaraCommand {
  static override summary = 'Give a session another title.';
  static override examples = ['<%= config.bin %> sessions rename last "The flaky test"'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
    title: Args.string({ description: 'The new title, one line.', required: true, ignoreStdin: true }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsRename);
    const loaded = await this.settings(flags);
    const { findSession } = await import('../../find.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id } = await findSession(client, args.id);
      const session = await client.patchSession(id, { title: args.title });
      this.say(flags, session, `${id} is now ${JSON.stringify(oneLine(session.title, 200))}\n`);
    });
  }
}
