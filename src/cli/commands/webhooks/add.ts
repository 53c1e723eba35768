import { Args, Flags } from '@oclif/core';
import { EVENT_TYPES, type EventType } from '../../../core/event.ts';
import { CapybaraCommand } from '../../command.ts';

export default class WebhooksAdd extends CapybaraCommand {
  static override summary = 'Have events delivered to a URL, signed.';
  static override examples = [
    '<%= config.bin %> webhooks add https://hooks.example/capybara',
    '<%= config.bin %> webhooks add https://hooks.example/capybara --event task.succeeded --event task.failed',
  ];
  static override args = {
    url: Args.string({
      description: 'Where to: https, or what the setting webhooks.allow names.',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    event: Flags.string({
      description: 'A type of event; as often as you like. All where not given.',
      helpValue: 'TYPE',
      options: EVENT_TYPES,
      multiple: true,
    }),
    'sign-tasks': Flags.boolean({
      description:
        'Its secret also signs what tasks have delivered to URLs of their own. That of the first webhook does anyway.',
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(WebhooksAdd);
    const loaded = await this.settings(flags);
    const { addedText } = await import('../../webhooks.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const made = await client.createWebhook({
        url: args.url,
        ...(flags.event === undefined ? {} : { events: flags.event as EventType[] }),
        ...(flags['sign-tasks'] ? { signsTasks: true } : {}),
      });
      this.answer(flags, made, addedText(made));
    });
  }
}
