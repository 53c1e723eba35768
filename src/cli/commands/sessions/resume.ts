import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';
import { tell } from '../../sentences.ts';

export default class SessionsResume extends CapybaraCommand {
  static override summary = 'Come back to a session: talk on with its agent, or follow its task in hand.';
  static override description =
    'On a terminal that can be drawn on it is opened as `chat` opens it. Elsewhere a task that is not finished is followed to its end, as `tail` does, with what it asks; where nothing is left to follow, the command that gives the session its next task is printed.';
  static override examples = ['<%= config.bin %> sessions resume last'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsResume);
    const loaded = await this.settings(flags);
    const [{ findSession }, { taskInHand, howToGoOn }, { EXIT, unlessLeft, watchTask }, { placeOf }] =
      await Promise.all([
        import('../../find.ts'),
        import('../../resume-session.ts'),
        import('../../run-task.ts'),
        import('../../task-input.ts'),
      ]);
    const terminal = await this.terminal(loaded);
    // Its argument and its flags are those of this one.
    if (!flags.json && terminal.screen && terminal.ask) return this.config.runCommand('chat', this.argv);
    const onChange = (sentence: string) => tell(terminal, sentence);
    process.exitCode = await this.withInterrupts((interrupts) =>
      this.withConnection(
        loaded,
        { start: 'kept', onChange, signal: interrupts.signal },
        async (connection) => {
          const found = await unlessLeft(interrupts.signal, async (signal) => {
            const client = connection.clientUntil(signal);
            const session = await findSession(client, args.id);
            return { session, task: await taskInHand(client, session) };
          });
          if (found === undefined) return EXIT.left;
          const { session, task } = found;
          if (task === undefined) {
            this.answer(flags, session, howToGoOn(session));
            return EXIT.done;
          }
          return watchTask(task, {
            ...{ connection, terminal, show: flags.json ? 'json' : 'text', json: flags.json, interrupts },
            directory: process.cwd(),
            sent: placeOf(loaded.config, process.cwd()),
          });
        },
      ),
    );
  }
}
