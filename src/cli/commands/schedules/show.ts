import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SchedulesShow extends CapybaraCommand {
  static override summary =
    'Show a schedule: when it is due, what it hands in, and the last tasks that it made.';
  static override examples = [
    '<%= config.bin %> schedules show nightly',
    '<%= config.bin %> schedules show sch_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f',
  ];
  static override args = {
    id: Args.string({
      description: 'Its name, sch_…, as `schedules list` shows it, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SchedulesShow);
    const loaded = await this.settings(flags);
    const { scheduleText, scheduleWithRuns } = await import('../../schedules.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const schedule = await scheduleWithRuns(client, args.id);
      this.answer(flags, schedule, scheduleText(schedule));
    });
  }
}
