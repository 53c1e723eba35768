import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';
import { table } from '../../table.ts';

export default class SessionsList extends CapybaraCommand {
  static override summary = 'List sessions, the newest first.';
  static override examples = [
    '<%= config.bin %> sessions list --limit 5',
    '<%= config.bin %> sessions list --archived',
  ];
  static override flags = {
    limit: Flags.integer({ description: 'How many.', helpValue: 'NUMBER', default: 20, min: 1, max: 200 }),
    archived: Flags.boolean({ description: 'Archived ones too.' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(SessionsList);
    const loaded = await this.settings(flags);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const page = await client.sessions({
        limit: flags.limit,
        ...(flags.archived && { archived: 'true' }),
      });
      const rows = page.data.map(({ id, state, createdAt, workspace, title, archivedAt }) => [
        id,
        archivedAt === null ? state : 'archived',
        createdAt,
        workspace.path ?? workspace.roots?.map(({ name }) => name).join(' ') ?? workspace.kind,
        title,
      ]);
      const heading = ['ID', 'STATE', 'CREATED', 'WORKSPACE', 'TITLE'];
      this.answer(flags, page, rows.length === 0 ? 'No sessions.\n' : table(heading, rows));
    });
  }
}
