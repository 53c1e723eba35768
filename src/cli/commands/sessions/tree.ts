import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsTree extends CapybaraCommand {
  static override summary = 'Show what a session and everything it has delegated to do now.';
  static override description =
    'Each agent with its state, for how long its task runs and what it has cost. `run` and `tail` show the same as it changes. Below it the ids by which `tail`, `tasks` and the others take each of them, and what each has used, and all.';
  static override examples = ['<%= config.bin %> sessions tree last'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsTree);
    const loaded = await this.settings(flags);
    const [{ findSession }, { flowLines }, { treeTable }] = await Promise.all([
      import('../../find.ts'),
      import('../../flow/flow-lines.ts'),
      import('../../flow/tree-table.ts'),
    ]);
    const { style } = await this.terminal(loaded);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id } = await findSession(client, args.id);
      const tree = await client.tree(id);
      const more = tree.more ? ['There are more sessions below it than are shown.'] : [];
      this.answer(
        flags,
        tree,
        `${[...flowLines(tree, { style }), ...more].join('\n')}\n${treeTable(tree, style)}`,
      );
    });
  }
}
