import { CapybaraCommand } from '../../command.ts';

export default class AgentsList extends CapybaraCommand {
  static override summary = 'List the agents, and what each may do.';
  static override examples = ['<%= config.bin %> agents list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(AgentsList);
    const loaded = await this.settings(flags);
    const { table } = await import('../../table.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const agents = await client.agents();
      const rows = agents.data.map(({ name, about, model, mode, writes, tools }) => [
        ...[name, writes ? 'yes' : 'no', mode, model ?? '(default)', String(tools.length), about],
      ]);
      this.answer(flags, agents, table(['NAME', 'WRITES', 'MODE', 'MODEL', 'TOOLS', 'WHAT IT IS FOR'], rows));
    });
  }
}
