import { UserError } from '../../core/errors.ts';
import { CapybaraCommand } from '../command.ts';

export default class Doctor extends CapybaraCommand {
  static override summary = 'Say what is wrong here, and how to mend it.';
  static override description =
    'Node, git and the other programs, how commands are confined and why, the data directory and its disk, the server and the key for it, ' +
    'Postgres, Redis, the keys of providers, MCP servers, clocks, and what is wrong with other settings. It changes nothing and shows no secret. ' +
    'Exit code 1 where something must be mended.';
  static override examples = [
    '<%= config.bin %> doctor',
    '<%= config.bin %> doctor --json',
    '$ DATABASE_URL=postgres://… REDIS_URL=redis://… <%= config.bin %> doctor',
  ];

  override async run(): Promise<void> {
    const { flags } = await this.parse(Doctor);
    // Settings that cannot be read are one of the things to mend.
    const loaded = await this.settings(flags).catch((error: unknown) => {
      if (error instanceof UserError) return error;
      throw error;
    });
    const [{ examine }, { doctorReport }, { showsUnicode }, { commandEnvironment }] = await Promise.all([
      import('../../doctor/main.ts'),
      import('../doctor-report.ts'),
      import('../terminal.ts'),
      import('../../config.ts'),
    ]);
    const checks = await examine(loaded);
    const isUnicode = showsUnicode(commandEnvironment());
    this.say(flags, { checks }, doctorReport(checks, { isUnicode }));
    if (checks.some(({ state }) => state === 'wrong')) process.exitCode = 1;
  }
}
