import { Args } from '@oclif/core';
import { UserError } from '../../core/errors.ts';
import { CapybaraCommand } from '../command.ts';
import CapybaraHelp from '../help.ts';
import { noCommand } from '../near-command.ts';

/** What would be printed. */
class HelpText extends CapybaraHelp {
  text = '';

  protected override log(...lines: string[]): void {
    this.text += `${lines.join('\n')}\n`;
  }
}

export default class HelpCommand extends CapybaraCommand {
  static override summary = 'Show what there is, or what a command does.';
  static override examples = ['<%= config.bin %> help', '<%= config.bin %> help tasks list'];
  static override args = { command: Args.string({ description: 'Which one.', ignoreStdin: true }) };
  static override strict = false;

  override async run(): Promise<void> {
    const { argv, flags } = await this.parse(HelpCommand);
    const words = argv.map(String);
    const id = words.join(':');
    const isKnown = this.config.commandIDs.some((known) => known === id || known.startsWith(`${id}:`));
    if (words.length > 0 && !isKnown)
      throw new UserError('unknown_command', noCommand(words, this.config.commandIDs));
    const help = new HelpText(this.config);
    await help.showHelp(words);
    this.answer(flags, { help: help.text }, help.text);
  }
}
