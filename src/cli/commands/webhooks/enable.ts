import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class WebhooksEnable extends CapybaraCommand {
  static override summary = 'Deliver to a webhook again that was disabled.';
  static override examples = ['<%= config.bin %> webhooks enable whk_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f'];
  static override args = {
    id: Args.string({
      description: 'whk_…, as `webhooks list` shows it, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(WebhooksEnable);
    const loaded = await this.settings(flags);
    const { enableWebhook } = await import('../../webhooks.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const webhook = await enableWebhook(client, args.id);
      this.say(flags, webhook, `${webhook.id} enabled\n`);
    });
  }
}
