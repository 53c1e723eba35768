import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

const KEEP = 'This is the first key: keep it, it is not shown again.\n';
const HAS_KEYS =
  'The database is up to date, and an administrator has a key already; where it is lost, `capybara keys recover` makes another.\n';

export default class Migrate extends CapybaraCommand {
  static override summary = 'Bring the database up to this version.';
  static override description =
    'Safe to run at any time, and by several at once. Secrets that another key has sealed are sealed anew with the first one of ' +
    'CAPYBARA_ENCRYPTION_KEY. With --bootstrap it also makes the first key of a server, which alone goes to ' +
    'standard output, once; where it was lost, see `capybara keys recover`.';
  static override examples = ['$ DATABASE_URL=postgres://… <%= config.bin %> migrate --bootstrap'];
  static override flags = {
    bootstrap: Flags.boolean({ description: 'Make the first key, where no administrator has one.' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Migrate);
    const { config } = await this.settings(flags, {}, { trustWorkingDirectory: false });
    const [{ databaseOf }, { migrate }, { sealAnew }] = await Promise.all([
      import('../serve.ts'),
      import('../../store/migrate.ts'),
      import('../../store/sealed-rows.ts'),
    ]);
    const url = databaseOf(config);
    await migrate(url, { log: (line) => process.stderr.write(`${line}\n`) });
    const sealed = config.encryptionKey === undefined ? 0 : await sealAnew(url, config.encryptionKey);
    if (sealed > 0) process.stderr.write(`Secrets sealed anew with the first encryption key: ${sealed}.\n`);
    if (!flags.bootstrap) return this.answer(flags, { migrated: true }, 'The database is up to date.\n');
    const { bootstrap } = await import('../../store/bootstrap.ts');
    const first = await bootstrap(url);
    this.answer(flags, { migrated: true, apiKey: first?.apiKey ?? null }, first ? `${first.apiKey}\n` : '');
    if (!flags.json) this.tell(first ? KEEP : HAS_KEYS);
  }
}
