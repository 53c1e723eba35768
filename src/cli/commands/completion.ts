import { Args } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';
import { SHELLS } from '../completion/line.ts';

export default class Completion extends CapybaraCommand {
  static override summary = 'Print the script by which your shell completes commands, flags and ids at Tab.';
  static override description =
    'Its first lines say where it goes. It asks this program at each Tab, so it stays as it is when Capybara is updated; ids, agents and ' +
    'models are those of the Capybara that answers within a second.';
  static override examples = [
    '$ source <(<%= config.bin %> completion bash)   # in ~/.bashrc',
    '$ source <(<%= config.bin %> completion zsh)    # in ~/.zshrc, after compinit',
    '<%= config.bin %> completion fish > ~/.config/fish/completions/<%= config.bin %>.fish',
  ];
  static override args = {
    shell: Args.string({
      description: 'Which one.',
      required: true,
      options: [...SHELLS],
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Completion);
    const { readFileSync } = await import('node:fs');
    const script = readFileSync(new URL(`../completion/capybara.${args.shell}`, import.meta.url), 'utf8');
    this.answer(flags, { shell: args.shell, script }, script);
  }
}
