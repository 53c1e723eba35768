import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class WebhooksDeliveries extends CapybaraCommand {
  static override summary = 'List what was delivered, or is on its way, the newest first.';
  static override examples = [
    '<%= config.bin %> webhooks deliveries',
    '<%= config.bin %> webhooks deliveries whk_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f --status failed',
  ];
  static override args = {
    id: Args.string({
      description:
        'Of one webhook: whk_…, its beginning, or "last". Of all, and of tasks with URLs of their own, where not given.',
      ignoreStdin: true,
    }),
  };
  static override flags = {
    status: Flags.string({
      description: 'Only those of this status.',
      options: ['pending', 'delivered', 'failed'],
    }),
    limit: Flags.integer({ description: 'How many.', helpValue: 'NUMBER', default: 20, min: 1, max: 200 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(WebhooksDeliveries);
    const loaded = await this.settings(flags);
    const { deliveries, deliveriesText } = await import('../../webhooks.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { limit, status } = flags;
      const list = await deliveries(client, args.id, { limit, status });
      this.answer(flags, list, deliveriesText(list.data));
    });
  }
}
