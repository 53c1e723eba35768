import { Args } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';
import { settingsOf, taskFlags } from '../task-flags.ts';

const { attach: _, session: __, root: ___, ...chatFlags } = taskFlags;

export default class Chat extends CapybaraCommand {
  static override summary = 'Talk to agents: say what is to be done, watch, steer, answer, look, and go on.';
  static override description =
    'Without an ID the first message begins a session in this directory. Several people, or terminals, may be in one session. What you ' +
    'send while the agent works is read with its next turn. Leaving ends nothing: `capybara chat ID` comes back. /help says what there is. ' +
    'In a pipe, or on a terminal that only prints, use `capybara run`.';
  static override examples = [
    '<%= config.bin %> chat',
    '<%= config.bin %> chat last',
    '<%= config.bin %> chat ses_0197 --model openai/gpt-5.5 --mode safe',
  ];
  static override args = {
    id: Args.string({ description: 'ses_…, task_…, its beginning, or "last".', ignoreStdin: true }),
  };
  static override flags = chatFlags;

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Chat);
    const loaded = await this.settings(flags, settingsOf(flags));
    const { startChat } = await import('../chat/start-chat.ts');
    const terminal = await this.terminal(loaded);
    const port = loaded.sources.port.kind === 'default' ? { port: 0 } : {};
    process.exitCode = await this.withInterrupts(({ signal }) =>
      startChat(
        { id: args.id, flags, config: loaded.config, cwd: process.cwd(), terminal, json: flags.json, signal },
        (options, use) => this.withConnection(loaded, { start: true, ...port, ...options, signal }, use),
      ),
    );
  }
}
