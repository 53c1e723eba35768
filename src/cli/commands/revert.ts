import { Args, Flags } from '@oclif/core';
import type { Applied } from '../apply/apply.ts';
import type { FileChange } from '../apply/changes.ts';
import { CapybaraCommand } from '../command.ts';

export default class Revert extends CapybaraCommand {
  static override summary = 'Take a session back to the end of an earlier turn, with its files.';
  static override description =
    'Turns are the answers of the whole log, counted from 1; 0 is before the first. Nothing is lost: a later turn can be gone to again. ' +
    'In a directory of your own what you changed since is kept, or it says what does not fit and changes nothing.';
  static override examples = ['<%= config.bin %> revert last --to 3'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    to: Flags.integer({ description: 'The turn.', helpValue: 'TURN', required: true, min: 0 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Revert);
    const loaded = await this.settings(flags);
    const [{ findSession }, { applyChanges, requireDirectory }, { readChanges }] = await Promise.all([
      import('../find.ts'),
      import('../apply/apply.ts'),
      import('../apply/changes.ts'),
    ]);
    const putBack = (directory: string, changes: readonly FileChange[]) => {
      requireDirectory(directory);
      return applyChanges(changes, directory);
    };
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id, workspace } = await findSession(client, args.id);
      const turn = flags.to;
      // Files first: where this ends in between, the same command finds them as they should be, and does the rest.
      const applied =
        workspace.kind === 'local' && workspace.path !== null
          ? await putBack(workspace.path, readChanges(await client.changes(id, { turn })))
          : undefined;
      const reverted = await client.revert(id, { turn, ...(applied && { files: 'kept' as const }) });
      this.answer(flags, { ...reverted, ...(applied && { applied }) }, told(turn, applied));
    });
  }
}

function told(turn: number, applied: Applied | undefined): string {
  const back = turn === 0 ? 'the beginning' : `the end of turn ${turn}`;
  const lines = [`The session and its files are back at ${back}.`];
  if (applied && applied.merged.length > 0)
    lines.push(`Merged with what you changed since: ${applied.merged.join(', ')}.`);
  return `${lines.join('\n')}\n`;
}
