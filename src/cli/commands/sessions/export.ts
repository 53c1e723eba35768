import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsExport extends CapybaraCommand {
  static override summary = 'Write a session down: to read, to keep, or to play it again without a model.';
  static override description =
    'The HTML is one file without scripts that loads nothing. With --recording it is what the model answered: a provider `{"kind": "replay", "file": FILE}` plays ' +
    'it, the same answers in the same order, without network or cost.';
  static override examples = [
    '<%= config.bin %> sessions export last --format md',
    '<%= config.bin %> sessions export ses_0197 --format html --output session.html',
    '<%= config.bin %> sessions export last --recording session.json',
  ];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    format: Flags.option({
      description: 'Markdown, JSON as the API has it, or HTML.',
      options: ['md', 'json', 'html'] as const,
      default: 'md',
      exclusive: ['recording'],
    })(),
    output: Flags.string({
      description: 'The file to write; the output where left out.',
      helpValue: 'FILE',
      exclusive: ['recording'],
    }),
    force: Flags.boolean({ description: 'Write over a file that is there.' }),
    recording: Flags.string({ description: 'The file to record the answers in.', helpValue: 'FILE' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsExport);
    const loaded = await this.settings(flags);
    const [{ findSession }, { exportSession }] = await Promise.all([
      import('../../find.ts'),
      import('../../export/export-session.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id } = await findSession(client, args.id);
      const { value, text } = await exportSession(client, id, flags);
      this.answer(flags, value, text);
    });
  }
}
