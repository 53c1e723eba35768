import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Diff extends CapybaraCommand {
  static override summary = 'Show what a session has changed in its files.';
  static override description =
    'A patch: coloured on a terminal, and as it is in a pipe, so that git apply takes it.';
  static override examples = [
    '<%= config.bin %> diff last',
    '<%= config.bin %> diff ses_0197 > changes.patch',
    '<%= config.bin %> diff last --branch agent/tests',
  ];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  static override flags = {
    bundle: Flags.string({
      description: 'Write it to a file instead, as a git bundle with one commit: for git fetch FILE.',
      helpValue: 'FILE',
      exclusive: ['branch'],
    }),
    force: Flags.boolean({ description: 'Write over a file that is there.' }),
    branch: Flags.string({
      description:
        'Make that commit a branch of the repository here, which is the one that the session began with.',
      helpValue: 'NAME',
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Diff);
    const loaded = await this.settings(flags);
    const [{ takeCommit }, { findSession }, { patchText }, { processTerminal }] = await Promise.all([
      import('../bundle.ts'),
      import('../find.ts'),
      import('../patch.ts'),
      import('../terminal.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id, workspace } = await findSession(client, args.id);
      const { bundle, branch } = flags;
      if (bundle !== undefined || branch !== undefined || flags.force) {
        const text = await takeCommit(client, { id, workspace }, flags);
        return this.answer(flags, { sessionId: id, bundle, branch }, text);
      }
      const patch = await client.diff(id);
      if (flags.json) return this.answer(flags, { sessionId: id, patch: patch.toString('utf8') }, '');
      const { style } = processTerminal({ noColor: loaded.config.noColor ?? false });
      process.stdout.write(style.isWatched ? patchText(patch, style) : patch);
    });
  }
}
