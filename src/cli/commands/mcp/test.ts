import { Args } from '@oclif/core';
import type { LoadedConfig } from '../../../config.ts';
import { UserError } from '../../../core/errors.ts';
import { CapybaraCommand } from '../../command.ts';
import type { Trial } from '../../mcp-trial.ts';

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
    const [{ configuredServer, stepAfter, trialText }, { saysOff }] = await Promise.all([
      import('../../mcp-trial.ts'),
      import('../../mcp-servers.ts'),
    ]);
    const isHere = config.url === undefined;
    const settings = isHere ? configuredServer(config, args.name) : undefined;
    const trial = await this.withInterrupts(({ signal }) => this.#trial(args.name, loaded, signal));
    const step = trial.ok ? null : stepAfter(args.name, trial, settings);
    const answer = { server: args.name, ...(isHere && { enabled: config.mcp.enabled }), ...trial, step };
    this.say(flags, answer, trialText(args.name, trial, settings));
    const off = isHere ? saysOff(loaded, flags.profile) : undefined;
    if (off !== undefined) this.tell(off);
    if (!trial.ok) process.exitCode = 1;
  }

  /** What the team has signed in with is known where the API is. */
  async #trial(name: string, loaded: LoadedConfig, signal: AbortSignal): Promise<Trial> {
    const there = { start: 'answering', signal } as const;
    const byApi = () =>
      this.withConnection(loaded, there, (to) => to.clientUntil(signal).testMcpServer(name));
    if (loaded.config.url !== undefined) return byApi();
    const { tryServer } = await import('../../../worker/mcp-trial.ts');
    const trial = await tryServer(loaded.config, name, { directory: process.cwd(), signal });
    if (trial.ok || !trial.isGuarded) return trial;
    return byApi().catch((error) => {
      if (error instanceof UserError && error.code === 'no_server') return trial;
      throw error;
    });
  }
}
