import { Args, Flags } from '@oclif/core';
import type { Applied } from '../apply/apply.ts';
import { CapybaraCommand } from '../command.ts';

export default class Apply extends CapybaraCommand {
  static override summary = 'Take over what a session has changed: apply it to the files of this directory.';
  static override description =
    'What was changed here meanwhile is kept: a file that both changed is merged line by line. Where that cannot be, it says which, and ' +
    'nothing at all is applied. Applying again does no harm.';
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
    const [{ findSession }, { applyChanges, checkDirectory }, { readChanges }, { resolve }] =
      await Promise.all([
        import('../find.ts'),
        import('../apply/apply.ts'),
        import('../apply/changes.ts'),
        import('node:path'),
      ]);
    const directory = resolve(flags.directory ?? '.');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id, workspace } = await findSession(client, args.id);
      const changes = readChanges(await client.changes(id));
      checkDirectory({ workspace, directory });
      const applied = await applyChanges(changes, directory);
      this.answer(
        flags,
        { sessionId: id, directory, files: applied.changed, ...applied },
        told(applied, directory),
      );
    });
  }
}

function told({ changed, already, merged }: Applied, directory: string): string {
  const files = (count: number) => `${count} ${count === 1 ? 'file' : 'files'}`;
  if (changed === 0)
    return already === 0 ? 'No changes.\n' : `Nothing to do: ${directory} has all changes already.\n`;
  const lines = [`Applied ${files(changed)} to ${directory}.`];
  if (already > 0) lines.push(`${files(already)} had the changes already.`);
  if (merged.length > 0) lines.push(`Merged with what was changed here: ${merged.join(', ')}.`);
  return `${lines.join('\n')}\n`;
}
