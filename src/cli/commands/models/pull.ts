import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';
import { tell } from '../../sentences.ts';

export default class ModelsPull extends CapybaraCommand {
  static override summary = 'Fetch a model into your Ollama.';
  static override description =
    'It is fetched by the Ollama that is configured, or that runs on this machine, from its library. Ctrl-C stops it: what was ' +
    'fetched is kept, and the next pull goes on from there.';
  static override examples = [
    '<%= config.bin %> models pull qwen3:8b',
    '<%= config.bin %> models pull qwen3:8b --provider gpu-box',
  ];
  static override args = {
    name: Args.string({
      description: 'The model, as https://ollama.com/library has it.',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    provider: Flags.string({ description: 'Which Ollama, where several are configured.', helpValue: 'NAME' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ModelsPull);
    const loaded = await this.settings(flags);
    const [{ pullModel }, { chooseModel, howToUse }, { PullProgress }, { EXIT }] = await Promise.all([
      import('../../../model/ollama-admin.ts'),
      import('../../../model/ollama-choice.ts'),
      import('../../pull-progress.ts'),
      import('../../run-task.ts'),
    ]);
    const { providers, offline } = loaded.config;
    const { target, model } = chooseModel(providers, { name: args.name, provider: flags.provider, offline });
    const terminal = await this.terminal(loaded);
    const progress = new PullProgress(terminal.style);
    const write = (text: string) => (flags.json ? undefined : terminal.out(text));
    const outcome = await this.withInterrupts(({ signal }) =>
      pullModel(target, model, { signal, onProgress: (news) => write(progress.take(news)) }).finally(() =>
        write(progress.end()),
      ),
    );
    if (outcome === 'stopped') {
      process.exitCode = EXIT.left;
      tell(terminal, `Stopped: pull ${model} again, and it goes on from there.`);
      return;
    }
    const name = `${target.provider}/${model}`;
    this.answer(
      flags,
      { model: name, pulled: true },
      `${name} is there: ${howToUse(providers, target.provider)} --model ${name}\n`,
    );
  }
}
