import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Apply extends CapybaraCommand {
  static override summary = 'Take over what a session has changed: apply it to the files of this directory.';
  static override description =
    'All of it is applied, or nothing: where a file here is not what the changes begin with, it says which.';
  static override examples = [
    '<%= config.bin %> apply last',
    '<%= config.bin %> apply ses_0197 --directory ../copy',
  ];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    directory: Flags.string({ description: 'Where to apply it; this directory where left out.' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Apply);
    const loaded = await this.settings(flags);
    const [{ findSession }, { applyPatch, changesIn }, { resolve }] = await Promise.all([
      import('../find.ts'),
      import('../patch.ts'),
      import('node:path'),
    ]);
    const directory = resolve(flags.directory ?? '.');
    await this.withConnection(loaded, { start: 'kept' }, async ({ client }) => {
      const { id, workspace } = await findSession(client, args.id);
      const patch = await client.diff(id);
      const files = changesIn(patch, { workspace, directory });
      if (files > 0) await applyPatch(patch, directory);
      const text =
        files === 0
          ? 'No changes.\n'
          : `Applied ${files} ${files === 1 ? 'file' : 'files'} to ${directory}.\n`;
      this.answer(flags, { sessionId: id, directory, files }, text);
    });
  }
}
