import { Args, Flags } from '@oclif/core';
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
    directory: Flags.string({
      description:
        'Where to apply it; this directory where left out. The roots of a session that has several go back to where they were sent from, or ' +
        'into directories of their names in this one.',
      helpValue: 'DIRECTORY',
    }),
    root: Flags.string({
      description: 'Where the changes of one root go. May be given several times.',
      helpValue: 'NAME=DIRECTORY',
      multiple: true,
      multipleNonGreedy: true,
      exclusive: ['directory'],
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Apply);
    const loaded = await this.settings(flags);
    const [{ findSession }, { appliedText, applyHere }, { resolve }] = await Promise.all([
      import('../find.ts'),
      import('../take-over.ts'),
      import('node:path'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const directory = flags.directory === undefined ? undefined : resolve(flags.directory);
      const { dataDir } = loaded.config;
      const here = { directory, roots: flags.root ?? [], dataDir, cwd: process.cwd() };
      const taken = await applyHere(client, await findSession(client, args.id), here);
      this.say(flags, taken, appliedText(taken));
    });
  }
}
