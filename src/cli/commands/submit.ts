import { TaskCommand } from '../task-command.ts';
import { promptArg, taskFlags } from '../task-flags.ts';

export default class Submit extends TaskCommand {
  static override summary = 'Give an agent a task and print its id.';
  static override description =
    'The task is kept from the moment its id is printed. Follow it with `capybara tail ID`. A server works on a copy of this ' +
    'directory, which is sent first: what it did comes back with `capybara apply ID`.';
  static override examples = [
    '<%= config.bin %> submit "update the dependencies and make the tests pass"',
    '<%= config.bin %> submit - --workspace empty < task.md',
  ];
  static override args = { prompt: promptArg };
  static override flags = taskFlags;

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Submit);
    await this.submit(await this.readTyped(args.prompt, flags), flags);
  }
}
