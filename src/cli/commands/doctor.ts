import { CapybaraCommand } from '../command.ts';

const MARKS = { ok: '✓', warning: '!', wrong: '✗' } as const;

export default class Doctor extends CapybaraCommand {
  static override summary = 'Say what is wrong here, and how to mend it.';
  static override description =
    'How commands are confined and why, the programs that Capybara needs, its data directory, the server, Postgres and Redis that ' +
    'are configured, and what is wrong with other settings. Exit code 1 where something must be mended.';
  static override examples = ['<%= config.bin %> doctor', '<%= config.bin %> doctor --json'];

  override async run(): Promise<void> {
    const { flags } = await this.parse(Doctor);
    const { config } = await this.settings(flags);
    const { examine } = await import('../../doctor/main.ts');
    const checks = await examine(config);
    const lines = checks.map(({ name, state, found, cure }) => {
      const mend = cure === undefined ? '' : `: ${cure}`;
      return `${MARKS[state]} ${name}: ${found}${mend}.`;
    });
    this.answer(flags, { checks }, `${lines.join('\n')}\n`);
    if (checks.some(({ state }) => state === 'wrong')) process.exitCode = 1;
  }
}
