import { CapybaraCommand } from '../../command.ts';
import { table } from '../../table.ts';

export default class ProvidersList extends CapybaraCommand {
  static override summary = 'List the providers of models that are configured; keys are not shown.';
  static override description =
    'Of the server where one is configured (CAPYBARA_URL): they belong to it. Else of this machine.';
  static override examples = ['<%= config.bin %> providers list'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(ProvidersList);
    const loaded = await this.settings(flags);
    if (loaded.config.url !== undefined) {
      await this.withConnection(loaded, { start: false }, async ({ client }) => {
        const { data } = await client.models();
        const providers = data.map(({ provider, kind, defaultModel }) => ({ provider, kind, defaultModel }));
        const rows = providers.map(({ provider, kind, defaultModel }) => [
          provider,
          kind,
          defaultModel ?? '-',
        ]);
        const text =
          rows.length === 0 ? 'The server has no provider.\n' : table(['PROVIDER', 'KIND', 'DEFAULT'], rows);
        this.answer(flags, { providers }, text);
      });
      return;
    }
    const { providersHere } = await import('../../../model/main.ts');
    const providers = await providersHere(loaded.config);
    const rows = providers.map(({ provider, kind, baseUrl, key, defaultModel }) => [
      ...[provider, kind, baseUrl ?? 'its own', key, defaultModel ?? '-'],
    ]);
    const none = 'No provider is configured: `capybara providers add NAME` adds one.\n';
    const text = rows.length === 0 ? none : table(['PROVIDER', 'KIND', 'ADDRESS', 'KEY', 'DEFAULT'], rows);
    this.answer(flags, { providers }, text);
  }
}
