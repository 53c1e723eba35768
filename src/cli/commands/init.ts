import { Flags } from '@oclif/core';
import { CapybaraCommand } from '../command.ts';
import { TYPES } from '../init/answers.ts';

export default class Init extends CapybaraCommand {
  static override summary =
    'Set up a provider of models, step by step: asks, tries it, and saves what you agree to.';
  static override description =
    'What flags say is not asked. It goes into your config.yaml, which is yours alone to read where it has a key; Ctrl-C, or No at the end, ' +
    'writes nothing. Without a terminal everything is said by flags, and --yes saves it.';
  static override examples = [
    '<%= config.bin %> init',
    '<%= config.bin %> init --type ollama --model qwen3-coder --yes',
    'echo "$KEY" | <%= config.bin %> init --type openai --key-stdin --model gpt-5 --yes',
    '<%= config.bin %> init --type custom --name work --endpoint https://models.internal/v1 --save-env',
  ];
  static override flags = {
    name: Flags.string({ description: 'What the provider is called here.' }),
    type: Flags.string({ description: 'Which one it is.', options: [...TYPES] }),
    endpoint: Flags.string({ description: 'Where its API is, http(s).', helpValue: 'URL' }),
    'key-stdin': Flags.boolean({ description: 'Read its key from stdin.' }),
    model: Flags.string({ description: 'The model to use.' }),
    temperature: Flags.string({ description: '0.0 to 2.0; 0.7 where left out.', helpValue: 'NUMBER' }),
    'max-tokens': Flags.string({ description: 'Most tokens of an answer.', helpValue: 'NUMBER' }),
    test: Flags.boolean({ description: 'Try the connection first.', allowNo: true, default: true }),
    'save-env': Flags.boolean({ description: 'Write it to .env of this directory, too.' }),
    replace: Flags.boolean({ description: 'Overwrite what is set already.' }),
    yes: Flags.boolean({ char: 'y', description: 'Save without asking.' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Init);
    const loaded = await this.settings(flags);
    const [{ initialise, BROKEN_OFF }, providers] = await Promise.all([
      import('../init/initialise.ts'),
      import('../../model/main.ts'),
    ]);
    const outcome = await initialise(loaded, {
      providers,
      io:
        process.stdin.isTTY && process.stdout.isTTY
          ? { input: process.stdin, output: process.stdout }
          : undefined,
      given: {
        ...{ name: flags.name, type: flags.type, endpoint: flags.endpoint, model: flags.model },
        ...{ temperature: flags.temperature, maxTokens: flags['max-tokens'] },
      },
      ...{ keyStdin: flags['key-stdin'], tries: flags.test, savesEnv: flags['save-env'] },
      ...{ replaces: flags.replace, agrees: flags.yes, profile: flags.profile, isQuiet: flags.json },
    });
    this.answer(flags, outcome.answer, outcome.text);
    // What is being tried is not waited for.
    if (outcome.exitCode === BROKEN_OFF) this.exit(BROKEN_OFF);
    if (!outcome.answer.saved) process.exitCode = outcome.exitCode;
  }
}
