import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class TasksResume extends CapybaraCommand {
  static override summary = 'Raise the limits of a task: where it waits for that, it goes on.';
  static override description =
    'A task that was given --on-limit park waits at its limits instead of failing; `capybara why ID` says at which.';
  static override examples = ['<%= config.bin %> tasks resume last --limit usd=5'];
  static override args = {
    id: Args.string({
      description: 'task_…, ses_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    limit: Flags.string({
      description: 'The new limit: turns, treeTurns, tokens, usd or seconds. May be given several times.',
      helpValue: 'NAME=VALUE',
      multiple: true,
      multipleNonGreedy: true,
      required: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(TasksResume);
    const loaded = await this.settings(flags);
    const [{ findTask }, { parseLimits }] = await Promise.all([
      import('../../find.ts'),
      import('../../task-input.ts'),
    ]);
    const limits = parseLimits(flags.limit) ?? {};
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id } = await findTask(client, args.id);
      const task = await client.raiseLimits(id, limits);
      this.answer(flags, task, `${task.id} has its new limits: follow it with capybara tail ${task.id}\n`);
    });
  }
}
