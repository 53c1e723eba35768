import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';
import { table } from '../../table.ts';

export default class TasksList extends CapybaraCommand {
  static override summary = 'List tasks, the newest first.';
  static override examples = ['<%= config.bin %> tasks list --status running'];
  static override flags = {
    status: Flags.string({
      description: 'Only tasks in this state.',
      options: ['queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled'],
    }),
    session: Flags.string({ description: 'Only tasks of this session.', helpValue: 'ID' }),
    limit: Flags.integer({ description: 'How many.', helpValue: 'NUMBER', default: 20, min: 1, max: 200 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(TasksList);
    const loaded = await this.settings(flags);
    const { findSession } = await import('../../find.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const session = flags.session === undefined ? undefined : await findSession(client, flags.session);
      const page = await client.tasks({ limit: flags.limit, status: flags.status, sessionId: session?.id });
      const rows = page.data.map((task) => [
        task.id,
        task.waitingOn ? `${task.status} (${task.waitingOn})` : task.status,
        String(task.turns),
        task.createdAt,
        task.prompt,
      ]);
      const heading = ['ID', 'STATUS', 'TURNS', 'CREATED', 'PROMPT'];
      this.answer(flags, page, rows.length === 0 ? 'No tasks.\n' : table(heading, rows));
    });
  }
}
