import { Flags } from '@oclif/core';
import { toPublicId } from '../../../core/id.ts';
import { CapybaraCommand } from '../../command.ts';

export default class KeysRecover extends CapybaraCommand {
  static override summary = 'Make an administrator’s key where the last one was lost.';
  static override description =
    'For whoever runs the server: it asks no API, and writes to the database that DATABASE_URL names. The key, for everything, goes ' +
    'alone to standard output. Other keys stay good, and the audit shows that it was made.';
  static override examples = [
    '$ DATABASE_URL=postgres://… <%= config.bin %> keys recover',
    '$ docker compose exec api capybara keys recover',
    '$ DATABASE_URL=postgres://… <%= config.bin %> keys recover --team design --user Ana',
  ];
  static override flags = {
    team: Flags.string({
      description: 'The name of the team; the one that runs this Capybara where left out.',
      helpValue: 'NAME',
    }),
    user: Flags.string({
      description: 'Whose it is, by name; made where nobody is called so.',
      helpValue: 'NAME',
      default: 'admin',
    }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(KeysRecover);
    const { config } = await this.settings(flags, {}, { trustWorkingDirectory: false });
    const [{ checkName }, { databaseOf }, { recoverKey }, { oneLine }] = await Promise.all([
      import('../../people.ts'),
      import('../../serve.ts'),
      import('../../../store/bootstrap.ts'),
      import('../../untrusted-text.ts'),
    ]);
    checkName('--user', flags.user);
    const { id, ...key } = await recoverKey(databaseOf(config), { team: flags.team, user: flags.user });
    const publicId = toPublicId('key', id);
    this.answer(flags, { id: publicId, ...key }, `${key.apiKey}\n`);
    if (flags.json) return;
    const whose = `${oneLine(key.user, 60)} in the team ${oneLine(key.team, 60)}`;
    this.tell(`Key ${publicId} of ${whose}, for everything: keep it, it is not shown again.`);
  }
}
