import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class UsersRemove extends CapybaraCommand {
  static override summary = 'Somebody leaves your team: their keys open nothing any more.';
  static override examples = [
    '<%= config.bin %> users remove Ana',
    '<%= config.bin %> users remove usr_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f',
  ];
  static override args = {
    user: Args.string({
      description: 'A name, or usr_… as `users list` shows it.',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(UsersRemove);
    const loaded = await this.settings(flags);
    const { findUser } = await import('../../people.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const removed = await client.removeUser(await findUser(client, args.user));
      this.say(flags, removed, `${removed.id} has left\n`);
    });
  }
}
