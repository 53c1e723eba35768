import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';
import { MCP_FLAGS } from '../../mcp-flags.ts';

export default class McpAdd extends CapybaraCommand {
  static override summary =
    'Add an MCP server, whose tools agents use as NAME__TOOL, to your config.yaml; with a server, to your team there.';
  static override description =
    'Behind -- stands the command that starts one, which is confined as those of agents are; --url says where one runs. Every process ' +
    'may read an argument: a key is better named than said, --env NAME or --header NAME.';
  static override usage = [
    'mcp add NAME [FLAGS] -- COMMAND [ARGUMENT...]',
    "mcp add NAME --url URL [--header 'NAME: VALUE'...] [FLAGS]",
  ];
  static override examples = [
    '<%= config.bin %> mcp add files --workspace write -- npx -y @modelcontextprotocol/server-filesystem .',
    '<%= config.bin %> mcp add forge --env FORGE_TOKEN --host forge.example -- forge-mcp --stdio',
    'echo "Bearer $KEY" | <%= config.bin %> mcp add search --url https://mcp.example/mcp --header Authorization --tool "find_*"',
  ];
  static override strict = false;
  static override args = {
    name: Args.string({ description: 'What it is called here.', required: true, ignoreStdin: true }),
  };
  static override flags = MCP_FLAGS;

  override async run(): Promise<void> {
    const { args, flags, raw } = await this.parse(McpAdd);
    const loaded = await this.settings(flags);
    const { config } = loaded;
    const [{ addTypedServer }, { addThere }, { EXIT }] = await Promise.all([
      import('../../added-mcp-server.ts'),
      import('../../team-mcp-servers.ts'),
      import('../../run-task.ts'),
    ]);
    // `argv` is sorted by what else was typed.
    const [, ...words] = raw.flatMap(({ type, input }) => (type === 'arg' ? [input] : []));
    const added =
      config.url === undefined
        ? await addTypedServer(args.name, words, flags)
        : await this.withConnection(loaded, { start: false }, ({ client }) =>
            addThere(args.name, words, { flags, client, config }),
          );
    if (added === undefined) {
      process.exitCode = EXIT.left;
      return this.tell('Nothing was changed.');
    }
    const { answer, done, remarks } = added;
    this.say(flags, answer, `${done}\n`);
    for (const remark of remarks) this.tell(remark);
  }
}
