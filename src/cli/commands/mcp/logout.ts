import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class McpLogout extends CapybaraCommand {
  static override summary = 'Forget what your team has signed in with at an MCP server.';
  static override description = 'Capybara forgets it; at the server it stays good until it ends there.';
  static override examples = ['<%= config.bin %> mcp logout search'];
  static override args = {
    name: Args.string({ description: 'As `mcp list` shows it.', required: true, ignoreStdin: true }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(McpLogout);
    const loaded = await this.settings(flags);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const left = await client.removeMcpSignIn(args.name);
      this.say(flags, left, `Signed out at ${left.server}.\n`);
    });
  }
}
