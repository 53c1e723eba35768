import type { LoadedConfig } from '../../../config.ts';
import { UserError } from '../../../core/errors.ts';
import { CapybaraCommand, type GlobalFlags } from '../../command.ts';
import { table } from '../../table.ts';

export default class McpList extends CapybaraCommand {
  static override summary =
    "List the MCP servers that are configured; with a server, those there and your team's. Keys are not shown.";
  static override description =
    'Of a command its program, of an address its origin: keys are put into the rest. FILES is what it may do with those of a session.';
  static override examples = ['<%= config.bin %> mcp list', '<%= config.bin %> mcp list --json'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(McpList);
    const loaded = await this.settings(flags);
    if (loaded.config.url !== undefined) return this.#listThere(flags, loaded);
    const there = await import('../../mcp-servers.ts');
    const {
      listedServers,
      saysOff,
      saysNotAllowed,
      SERVER_HEADING,
      serverRow,
      serversOfProject,
      withSignIns,
    } = there;
    const all = [...listedServers(loaded), ...serversOfProject(loaded, process.cwd())];
    const known = all.some(({ kind }) => kind === 'url') ? await this.#signIns(loaded) : undefined;
    const servers = known === undefined ? all : withSignIns(all, known);
    const none = 'No MCP server is configured: `capybara mcp add NAME` adds one.\n';
    const text = servers.length === 0 ? none : table(SERVER_HEADING, servers.map(serverRow));
    this.answer(flags, { enabled: loaded.config.mcp.enabled, servers }, text);
    const remarks = servers.length === 0 ? [] : [saysOff(loaded, flags.profile), saysNotAllowed(servers)];
    for (const remark of remarks) if (remark !== undefined) this.tell(remark);
  }

  /** Where none runs, nobody is asked: undefined. */
  async #signIns(loaded: LoadedConfig) {
    const asked = this.withConnection(loaded, { start: false }, ({ client }) => client.mcpServers());
    const { data } = await asked.catch((error) => {
      if (error instanceof UserError) return { data: undefined };
      throw error;
    });
    return data && new Map(data.map(({ server, signIn }) => [server, signIn]));
  }

  async #listThere(flags: GlobalFlags, loaded: LoadedConfig): Promise<void> {
    const { serversThere } = await import('../../team-mcp-servers.ts');
    const { config } = loaded;
    const { answer, text, remarks } = await this.withConnection(loaded, { start: false }, ({ client }) =>
      serversThere({ client, config }),
    );
    this.answer(flags, answer, text);
    for (const remark of remarks) this.tell(remark);
  }
}
