import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';
import { promptArg, settingsOf, taskFlags } from '../../task-flags.ts';

const { attach: _attach, root: _root, continue: _continue, ...ofTask } = taskFlags;

export default class SchedulesAdd extends CapybaraCommand {
  static override summary = 'Have a task handed in again and again.';
  static override description =
    'Due times that nobody was there for make one task together. A time that does not exist where clocks go forward is due when they have; one that comes twice is due once.';
  static override examples = [
    '<%= config.bin %> schedules add nightly --cron "0 6 * * 1-5" --time-zone Europe/Berlin --workspace https://github.com/you/app "update the dependencies"',
    '<%= config.bin %> schedules add watch --every 30m --session last "look whether CI is green"',
  ];
  static override args = {
    name: Args.string({ description: 'What it is called.', required: true, ignoreStdin: true }),
    prompt: promptArg,
  };
  static override flags = {
    cron: Flags.string({
      description: 'When: minute, hour, day of the month, month and day of the week, in quotes.',
      helpValue: 'EXPRESSION',
    }),
    every: Flags.string({ description: 'Or every 90s, 30m, 12h, 7d.', helpValue: 'TIME' }),
    'time-zone': Flags.string({
      description: 'By whose clocks --cron is, such as Europe/Berlin; UTC where left out.',
      helpValue: 'NAME',
    }),
    overlap: Flags.string({
      description: 'Where a task of it has not ended: none is made (skip, the default), or one more (queue).',
      options: ['skip', 'queue'],
    }),
    disabled: Flags.boolean({ description: 'It is not due before it is enabled.' }),
    ...ofTask,
    workspace: Flags.string({
      description:
        'The files that each task works on: a git repository with a branch, tag or commit (https://host/path#ref), "empty", or a directory of this machine with the embedded Capybara.',
      helpValue: 'empty|PATH|URL',
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(SchedulesAdd);
    const loaded = await this.settings(flags, settingsOf(flags));
    const [{ readPrompt }, { addedText, addSchedule, readSchedule }] = await Promise.all([
      import('../../task-input.ts'),
      import('../../schedules.ts'),
    ]);
    const prompt = await readPrompt(args.prompt, process.stdin);
    const place = { flags, config: loaded.config, cwd: process.cwd() };
    const request = readSchedule(args.name, prompt, place);
    await this.withConnection(loaded, { start: 'answering' }, async ({ client, kind }) => {
      const made = await addSchedule(client, request);
      this.answer(flags, made, addedText(made, kind !== 'configured'));
    });
  }
}
