import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';

export default class Verify extends CapybaraCommand {
  static override summary =
    'Prove here that nothing is lost or done twice when processes and connections break.';
  static override description =
    'Starts two APIs, three workers and a scripted model, gives them tasks, and kills, stops, cuts off and restarts what ' +
    'they run on, as the seed says. Then it counts. It uses a Postgres of its own, or a new database in the given one, and ' +
    'redis-server where that is installed. No real data is touched, and nothing stays behind.';
  static override examples = [
    '<%= config.bin %> verify',
    '<%= config.bin %> verify --seed 7 --minutes 10 --backend redis',
    '<%= config.bin %> verify --postgres postgres://me@db.example/postgres',
  ];
  static override flags = {
    seed: Flags.integer({ description: 'What breaks when; the same one again breaks the same.', min: 0 }),
    minutes: Flags.string({
      description: 'How long things break, per backend.',
      default: '1',
      helpValue: 'NUMBER',
    }),
    backend: Flags.string({
      description: 'What the queue and live messages run on.',
      options: ['postgres', 'redis', 'both'],
      default: 'both',
    }),
    postgres: Flags.string({
      description: 'A Postgres to use instead, which is not restarted; its user may create databases.',
      helpValue: 'URL',
    }),
    sessions: Flags.integer({ description: 'Sessions per backend; 40 a minute where left out.', min: 1 }),
    logs: Flags.string({ description: 'Keep what each process logs in this directory.', helpValue: 'DIR' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Verify);
    const { config } = await this.settings(flags, {}, { trustWorkingDirectory: false });
    const { runVerify } = await import('../verify.ts');
    const { text, ok, ...report } = await runVerify(
      { ...flags, backend: flags.backend as 'postgres' | 'redis' | 'both', config },
      { say: (line) => process.stderr.write(`${line}\n`) },
    );
    this.answer(flags, { ok, ...report }, text);
    if (!ok) process.exitCode = 1;
  }

  protected override async catch(error: Error): Promise<void> {
    await super.catch(error);
    if ('code' in error && error.code === 'stopped') process.exitCode = 130;
  }
}
