import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ProvidersTest extends CapybaraCommand {
  static override summary = 'Ask each provider, or one, for a tiny answer, and say what came of it.';
  static override description =
    'It costs a few tokens. The configured model is asked where it is the provider’s, else its own choice, else the first it has. Exit ' +
    'code 1 where one cannot be used.';
  static override examples = [
    '<%= config.bin %> providers test',
    '<%= config.bin %> providers test work/small',
  ];
  static override args = {
    name: Args.string({ description: 'A provider, or provider/model.', ignoreStdin: true }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ProvidersTest);
    const loaded = await this.settings(flags);
    const [{ refuseForServer }, { tryProviders }, { neutralised }] = await Promise.all([
      import('../../provider-settings.ts'),
      import('../../../model/main.ts'),
      import('../../untrusted-text.ts'),
    ]);
    refuseForServer(loaded.config);
    const tried = await tryProviders(loaded.config, args.name);
    const lines = tried.map(
      ({ ok, provider, message }) => `${ok ? '✓' : '✗'} ${provider}: ${neutralised(message)}\n`,
    );
    this.say(flags, { providers: tried }, lines.join(''));
    if (tried.some(({ ok }) => !ok)) process.exitCode = 1;
  }
}
