import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class KeysList extends CapybaraCommand {
  static override summary = "List your team's keys that were not revoked, the newest first.";
  static override examples = ['<%= config.bin %> keys list', '<%= config.bin %> keys list --json'];
  static override flags = {
    limit: Flags.integer({ description: 'How many.', helpValue: 'NUMBER', default: 50, min: 1, max: 200 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(KeysList);
    const loaded = await this.settings(flags);
    const { keysTable } = await import('../../people.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const page = await client.keys({ limit: flags.limit });
      this.answer(flags, page, keysTable(page));
    });
  }
}
