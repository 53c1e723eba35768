import { Args } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Diff extends CapybaraCommand {
  static override summary = 'Show what a session has changed in its files.';
  static override description =
    'A patch: coloured on a terminal, and as it is in a pipe, so that git apply takes it.';
  static override examples = [
    '<%= config.bin %> diff last',
    '<%= config.bin %> diff ses_0197 > changes.patch',
  ];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Diff);
    const loaded = await this.settings(flags);
    const [{ findSession }, { patchText }, { processTerminal }] = await Promise.all([
      import('../find.ts'),
      import('../patch.ts'),
      import('../terminal.ts'),
    ]);
    await this.withConnection(loaded, { start: 'kept' }, async ({ client }) => {
      const { id } = await findSession(client, args.id);
      const patch = await client.diff(id);
      if (flags.json) return this.answer(flags, { sessionId: id, patch: patch.toString('utf8') }, '');
      const { style } = processTerminal({ noColor: loaded.config.noColor ?? false });
      process.stdout.write(style.isWatched ? patchText(patch, style) : patch);
    });
  }
}
