import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class TeamsCreate extends CapybaraCommand {
  static override summary = 'Make a team, with its first person and a key of theirs, printed this once.';
  static override description =
    'For administrators of the team that runs this Capybara. The key alone goes to standard output.';
  static override examples = ['<%= config.bin %> teams create design --user Ana'];
  static override args = {
    name: Args.string({ description: 'What the team is called.', required: true, ignoreStdin: true }),
  };
  static override flags = {
    user: Flags.string({
      description: 'Its first person, who administrates it.',
      helpValue: 'NAME',
      required: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(TeamsCreate);
    const loaded = await this.settings(flags);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const team = await client.createTeam({ name: args.name, userName: flags.user });
      this.answer(flags, team, `${team.apiKey}\n`);
      if (flags.json) return;
      this.tell(
        `Team ${team.id} with ${team.userId}; the key is for everything: keep it, it is not shown again.`,
      );
    });
  }
}
