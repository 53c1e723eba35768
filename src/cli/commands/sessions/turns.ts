import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class SessionsTurns extends CapybaraCommand {
  static override summary = "List a session's turns, by the numbers that revert and fork take.";
  static override examples = ['<%= config.bin %> sessions turns last'];
  static override args = {
    id: Args.string({
      description: 'ses_…, task_…, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SessionsTurns);
    const loaded = await this.settings(flags);
    const [{ findSession }, { readTurns, turnsText }] = await Promise.all([
      import('../../find.ts'),
      import('../../turns.ts'),
    ]);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { id } = await findSession(client, args.id);
      const turns = await readTurns(client, id);
      this.answer(flags, { sessionId: id, turns }, turnsText(turns));
    });
  }
}
