import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class UsersAdd extends CapybaraCommand {
  static override summary = 'Add somebody to your team. They need a key: `keys create` makes one.';
  static override examples = ['<%= config.bin %> users add Ana'];
  static override args = {
    name: Args.string({
      description: 'What they are called; nobody else in the team is.',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(UsersAdd);
    const loaded = await this.settings(flags);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const user = await client.createUser({ name: args.name });
      const next = `capybara keys create NAME --user ${user.id}`;
      this.say(flags, user, `${user.id}\nMake them a key: ${next}\n`);
    });
  }
}
