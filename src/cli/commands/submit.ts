import { Args } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';
import { settingsOf, taskFlags } from '../task-flags.ts';

export default class Submit extends CapybaraCommand {
  static override summary = 'Give an agent a task and print its id.';
  static override description =
    'The task is kept from the moment its id is printed. Follow it with `capybara tail ID`. A server works on a copy of this ' +
    'directory, which is sent first: what it did comes back with `capybara apply ID`.';
  static override examples = [
    '<%= config.bin %> submit "update the dependencies and make the tests pass"',
    '<%= config.bin %> submit - --workspace empty < task.md',
  ];
  static override args = {
    prompt: Args.string({
      description: 'What to do, in quotes; "-" reads it from stdin.',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = taskFlags;

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Submit);
    const loaded = await this.settings(flags, settingsOf(flags));
    const [{ readPrompt, readTask }, { dimLines, submitTask }, { ruleWarning }] = await Promise.all([
      import('../task-input.ts'),
      import('../run-task.ts'),
      import('../rule-warning.ts'),
    ]);
    const prompt = await readPrompt(args.prompt, process.stdin);
    const request = readTask(prompt, { flags, config: loaded.config, cwd: process.cwd() });
    const terminal = await this.terminal(loaded);
    const warning = ruleWarning(loaded.config, request);
    if (warning !== undefined) terminal.err(`${warning}\n`);
    const tell = flags.json ? undefined : dimLines(terminal);
    await this.withConnection(loaded, { start: false }, async (connection) => {
      const task = await submitTask(request, connection, { tell, isWatched: terminal.style.isWatched });
      this.answer(flags, task, `${task.id}\n`);
    });
  }
}
