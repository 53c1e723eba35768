import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ConfigReset extends CapybaraCommand {
  static override summary =
    'Take a setting, or all, out of your config.yaml: what stands elsewhere, or the default, holds again.';
  static override description =
    'With --profile of that profile alone. --all puts the whole file aside, under a name with the time, and says which.';
  static override examples = [
    '<%= config.bin %> config reset temperature',
    '<%= config.bin %> config reset --all --yes',
  ];
  static override args = {
    key: Args.string({ description: 'As `config show` names it.', ignoreStdin: true }),
  };
  static override flags = {
    all: Flags.boolean({ description: 'Every setting.' }),
    yes: Flags.boolean({ char: 'y', description: 'That is meant.' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ConfigReset);
    const [{ resetSetting, resetAll }, { settingsPlace }, { UserError }] = await Promise.all([
      import('../../config-settings.ts'),
      import('../../provider-settings.ts'),
      import('../../../core/errors.ts'),
    ]);
    const { key } = args;
    if (flags.all === (key !== undefined))
      throw new UserError('bad_usage', 'Expected a setting, or --all for every one.');
    const place = settingsPlace(flags.profile);
    if (key !== undefined) {
      const wasSet = resetSetting(place, key);
      const text = wasSet
        ? `${key} is no longer set in ${place.file}.`
        : `${key} was not set in ${place.file}.`;
      return this.say(flags, { key, wasSet, file: place.file }, `${text}\n`);
    }
    if (!flags.yes)
      throw new UserError(
        'bad_usage',
        `This takes every setting out of ${place.file}: pass --yes if that is meant.`,
      );
    const aside = resetAll(place, new Date());
    const where = aside === undefined ? '' : ` What was there is in ${aside}.`;
    this.say(flags, { all: true, file: place.file, aside: aside ?? null }, `All is reset.${where}\n`);
  }
}
