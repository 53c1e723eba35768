import { Args, Flags } from '@oclif/core';
import type { Config } from '../../config.ts';
import { CapybaraCommand } from '../command.ts';
import { settingsOf, taskFlags, watchFlags } from '../task-flags.ts';

export default class Run extends CapybaraCommand {
  static override summary = 'Give an agent a task and watch it until it is done.';
  static override description =
    'With no server configured the embedded Capybara does it: the one that runs here already, or one that is started for ' +
    'the while. A server works on a copy of this directory, which is sent first: what it did comes back with `capybara apply ID`. ' +
    'On a terminal a tool call is a line, with the diff of an edit and the last lines of a failure; `o` opens the last one, `o` again the one before. ' +
    'Ctrl-C leaves (the task is kept); Ctrl-C twice cancels the task.';
  static override examples = [
    '<%= config.bin %> run "make the failing test pass"',
    '<%= config.bin %> run --continue "now write the changelog" --details',
    '$ git diff | <%= config.bin %> run - --limit turns=20',
  ];
  static override args = {
    prompt: Args.string({
      description: 'What to do, in quotes; "-" reads it from stdin.',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    ...taskFlags,
    record: Flags.string({
      description:
        'Write what the model answered in this session to a file that a provider of kind replay plays.',
      helpValue: 'FILE',
    }),
    ...watchFlags,
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Run);
    const loaded = await this.settings(flags, settingsOf(flags));
    const [{ readPrompt, readTask }, { runTask }, { ruleWarning }] = await Promise.all([
      import('../task-input.ts'),
      import('../run-task.ts'),
      import('../rule-warning.ts'),
    ]);
    const prompt = await readPrompt(args.prompt, process.stdin);
    const request = readTask(prompt, { flags, config: loaded.config, cwd: process.cwd() });
    const { answersText, checkWritable, writeRecording } = await import('../recording.ts');
    if (flags.record !== undefined) await checkWritable(flags.record);
    const terminal = await this.terminal(loaded);
    const port = loaded.sources.port.kind === 'default' ? { port: 0 } : {};
    const onChange = (sentence: string) => terminal.err(`${sentence}\n`);
    const warning = ruleWarning(loaded.config, request);
    if (warning !== undefined) onChange(warning);
    const check = async (config: Config) =>
      (await import('../../api/main.ts')).checkTask(config, request.body);
    const show = flags.stream ? (flags.json ? 'json' : 'text') : 'none';
    process.exitCode = await this.withInterrupts((interrupts) =>
      this.withConnection(loaded, { start: true, ...port, check, onChange }, (connection) =>
        runTask(request, {
          connection,
          terminal,
          show,
          opensCalls: flags.details,
          json: flags.json,
          interrupts,
          directory: process.cwd(),
          onEnd: async ({ sessionId }) => {
            if (flags.record === undefined) return;
            const answers = await writeRecording(connection.client, sessionId, flags.record);
            onChange(`Recorded ${answersText(answers)} in ${flags.record}.`);
          },
        }),
      ),
    );
  }
}
