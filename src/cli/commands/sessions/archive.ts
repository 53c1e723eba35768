import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsArchive extends CapybaraCommand {
  static override summary = 'Put a session away: it takes no tasks, and lists leave it out.';
  static override description =
    'It stays as it is with all that was delegated below it, and can be read, exported and forked. --undo takes it back: with ' +
    '"last" the one that was archived last.';
  static override examples = [
    '<%= config.bin %> sessions archive ses_0197',
    '<%= config.bin %> sessions archive ses_0197 --undo',
  ];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    undo: Flags.boolean({ description: 'Take it out of the archive.' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsArchive);
    const loaded = await this.settings(flags);
    const { findArchived, findSession } = await import('../../find.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id, archivedAt } = await (flags.undo ? findArchived : findSession)(client, args.id);
      const session = await (flags.undo ? client.unarchiveSession(id) : client.archiveSession(id));
      const undone = archivedAt === null ? 'was not archived' : 'is back from the archive';
      const said = `is archived: take it back with capybara sessions archive ${id} --undo`;
      this.say(flags, session, `${id} ${flags.undo ? undone : said}\n`);
    });
  }
}
