import { CapybaraCommand } from '../../command.ts';
import { table } from '../../table.ts';

export default class ApprovalsList extends CapybaraCommand {
  static override summary = 'List the questions that agents have for a person.';
  static override examples = ['<%= config.bin %> approvals list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(ApprovalsList);
    const loaded = await this.settings(flags);
    const { callSummary } = await import('../../call-summary.ts');
    await this.withConnection(loaded, { start: 'kept' }, async ({ client }) => {
      const page = await client.approvals({ limit: 200 });
      const rows = page.data
        .filter(({ status }) => status === 'open')
        .map((each) => [each.id, each.createdAt, callSummary(each.tool, each.arguments), each.taskId]);
      const text =
        rows.length === 0 ? 'Nobody is asked anything.\n' : table(['ID', 'ASKED', 'CALL', 'TASK'], rows);
      this.answer(flags, page, text);
    });
  }
}
