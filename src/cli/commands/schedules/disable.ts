import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SchedulesDisable extends CapybaraCommand {
  static override summary = 'Disable a schedule: it makes no task until it is enabled.';
  static override examples = [
    '<%= config.bin %> schedules disable nightly',
    '<%= config.bin %> schedules disable sch_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f',
  ];
  static override args = {
    id: Args.string({
      description: 'Its name, sch_…, as `schedules list` shows it, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SchedulesDisable);
    const loaded = await this.settings(flags);
    const { turnSchedule } = await import('../../schedules.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const schedule = await turnSchedule(client, args.id, false);
      this.say(flags, schedule, `${schedule.id} disabled\n`);
    });
  }
}
