import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsExport extends CapybaraCommand {
  static override summary =
    'Write what a session’s model answered, so that it can be played again without one.';
  static override description =
    'A provider `{"kind": "replay", "file": FILE}` plays it: the same answers in the same order, without network or cost.';
  static override examples = ['<%= config.bin %> sessions export last --recording session.json'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    recording: Flags.string({ description: 'The file to write.', helpValue: 'FILE', required: true }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsExport);
    const loaded = await this.settings(flags);
    const [{ findSession }, { answersText, writeRecording }] = await Promise.all([
      import('../../find.ts'),
      import('../../recording.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const session = await findSession(client, args.id);
      const answers = await writeRecording(client, session.id, flags.recording);
      const said = `Recorded ${answersText(answers)} of ${session.id} in ${flags.recording}.\n`;
      this.answer(flags, { sessionId: session.id, file: flags.recording, answers }, said);
    });
  }
}
