import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ProvidersAdd extends CapybaraCommand {
  static override summary = 'Add a provider of models to your config.yaml.';
  static override description =
    'anthropic, openai, google, xai, mistral, deepseek, alibaba, groq, cohere, moonshot, zai, openrouter, ollama and lmstudio are known ' +
    'by name; any other needs --url, or --file. The key is typed unseen, comes from stdin, or stays in a variable: never in an argument.';
  static override examples = [
    '<%= config.bin %> providers add anthropic',
    '<%= config.bin %> providers add work --url https://models.internal/v1 --key-variable WORK_KEY',
    '<%= config.bin %> providers add home --url http://localhost:1234/v1',
    '<%= config.bin %> providers add again --file session.json',
  ];
  static override args = {
    name: Args.string({ description: 'What it is called here.', required: true, ignoreStdin: true }),
  };
  static override flags = {
    url: Flags.string({ description: 'Where its API is.', helpValue: 'URL' }),
    kind: Flags.string({
      description: 'How it is spoken to: told from the address where left out.',
      options: ['anthropic', 'openai', 'chat', 'ollama', 'oci', 'replay'],
    }),
    file: Flags.string({
      description: 'The recording that it plays, of `run --record` or `sessions export`.',
      helpValue: 'FILE',
      exclusive: ['url'],
    }),
    'key-stdin': Flags.boolean({
      description: 'Read its key from stdin.',
      exclusive: ['key-variable', 'no-key'],
    }),
    'key-variable': Flags.string({
      description: 'The environment variable that its key is in.',
      helpValue: 'NAME',
      exclusive: ['key-stdin', 'no-key'],
    }),
    'no-key': Flags.boolean({ description: 'It wants none.' }),
    replace: Flags.boolean({ description: 'Instead of one of that name.' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ProvidersAdd);
    const { config } = await this.settings(flags);
    const [{ addTypedProvider }, { newProvider }, { EXIT }] = await Promise.all([
      import('../../added-provider.ts'),
      import('../../../model/main.ts'),
      import('../../run-task.ts'),
    ]);
    const added = await addTypedProvider(args.name, flags, { config, newProvider });
    if (added === undefined) {
      process.exitCode = EXIT.left;
      return this.tell('Nothing was changed.');
    }
    const done = `${args.name} added to ${added.file}. A Capybara that runs takes it with its next start.`;
    this.say(flags, added, `${done}\nTry it: capybara providers test ${args.name}\n`);
  }
}
