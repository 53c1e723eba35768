import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class TasksCancel extends CapybaraCommand {
  static override summary = 'Cancel a task and everything under it.';
  static override description =
    'A running command and an open answer stop within a second. What was changed stays changed.';
  static override examples = ['<%= config.bin %> tasks cancel last'];
  static override args = {
    id: Args.string({
      description: 'task_…, ses_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(TasksCancel);
    const loaded = await this.settings(flags);
    const { findTask } = await import('../../find.ts');
    await this.withConnection(loaded, { start: 'kept' }, async ({ client }) => {
      const task = await client.cancelTask((await findTask(client, args.id)).id);
      this.answer(flags, task, `${task.id} ${task.endedAt === null ? 'is being cancelled' : task.status}\n`);
    });
  }
}
