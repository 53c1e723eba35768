import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ModelsList extends CapybaraCommand {
  static override summary = 'List the models that can be used, and what is known of each.';
  static override description =
    'Those of the server where one is configured (CAPYBARA_URL), else of this machine. The providers are asked which they have, ' +
    'where they can say. "?" is what nobody knows: say it under `models` in your config.yaml. With "+" a long request costs more.';
  static override examples = [
    '<%= config.bin %> models list',
    '<%= config.bin %> models list --provider openai --json',
  ];
  static override flags = {
    provider: Flags.string({ description: 'Only those of this provider.', helpValue: 'NAME' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(ModelsList);
    const loaded = await this.settings(flags);
    const { modelsTable, problemsOf } = await import('../../models-table.ts');
    const found = await this.#models(loaded);
    const only = flags.provider;
    const shown = only === undefined ? found.data : found.data.filter(({ provider }) => provider === only);
    if (shown.length === 0)
      throw await this.#none(
        only,
        found.data.map(({ provider }) => provider),
      );
    const text = modelsTable(found, only);
    this.answer(flags, { ...found, data: shown }, text === '' ? 'No model is known.\n' : text);
    if (!flags.json) for (const problem of problemsOf(found, only)) this.tell(problem);
  }

  async #models(loaded: Awaited<ReturnType<CapybaraCommand['settings']>>) {
    if (loaded.config.url === undefined) {
      const { modelsHere } = await import('../../../model/main.ts');
      return modelsHere(loaded.config);
    }
    return this.withConnection(loaded, { start: false }, ({ client }) => client.models({ ask: 'true' }));
  }

  async #none(only: string | undefined, there: readonly string[]) {
    const { UserError } = await import('../../../core/errors.ts');
    if (only !== undefined && there.length > 0)
      return new UserError(
        'unknown_provider',
        `There is no provider ${only}: there are ${there.join(', ')}.`,
      );
    const message = 'No model provider is configured: `capybara providers add NAME` adds one.';
    return new UserError('no_provider', message);
  }
}
