import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

const BROKEN_OFF = 130;

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
    const loaded = await this.settings(flags);
    const [settings, { newProvider }] = await Promise.all([
      import('../../provider-settings.ts'),
      import('../../../model/main.ts'),
    ]);
    settings.refuseForServer(loaded.config);
    settings.checkName(args.name);
    const named = flags.kind ?? (flags.file === undefined ? undefined : 'replay');
    const { kind, baseUrl, isLocal } = newProvider(args.name, { kind: named, baseUrl: flags.url });
    const file = settings.recordingOf(kind, flags.file);
    const needsKey = !isLocal && kind !== 'oci' && kind !== 'replay';
    const key = await this.#key(args.name, flags, needsKey);
    if (key === undefined) {
      process.exitCode = BROKEN_OFF;
      return this.tell('Nothing was changed.');
    }
    const place = settings.settingsPlace(flags.profile);
    const provider = {
      kind: named ?? (baseUrl === undefined ? kindOf(args.name, kind) : undefined),
      baseUrl,
      file,
      ...key,
    };
    settings.addProvider(place, args.name, { provider, replace: flags.replace });
    const state = 'apiKey' in key ? 'set' : 'apiKeyVariable' in key ? 'variable' : 'none';
    const answer = { provider: args.name, kind, baseUrl: baseUrl ?? null, key: state, file: place.file };
    const next = `Try it: capybara providers test ${args.name}`;
    this.say(
      flags,
      answer,
      `${args.name} added to ${place.file}. A Capybara that runs takes it with its next start.\n${next}\n`,
    );
  }

  async #key(
    name: string,
    flags: { 'key-stdin': boolean; 'key-variable'?: string | undefined; 'no-key': boolean },
    needsKey: boolean,
  ): Promise<{ apiKey: string } | { apiKeyVariable: string } | Record<never, never> | undefined> {
    const { askKey, readKey } = await import('../../secret-input.ts');
    const { UserError } = await import('../../../core/errors.ts');
    if (flags['key-stdin']) return { apiKey: await readKey(process.stdin) };
    if (flags['key-variable'] !== undefined) return { apiKeyVariable: flags['key-variable'] };
    if (flags['no-key'] || !needsKey) return {};
    if (!process.stdin.isTTY)
      throw new UserError(
        'key_missing',
        `No key was given for ${name}: pass --key-stdin, --key-variable NAME, or --no-key where it wants none.`,
      );
    const key = await askKey(
      { input: process.stdin, output: process.stderr },
      `Key of ${name} (not shown): `,
    );
    return key === undefined ? undefined : { apiKey: key };
  }
}

/** Of those whose name says it, nothing has to be written. */
function kindOf(name: string, kind: string): string | undefined {
  return name === kind ? undefined : kind;
}
