import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SchedulesRun extends CapybaraCommand {
  static override summary = 'Hand in the task of a schedule now, as your own, and print its id.';
  static override examples = [
    '<%= config.bin %> schedules run nightly',
    '<%= config.bin %> schedules run sch_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f',
  ];
  static override args = {
    id: Args.string({
      description: 'Its name, sch_…, as `schedules list` shows it, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SchedulesRun);
    const loaded = await this.settings(flags);
    const { findSchedule } = await import('../../schedules.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const task = await client.runSchedule((await findSchedule(client, args.id)).id);
      this.answer(flags, task, `${task.id}\n`);
    });
  }
}
