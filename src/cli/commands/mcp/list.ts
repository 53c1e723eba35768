import { CapybaraCommand } from '../../command.ts';
import { table } from '../../table.ts';

export default class McpList extends CapybaraCommand {
  static override summary = 'List the MCP servers that are configured; keys are not shown.';
  static override description =
    'Of a command its program, of an address its origin: keys are put into the rest. FILES is what it may do with those of a session.';
  static override examples = ['<%= config.bin %> mcp list', '<%= config.bin %> mcp list --json'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(McpList);
    const loaded = await this.settings(flags);
    const [{ refuseForServer }, { listedServers, saysOff, SERVER_HEADING, serverRow }] = await Promise.all([
      import('../../provider-settings.ts'),
      import('../../mcp-servers.ts'),
    ]);
    refuseForServer(loaded.config, 'MCP servers');
    const servers = listedServers(loaded);
    const none = 'No MCP server is configured: `capybara mcp add NAME` adds one.\n';
    const text = servers.length === 0 ? none : table(SERVER_HEADING, servers.map(serverRow));
    this.answer(flags, { enabled: loaded.config.mcp.enabled, servers }, text);
    const off = saysOff(loaded, flags.profile);
    if (off !== undefined && servers.length > 0) this.tell(off);
  }
}
