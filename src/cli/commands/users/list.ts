import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class UsersList extends CapybaraCommand {
  static override summary = "List your team's people, the newest first.";
  static override examples = ['<%= config.bin %> users list'];
  static override flags = {
    limit: Flags.integer({ description: 'How many.', helpValue: 'NUMBER', default: 50, min: 1, max: 200 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(UsersList);
    const loaded = await this.settings(flags);
    const { usersTable } = await import('../../people.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const page = await client.users({ limit: flags.limit });
      this.answer(flags, page, usersTable(page));
    });
  }
}
