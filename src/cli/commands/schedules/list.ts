import { CapybaraCommand } from '../../command.ts';

export default class SchedulesList extends CapybaraCommand {
  static override summary = 'List what is handed in again and again, and when next.';
  static override examples = ['<%= config.bin %> schedules list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(SchedulesList);
    const loaded = await this.settings(flags);
    const { schedulesText } = await import('../../schedules.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const list = await client.schedules({ limit: 200 });
      this.answer(flags, list, schedulesText(list.data));
    });
  }
}
