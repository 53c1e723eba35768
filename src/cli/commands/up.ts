import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Up extends CapybaraCommand {
  static override summary = 'Run the whole of Capybara in one process: its own Postgres, API and worker.';
  static override description =
    'Unfinished tasks of this data directory go on. Ctrl-C stops it (exit code 0; twice, at once: 130); nothing is lost.';
  static override examples = [
    '<%= config.bin %> up',
    '<%= config.bin %> up --port 7171 --data-dir ./capybara-data',
  ];
  static override flags = {
    port: Flags.string({
      description: 'The port of the API on 127.0.0.1; 0 takes a free one.',
      helpValue: 'NUMBER',
    }),
    'data-dir': Flags.string({ description: 'Where everything is kept.', helpValue: 'PATH' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Up);
    const given = { port: flags.port, dataDir: flags['data-dir'] };
    const configured = await this.settings(flags, given, { trustWorkingDirectory: false });
    const [{ runUntilStopped }, { upLines }, { startCapybara }, { readServerInfo }, { withFoundOllama }] =
      await Promise.all([
        import('../serve.ts'),
        import('../up-lines.ts'),
        import('../../embedded/capybara.ts'),
        import('../../embedded/data-dir.ts'),
        import('../../model/ollama-discovery.ts'),
      ]);
    const { settings: config, said } = await withFoundOllama(configured.config);
    const onInterrupt = () => process.stderr.write('Stopping; press Ctrl-C again to end at once.\n');
    await runUntilStopped({ config, level: 'warn', onInterrupt }, async ({ log, fail }) => {
      const capybara = await startCapybara(config, { port: config.port, log, onFailed: fail });
      const apiKeyFile = readServerInfo(config.dataDir)?.apiKeyFile ?? '';
      const lines = upLines({ ...capybara, dataDir: config.dataDir, apiKeyFile, models: said });
      const { url, sandbox } = capybara;
      this.answer(
        flags,
        { url, dataDir: config.dataDir, apiKeyFile, pid: process.pid, sandbox: sandbox.name },
        `${lines.join('\n')}\n`,
      );
      return capybara;
    });
  }
}
