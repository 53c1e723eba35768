import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class TasksShow extends CapybaraCommand {
  static override summary = 'Show one task: its state, its result and what it used.';
  static override examples = ['<%= config.bin %> tasks show last'];
  static override args = {
    id: Args.string({
      description: 'task_…, ses_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(TasksShow);
    const loaded = await this.settings(flags);
    const [{ findTask }, { taskText }] = await Promise.all([
      import('../../find.ts'),
      import('../../details.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const task = await findTask(client, args.id);
      this.answer(flags, task, taskText(task));
    });
  }
}
