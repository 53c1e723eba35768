import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ConfigSet extends CapybaraCommand {
  static override summary = 'Set one of your settings: it is written into your config.yaml.';
  static override description =
    'With --profile into that profile. A secret comes from stdin, never from an argument, which every process may read.';
  static override examples = [
    '<%= config.bin %> config set temperature 0.2',
    '<%= config.bin %> config set aliases.fast ollama/qwen3:8b',
    'echo "$KEY" | <%= config.bin %> config set apiKey --stdin',
  ];
  static override args = {
    key: Args.string({ description: 'As `config show` names it.', required: true, ignoreStdin: true }),
    value: Args.string({ description: 'What it is from now on.', ignoreStdin: true }),
  };
  static override flags = { stdin: Flags.boolean({ description: 'Read the value from stdin.' }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ConfigSet);
    const [{ setSetting, isSecret, stillToSay }, { settingsPlace }, { loadConfig }, { UserError }] =
      await Promise.all([
        import('../../config-settings.ts'),
        import('../../provider-settings.ts'),
        import('../../../config.ts'),
        import('../../../core/errors.ts'),
      ]);
    const { key } = args;
    if (isSecret(key) && !flags.stdin)
      throw new UserError('bad_usage', `${key} is a secret: pass --stdin, and the value on stdin.`);
    if (flags.stdin === (args.value !== undefined))
      throw new UserError('bad_usage', 'Expected the value, or --stdin and the value on stdin.');
    const { readText } = await import('../../secret-input.ts');
    const place = settingsPlace(flags.profile);
    const load = (userText?: string) => loadConfig({ profile: flags.profile, userText });
    setSetting(place, { name: key, text: args.value ?? (await readText(process.stdin)) }, load);
    this.say(flags, { key, file: place.file }, `${key} is set in ${place.file}.\n`);
    const overruled = stillToSay(load, key);
    if (overruled !== undefined) this.tell(overruled);
  }
}
