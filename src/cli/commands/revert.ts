import { Args, Flags } from '@oclif/core';
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
    const [{ findSession }, { takeBack, takenBackText }] = await Promise.all([
      import('../find.ts'),
      import('../take-over.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { reverted, applied } = await takeBack(client, await findSession(client, args.id), flags.to);
      this.say(flags, { ...reverted, ...(applied && { applied }) }, takenBackText(flags.to, applied));
    });
  }
}
