import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class WebhooksReplay extends CapybaraCommand {
  static override summary = 'Deliver something once more, under the same id.';
  static override examples = ['<%= config.bin %> webhooks replay dlv_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f'];
  static override args = {
    id: Args.string({
      description: 'dlv_…, as `webhooks deliveries` shows it, its beginning, or "last".',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(WebhooksReplay);
    const loaded = await this.settings(flags);
    const { replayDelivery } = await import('../../webhooks.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const delivery = await replayDelivery(client, args.id);
      this.say(flags, delivery, `${delivery.id} is on its way again\n`);
    });
  }
}
