import { CapybaraCommand } from '../../command.ts';

export default class ApprovalsList extends CapybaraCommand {
  static override summary = 'List the questions that agents have for a person.';
  static override examples = ['<%= config.bin %> approvals list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(ApprovalsList);
    const loaded = await this.settings(flags);
    const { approvalText } = await import('../../whole-call.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const page = await client.approvals({ limit: 200 });
      const text = page.data
        .filter(({ status }) => status === 'open')
        .map((each) => approvalText(each, { columns: this.columns }))
        .join('\n');
      this.answer(flags, page, text === '' ? 'Nobody is asked anything.\n' : text);
    });
  }
}
