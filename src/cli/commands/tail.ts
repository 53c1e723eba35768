import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';
import { tell } from '../sentences.ts';
import { watchFlags } from '../task-flags.ts';

export default class Tail extends CapybaraCommand {
  static override summary = 'Follow a task to its end, from anywhere, as often as you like.';
  static override description =
    'Shows the task from its beginning, whether it runs or is over; an embedded Capybara that does not run is started for ' +
    'the while. On a terminal `o` opens the last tool call into what it was given and what came of it, `o` again the one before. The exit code says how it ended: 0 done, 1 failed, ' +
    '5 a limit was reached, 4 a person is needed. With --json each line is an event as the API has it, and where the task ends the last one ' +
    'is `{"task": …}`, the task.';
  static override examples = ['<%= config.bin %> tail last', '<%= config.bin %> tail task_0198c1 --json'];
  static override args = {
    id: Args.string({
      description: 'task_…, ses_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    ...watchFlags,
    url: Flags.string({
      description: 'The server to use instead of the embedded Capybara.',
      helpValue: 'URL',
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Tail);
    const loaded = await this.settings(flags, { url: flags.url });
    const [{ tailTask }, { placeOf }] = await Promise.all([
      import('../run-task.ts'),
      import('../task-input.ts'),
    ]);
    const terminal = await this.terminal(loaded);
    const show = flags.stream ? (flags.json ? 'json' : 'text') : 'none';
    const onChange = (sentence: string) => tell(terminal, sentence);
    process.exitCode = await this.withInterrupts((interrupts) =>
      this.withConnection(loaded, { start: 'kept', onChange, signal: interrupts.signal }, (connection) =>
        tailTask(args.id, {
          ...{ connection, terminal, show, opensCalls: flags.details, json: flags.json, interrupts },
          directory: process.cwd(),
          sent: placeOf(loaded.config, process.cwd()),
        }),
      ),
    );
  }
}
