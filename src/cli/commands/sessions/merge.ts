import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsMerge extends CapybaraCommand {
  static override summary = "Take another session's changes into a session, with a notice for its model.";
  static override description =
    'The files are merged three-way from where the two were one. A conflict is told, and neither side is lost; in a directory of your own ' +
    'nothing is changed where something does not fit.';
  static override examples = ['<%= config.bin %> sessions merge ses_0197 ses_0198'];
  static override args = {
    id: Args.string({
      description: 'The session that takes them in: ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
    from: Args.string({ description: 'The other session.', required: true, ignoreStdin: true }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsMerge);
    const loaded = await this.settings(flags);
    const [{ findSession }, { mergedText, mergeIn }] = await Promise.all([
      import('../../find.ts'),
      import('../../take-over.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const session = await findSession(client, args.id);
      const { id: from } = await findSession(client, args.from);
      const merged = await mergeIn(client, session, from);
      this.say(flags, merged, mergedText(merged));
    });
  }
}
