import { CapybaraCommand } from '../../command.ts';

export default class AgentsList extends CapybaraCommand {
  static override summary = 'List the agents, and what each may do.';
  static override examples = ['<%= config.bin %> agents list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(AgentsList);
    const loaded = await this.settings(flags);
    const { table } = await import('../../table.ts');
    const agents = await this.#agents(loaded);
    const rows = agents.data.map(({ name, about, model, mode, writes, tools, servers }) => [
      ...[
        name,
        writes ? 'yes' : 'no',
        mode,
        model ?? '(default)',
        String(tools.length),
        servers.join(' ') || 'none',
        about,
      ],
    ]);
    this.answer(
      flags,
      agents,
      table(['NAME', 'WRITES', 'MODE', 'MODEL', 'TOOLS', 'MCP SERVERS', 'WHAT IT IS FOR'], rows),
    );
  }

  /** Before anything has run here they are those of the settings. */
  async #agents(loaded: Awaited<ReturnType<CapybaraCommand['settings']>>) {
    try {
      return await this.withConnection(loaded, { start: 'answering' }, ({ client }) => client.agents());
    } catch (error) {
      const { UserError } = await import('../../../core/errors.ts');
      if (!(error instanceof UserError) || error.code !== 'no_server') throw error;
      const { agentsHere } = await import('../../../api/main.ts');
      return agentsHere(loaded.config);
    }
  }
}
