import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class McpTest extends CapybaraCommand {
  static override summary =
    'Start an MCP server, or connect to it, as a worker does, and say what came of it.';
  static override description =
    'What it offers, as agents see it, and which of its tools are asked about; or why it cannot be used, and what to do. It sees the ' +
    'directory that you are in as it sees that of a session, none of its tools is called, and nothing of it is left. Exit code 1 where ' +
    'it cannot be used.';
  static override examples = ['<%= config.bin %> mcp test files', '<%= config.bin %> mcp test files --json'];
  static override args = {
    name: Args.string({ description: 'As `mcp list` shows it.', required: true, ignoreStdin: true }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(McpTest);
    const loaded = await this.settings(flags);
    const { config } = loaded;
    const [{ refuseTrial }, { configuredServer, stepAfter, trialText }, { saysOff }] = await Promise.all([
      import('../../team-mcp-servers.ts'),
      import('../../mcp-trial.ts'),
      import('../../mcp-servers.ts'),
    ]);
    refuseTrial(config);
    const settings = configuredServer(config, args.name);
    const { tryServer } = await import('../../../worker/mcp-trial.ts');
    const trial = await this.withInterrupts(({ signal }) =>
      tryServer(config, args.name, { directory: process.cwd(), signal }),
    );
    const step = trial.ok ? null : stepAfter(args.name, trial, settings);
    const answer = { server: args.name, enabled: config.mcp.enabled, ...trial, step };
    this.say(flags, answer, trialText(args.name, trial, settings));
    const off = saysOff(loaded, flags.profile);
    if (off !== undefined) this.tell(off);
    if (!trial.ok) process.exitCode = 1;
  }
}
