import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsShow extends CapybaraCommand {
  static override summary = 'Show one session and its tasks.';
  static override examples = ['<%= config.bin %> sessions show last'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsShow);
    const loaded = await this.settings(flags);
    const [{ findSession }, { sessionText }] = await Promise.all([
      import('../../find.ts'),
      import('../../details.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const session = await client.session((await findSession(client, args.id)).id);
      const tasks = await client.tasks({ sessionId: session.id, limit: 200 });
      this.answer(flags, { session, tasks: tasks.data }, sessionText(session, tasks.data));
    });
  }
}
