import { CapybaraCommand } from '../../command.ts';
import { table } from '../../table.ts';

export default class ConfigShow extends CapybaraCommand {
  static override summary = 'Show every setting and where it comes from; secrets are hidden.';
  static override description =
    'First heard, first taken: flags, environment, .env of this directory, the .capybara/config.yaml of the project, your ' +
    'own config.yaml (with --profile, that profile before the rest), defaults.';
  static override examples = ['<%= config.bin %> config show --profile work'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(ConfigShow);
    const { sources, shown } = await this.settings(flags);
    const { metaOf, SETTING_KEYS } = await import('../../../config/settings.ts');
    const settings = SETTING_KEYS.map((key) => ({
      key,
      env: metaOf(key).env,
      value: shown[key] ?? null,
      source: shown[key] === undefined ? null : sources[key].where,
    }));
    const rows = settings.map(({ key, env, value, source }) => [key, env, value ?? '-', source ?? 'not set']);
    this.answer(flags, { settings }, table(['SETTING', 'VARIABLE', 'VALUE', 'FROM'], rows));
  }
}
