import { CapybaraCommand } from '../../command.ts';

export default class WebhooksList extends CapybaraCommand {
  static override summary = 'List where events are delivered.';
  static override examples = ['<%= config.bin %> webhooks list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(WebhooksList);
    const loaded = await this.settings(flags);
    const { webhooksText } = await import('../../webhooks.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const list = await client.webhooks({ limit: 200 });
      this.answer(flags, list, webhooksText(list.data));
    });
  }
}
