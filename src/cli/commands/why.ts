import { Args } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Why extends CapybaraCommand {
  static override summary = 'Say what will wake what is not finished: a worker, a time, or a person.';
  static override description =
    'A line for each unfinished task of the session; for a task_… only that one and those it waits for. Where a person has ' +
    'to act, the command is in it.';
  static override examples = ['<%= config.bin %> why', '<%= config.bin %> why task_0198c1 --json'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      default: 'last',
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Why);
    const loaded = await this.settings(flags);
    const { askWhy, whyText } = await import('../why.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const why = await askWhy(client, args.id);
      this.answer(flags, why, whyText(why, { columns: this.columns }));
    });
  }
}
