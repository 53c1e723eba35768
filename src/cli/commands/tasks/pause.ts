import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class TasksPause extends CapybaraCommand {
  static override summary = 'Pause a task and everything under it.';
  static override description =
    'An open answer and a running command stop within a second, and nothing begins before `capybara tasks resume ID`. The answer that was broken off is asked for again then.';
  static override examples = ['<%= config.bin %> tasks pause last'];
  static override args = {
    id: Args.string({
      description: 'task_…, ses_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(TasksPause);
    const loaded = await this.settings(flags);
    const { findTask } = await import('../../find.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id } = await findTask(client, args.id);
      const task = await client.pauseTask(id);
      this.say(flags, task, `${task.id} is paused: let it go on with capybara tasks resume ${task.id}\n`);
    });
  }
}
