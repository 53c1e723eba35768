import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Audit extends CapybaraCommand {
  static override summary = 'List who in your team asked for what that changes something, the newest first.';
  static override examples = [
    '<%= config.bin %> audit --user Ana',
    '<%= config.bin %> audit --about ses_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f --json',
  ];
  static override flags = {
    user: Flags.string({ description: 'Only what this person did: usr_… or a name.', helpValue: 'USER' }),
    about: Flags.string({
      description: 'Only what was done to this: the whole id of a session, a task, a key.',
      helpValue: 'ID',
    }),
    limit: Flags.integer({ description: 'How many.', helpValue: 'NUMBER', default: 50, min: 1, max: 200 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Audit);
    const loaded = await this.settings(flags);
    const { auditTable, findUser } = await import('../people.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const userId = flags.user === undefined ? undefined : await findUser(client, flags.user);
      const page = await client.audit({ limit: flags.limit, userId, subject: flags.about });
      this.answer(flags, page, auditTable(page));
    });
  }
}
