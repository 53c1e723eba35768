import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class TasksResume extends CapybaraCommand {
  static override summary = 'Let a paused task go on, or raise the limits of one that waits for that.';
  static override description =
    'A task that was given --on-limit park waits at its limits instead of failing; `capybara why ID` says at which.';
  static override examples = [
    '<%= config.bin %> tasks resume last',
    '<%= config.bin %> tasks resume last --limit usd=5',
  ];
  static override args = {
    id: Args.string({
      description: 'task_…, ses_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    limit: Flags.string({
      description:
        'The new limit: turns, treeTurns, tokens, usd, seconds, children, concurrentChildren or depth. May be given several times.',
      helpValue: 'NAME=VALUE',
      multiple: true,
      multipleNonGreedy: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(TasksResume);
    const loaded = await this.settings(flags);
    const [{ findTask }, { parseLimits }, { goesOnText }] = await Promise.all([
      import('../../find.ts'),
      import('../../task-input.ts'),
      import('../../goes-on.ts'),
    ]);
    const limits = flags.limit && (parseLimits(flags.limit) ?? {});
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id } = await findTask(client, args.id);
      if (limits !== undefined) await client.raiseLimits(id, limits);
      const task = await client.resumeTask(id);
      this.say(flags, task, await goesOnText(client, task, { hasNewLimits: limits !== undefined }));
    });
  }
}
