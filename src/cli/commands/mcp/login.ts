import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class McpLogin extends CapybaraCommand {
  static override summary = 'Sign your team in at an MCP server that lets nobody else pass (OAuth).';
  static override description =
    'You go on in a browser. What you sign in with is kept encrypted, renewed by the workers, and used by all agents of your team.';
  static override examples = [
    '<%= config.bin %> mcp login search',
    '<%= config.bin %> mcp login search --port 8765 --no-browser',
  ];
  static override args = {
    name: Args.string({ description: 'As `mcp list` shows it.', required: true, ignoreStdin: true }),
  };
  static override flags = {
    port: Flags.integer({
      description: 'Where the browser comes back to on this machine; a free one where left out.',
      min: 1,
      max: 65_535,
    }),
    browser: Flags.boolean({
      description: 'Open a browser; on a terminal one is opened anyway.',
      allowNo: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(McpLogin);
    const loaded = await this.settings(flags);
    const { loggedInText, logIn } = await import('../../mcp-login.ts');
    await this.withInterrupts(({ signal }) =>
      this.withConnection(loaded, { start: 'keeping' }, async ({ client }) => {
        const { stdin } = process;
        const browsing = {
          port: flags.port ?? 0,
          opens: flags.browser ?? (stdin.isTTY && process.stderr.isTTY),
          signal,
        };
        const input = stdin.isTTY ? stdin : undefined;
        const tell = (sentence: string) => this.tell(sentence);
        const signedIn = await logIn(client, args.name, { ...browsing, input, tell });
        this.say(flags, signedIn, loggedInText(signedIn));
      }),
    );
  }
}
