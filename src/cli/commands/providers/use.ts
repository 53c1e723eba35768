import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ProvidersUse extends CapybaraCommand {
  static override summary =
    'Choose the model that is used where none is named: it is written into your config.yaml.';
  static override examples = [
    '<%= config.bin %> providers use anthropic',
    '<%= config.bin %> providers use ollama/qwen3:8b',
  ];
  static override args = {
    name: Args.string({
      description: 'A provider, for its own choice; provider/model; or an alias.',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ProvidersUse);
    const loaded = await this.settings(flags);
    const [settings, { chosenModel }] = await Promise.all([
      import('../../provider-settings.ts'),
      import('../../../model/main.ts'),
    ]);
    settings.refuseForServer(loaded.config);
    const model = await chosenModel(loaded.config, args.name);
    const place = settings.settingsPlace(flags.profile);
    settings.useModel(place, model);
    const overruled = settings.overruling(loaded, model);
    this.say(flags, { model, file: place.file }, `${model} is used from now on (${place.file}).\n`);
    if (overruled !== undefined) this.tell(overruled);
  }
}
