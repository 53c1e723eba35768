import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Usage extends CapybaraCommand {
  static override summary = 'Show what your team has used: tokens, money and times.';
  static override description =
    'Money is what each request cost by the prices of its time; of a model whose price is not known it says so. Days are those of UTC.';
  static override examples = [
    '<%= config.bin %> usage --since 7d',
    '<%= config.bin %> usage --by day --since 2026-01-01 --until 2026-02-01 --csv',
  ];
  static override flags = {
    by: Flags.string({
      description: 'What it is told by.',
      options: ['model', 'task', 'session', 'user', 'day'],
      default: 'model',
    }),
    since: Flags.string({
      description: 'From this day or time on, or so long ago: 7d, 24h.',
      helpValue: 'TIME',
    }),
    until: Flags.string({ description: 'Before this day or time.', helpValue: 'TIME' }),
    csv: Flags.boolean({ description: 'As comma-separated values.', exclusive: ['json'] }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Usage);
    const loaded = await this.settings(flags);
    const { momentOf, readUsage, usageCsv, usageText } = await import('../usage.ts');
    const now = Date.now();
    const range = {
      by: flags.by as 'model' | 'task' | 'session' | 'user' | 'day',
      since: momentOf('--since', flags.since, now),
      until: momentOf('--until', flags.until, now),
    };
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const usage = await readUsage(client, range);
      this.answer(flags, usage, flags.csv ? usageCsv(usage) : usageText(usage));
    });
  }
}
