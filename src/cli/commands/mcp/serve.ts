import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';
import { tellPerson } from '../../sentences.ts';

export default class McpServe extends CapybaraCommand {
  static override summary = 'Be an MCP server on stdin and stdout: any MCP client hands work to Capybara.';
  static override description =
    'For the configuration of an MCP client, which starts this command and ends it by closing its stdin. It works with your key on your server; with ' +
    'none configured it joins the embedded Capybara, or starts it for the while: tasks that are not done then go on with the next. A server ' +
    'has the same at /mcp, for clients that speak HTTP. What is to be told beside the protocol is written to stderr.';
  static override examples = [
    '<%= config.bin %> mcp serve',
    '<%= config.bin %> mcp serve --url https://capybara.example',
  ];
  static override flags = {
    url: Flags.string({
      description: 'The server to use instead of the embedded Capybara.',
      helpValue: 'URL',
    }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(McpServe);
    const loaded = await this.settings(flags, { url: flags.url });
    const { serveMcp, startOptions } = await import('../../mcp-serve.ts');
    await this.withInterrupts(({ signal }) =>
      this.withConnection(loaded, { ...startOptions(loaded, tellPerson), signal }, (connection) =>
        serveMcp(connection, { config: loaded.config, signal }),
      ),
    );
  }
}
