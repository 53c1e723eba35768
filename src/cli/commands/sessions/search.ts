import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsSearch extends CapybaraCommand {
  static override summary = 'Find sessions by what was said, what was answered, or their title.';
  static override description =
    'All words have to stand in one message, one answer or the title, in any case. "In quotes" they stand in this order; `or` and `-word` are understood. Any part of a title is found.';
  static override examples = [
    '<%= config.bin %> sessions search flaky test',
    '<%= config.bin %> sessions search \'"out of memory" -worker\' --archived',
  ];
  static override strict = false;
  static override args = {
    query: Args.string({ description: 'What to look for.', required: true, ignoreStdin: true }),
  };
  static override flags = {
    limit: Flags.integer({ description: 'How many.', helpValue: 'NUMBER', default: 20, min: 1, max: 200 }),
    archived: Flags.boolean({ description: 'Archived ones too.' }),
  };

  override async run(): Promise<void> {
    const { argv, flags } = await this.parse(SessionsSearch);
    const loaded = await this.settings(flags);
    const { foundText } = await import('../../found-sessions.ts');
    const { style } = await this.terminal(loaded);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const page = await client.sessions({
        q: argv.join(' '),
        limit: flags.limit,
        ...(flags.archived && { archived: 'true' }),
      });
      this.answer(flags, page, foundText(page.data, style));
    });
  }
}
