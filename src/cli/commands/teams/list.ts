import { CapybaraCommand } from '../../command.ts';

export default class TeamsList extends CapybaraCommand {
  static override summary = 'Show your team; every team where yours runs this Capybara.';
  static override examples = ['<%= config.bin %> teams list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(TeamsList);
    const loaded = await this.settings(flags);
    const { teamsTable } = await import('../../people.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const teams = await client.teams();
      this.answer(flags, teams, teamsTable(teams.data));
    });
  }
}
