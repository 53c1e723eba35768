import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Api extends CapybaraCommand {
  static override summary = 'Run the HTTP API of a server.';
  static override description =
    'Needs DATABASE_URL, and REDIS_URL where the queue is on Redis. SIGTERM stops it after the requests in hand.';
  static override examples = [
    '$ DATABASE_URL=postgres://… <%= config.bin %> api --port 7070',
    '<%= config.bin %> api --check',
  ];
  static override flags = {
    port: Flags.string({ description: 'The port to listen on; 0 takes a free one.', helpValue: 'NUMBER' }),
    check: Flags.boolean({
      description: 'Only say whether the one that runs here can serve; exit code 3 where not.',
    }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Api);
    const given = { port: flags.port };
    const { config } = await this.settings(flags, given, { trustWorkingDirectory: false });
    if (flags.check) {
      const { checkApi } = await import('../check-api.ts');
      await checkApi(config.port);
      return this.answer(flags, { ready: true }, 'The API can serve.\n');
    }
    const { databaseOf, runUntilStopped } = await import('../serve.ts');
    databaseOf(config);
    const { runApi } = await import('../../api/main.ts');
    await runUntilStopped({ config, level: 'info' }, ({ log }) => runApi(config, log));
  }
}
