import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Worker extends CapybaraCommand {
  static override summary = 'Run a worker of a server: it takes turns from the queue and does them.';
  static override description =
    'Needs DATABASE_URL, and REDIS_URL where the queue is on Redis. SIGTERM hands its turns back and stops it.';
  static override examples = [
    '$ DATABASE_URL=postgres://… <%= config.bin %> worker --concurrency 32',
    '$ DATABASE_URL=postgres://… <%= config.bin %> worker --check',
  ];
  static override flags = {
    concurrency: Flags.string({ description: 'Turns that it does at a time.', helpValue: 'NUMBER' }),
    check: Flags.boolean({
      description: 'Only say whether one runs here whose lease is in force; exit code 3 where not.',
    }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Worker);
    const given = { concurrency: flags.concurrency };
    const { config } = await this.settings(flags, given, { trustWorkingDirectory: false });
    const { databaseOf, runUntilStopped } = await import('../serve.ts');
    const url = databaseOf(config);
    if (flags.check) {
      const { checkWorker } = await import('../../worker/health.ts');
      await checkWorker(url);
      return this.answer(flags, { ready: true }, 'A worker runs here.\n');
    }
    const { runWorker } = await import('../../worker/main.ts');
    await runUntilStopped({ config, level: 'info' }, ({ log }) => runWorker(config, log));
  }
}
