import { Args } from '@oclif/core';
import type { MergedSession } from '../../../api/wire.ts';
import { CapybaraCommand } from '../../command.ts';
import { neutralised } from '../../untrusted-text.ts';

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
    const [{ findSession }, { applyChanges, requireDirectory }, { readChanges }] = await Promise.all([
      import('../../find.ts'),
      import('../../apply/apply.ts'),
      import('../../apply/changes.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id, workspace } = await findSession(client, args.id);
      const { id: from } = await findSession(client, args.from);
      const directory = workspace.kind === 'local' ? workspace.path : null;
      // Files first: where this ends in between, the same command finds them as they should be, and does the rest.
      if (directory !== null) {
        requireDirectory(directory);
        await applyChanges(readChanges(await client.changes(from, { into: id })), directory);
      }
      const merged = await client.merge(id, { from, ...(directory !== null && { files: 'kept' as const }) });
      this.answer(flags, merged, told(merged));
    });
  }
}

function told({ sessionId, from, conflicts }: MergedSession): string {
  const lines = [`Merged ${from} into ${sessionId}.`];
  for (const { path, kind, keptAt } of conflicts)
    lines.push(
      `  conflict: ${neutralised(path)} (${kind}${keptAt ? `, the other one is ${neutralised(keptAt)}` : ''})`,
    );
  if (conflicts.length > 0) lines.push('Its model is told of them at its next turn.');
  return `${lines.join('\n')}\n`;
}
