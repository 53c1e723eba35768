import { setTimeout as delay } from 'node:timers/promises';
import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class WebhooksTest extends CapybaraCommand {
  static override summary = 'Send a test to a webhook, and say what it answered.';
  static override examples = ['<%= config.bin %> webhooks test whk_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f'];
  static override args = {
    id: Args.string({
      description: 'whk_…, as `webhooks list` shows it, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(WebhooksTest);
    const loaded = await this.settings(flags);
    const { testText, testWebhook } = await import('../../webhooks.ts');
    await this.withConnection(loaded, { start: 'kept' }, async ({ client }) => {
      const sent = await testWebhook(client, args.id, { everyMs: 250, forMs: 30_000, pause: delay });
      if (sent.status !== 'delivered') process.exitCode = 1;
      this.say(flags, sent, testText(sent));
    });
  }
}
