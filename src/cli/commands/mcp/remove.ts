import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class McpRemove extends CapybaraCommand {
  static override summary =
    'Remove an MCP server, and its keys, from your config.yaml; with a server, from your team there.';
  static override examples = ['<%= config.bin %> mcp remove files'];
  static override args = {
    name: Args.string({ description: 'As `mcp list` shows it.', required: true, ignoreStdin: true }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(McpRemove);
    const loaded = await this.settings(flags);
    const [{ settingsPlace }, { isGuardable, removeServer }, { removeThere }] = await Promise.all([
      import('../../provider-settings.ts'),
      import('../../mcp-servers.ts'),
      import('../../team-mcp-servers.ts'),
    ]);
    const { config } = loaded;
    if (config.url !== undefined) {
      const { answer, text } = await this.withConnection(loaded, { start: false }, ({ client }) =>
        removeThere(args.name, { client, config }),
      );
      return this.say(flags, answer, text);
    }
    const place = settingsPlace(flags.profile);
    removeServer(place, args.name, loaded);
    const done = `${args.name} removed from ${place.file}. A Capybara that runs has it until its next start.\n`;
    this.say(flags, { server: args.name, file: place.file }, done);
    if (isGuardable(loaded.config, args.name))
      this.tell(`Where somebody has signed in there, \`capybara mcp logout ${args.name}\` forgets it.`);
  }
}
