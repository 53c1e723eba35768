import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ModelsDelete extends CapybaraCommand {
  static override summary = 'Remove a model from your Ollama.';
  static override examples = ['<%= config.bin %> models delete qwen3:8b'];
  static override args = {
    name: Args.string({
      description: 'The model, as `models list` shows it.',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    provider: Flags.string({
      description: 'Which Ollama, where several are configured.',
      helpValue: 'NAME',
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ModelsDelete);
    const { config } = await this.settings(flags);
    const [{ deleteModel }, { chooseModel }] = await Promise.all([
      import('../../../model/ollama-admin.ts'),
      import('../../../model/ollama-choice.ts'),
    ]);
    const { providers, offline } = config;
    const { target, model } = chooseModel(providers, {
      ...{ name: args.name, provider: flags.provider, offline },
    });
    await deleteModel(target, model);
    const name = `${target.provider}/${model}`;
    this.say(flags, { model: name, deleted: true }, `${name} removed\n`);
  }
}
