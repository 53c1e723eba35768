import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SchedulesRemove extends CapybaraCommand {
  static override summary = 'Remove a schedule; its tasks stay.';
  static override examples = [
    '<%= config.bin %> schedules remove nightly',
    '<%= config.bin %> schedules remove sch_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f',
  ];
  static override args = {
    id: Args.string({
      description: 'Its name, sch_…, as `schedules list` shows it, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SchedulesRemove);
    const loaded = await this.settings(flags);
    const { findSchedule } = await import('../../schedules.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const removed = await client.removeSchedule((await findSchedule(client, args.id)).id);
      this.say(flags, removed, `${removed.id} removed\n`);
    });
  }
}
