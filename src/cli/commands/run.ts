import { Flags } from '@oclif/core';
import { TaskCommand } from '../task-command.ts';
import { promptArg, taskFlags, watchFlags } from '../task-flags.ts';

export default class Run extends TaskCommand {
  static override summary = 'Give an agent a task and watch it until it is done.';
  static override description =
    'With no server configured the embedded Capybara does it: the one that runs here already, or one that is started for ' +
    'the while. A server works on a copy of this directory, which is sent first: what it did comes back with `capybara apply ID`. ' +
    'On a terminal a tool call is a line, with the diff of an edit and the last lines of a failure; `o` opens the last one, `o` again the one before. ' +
    'Ctrl-C leaves (the task is kept); Ctrl-C twice cancels the task. With --json each line is an event as the API has it, and where the task ends the ' +
    'last one is `{"task": …}`, the task; with --no-stream, too, it is the task alone.';
  static override examples = [
    '<%= config.bin %> run "make the failing test pass"',
    '<%= config.bin %> run --continue "now write the changelog" --details',
    '<%= config.bin %> run --detach "update the dependencies"',
    '$ git diff | <%= config.bin %> run - --limit turns=20',
  ];
  static override args = { prompt: promptArg };
  static override flags = {
    ...taskFlags,
    detach: Flags.boolean({
      description: 'Print the id of the task and leave it to a Capybara that runs, as `submit` does.',
      exclusive: ['record', 'details'],
    }),
    record: Flags.string({
      description:
        'Write what the model answered in this session to a file that a provider of kind replay plays.',
      helpValue: 'FILE',
    }),
    ...watchFlags,
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Run);
    const typed = await this.readTyped(args.prompt, flags);
    if (flags.detach) return this.submit(typed, flags);
    const { startOptions, watchTyped } = await import('../watch-typed.ts');
    process.exitCode = await this.withInterrupts((interrupts) =>
      this.withConnection(typed.loaded, { ...startOptions(typed), signal: interrupts.signal }, (connection) =>
        watchTyped(typed, { connection, interrupts, flags }),
      ),
    );
  }
}
