import { Args } from '@oclif/core';
import type { Task } from '../../../api/wire.ts';
import { CapybaraCommand } from '../../command.ts';

export default class TasksCancel extends CapybaraCommand {
  static override summary = 'Cancel a task and everything under it.';
  static override description =
    'A running command and an open answer stop within a second. What was changed stays changed. Of a task that had ended ' +
    'already it says how; that is exit code 0 too.';
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
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const found = await findTask(client, args.id);
      const task = await client.cancelTask(found.id);
      this.say(flags, task, `${task.id} ${cancelled(found, task)}\n`);
    });
  }
}

/** `before` and after it was cancelled: it may have ended of itself meanwhile. */
function cancelled(before: Task, { status, endedAt }: Task): string {
  if (endedAt === null) return 'is being cancelled';
  if (before.endedAt === null && status === 'cancelled') return 'cancelled';
  return `had ended already: ${status} at ${endedAt}`;
}
