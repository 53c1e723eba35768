import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ProvidersRemove extends CapybaraCommand {
  static override summary = 'Remove a provider, and its key, from your config.yaml.';
  static override examples = ['<%= config.bin %> providers remove work'];
  static override args = {
    name: Args.string({ description: 'As `providers list` shows it.', required: true, ignoreStdin: true }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ProvidersRemove);
    const loaded = await this.settings(flags);
    const settings = await import('../../provider-settings.ts');
    settings.refuseForServer(loaded.config);
    const place = settings.settingsPlace(flags.profile);
    const model = settings.removeProvider(place, args.name, loaded);
    this.say(flags, { provider: args.name, file: place.file }, `${args.name} removed from ${place.file}.\n`);
    if (model !== undefined)
      this.tell(`The model ${model} is still chosen: choose another with \`capybara providers use\`.`);
  }
}
