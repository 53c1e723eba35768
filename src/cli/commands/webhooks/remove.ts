import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class WebhooksRemove extends CapybaraCommand {
  static override summary = 'Remove a webhook: what is on its way there has failed.';
  static override examples = ['<%= config.bin %> webhooks remove whk_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f'];
  static override args = {
    id: Args.string({
      description: 'whk_…, as `webhooks list` shows it, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(WebhooksRemove);
    const loaded = await this.settings(flags);
    const { findWebhook } = await import('../../webhooks.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const removed = await client.removeWebhook((await findWebhook(client, args.id)).id);
      this.say(flags, removed, `${removed.id} removed\n`);
    });
  }
}
