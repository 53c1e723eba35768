import type { LoadedConfig } from '../config.ts';
import { CapybaraCommand, type GlobalFlags } from './command.ts';
import { tell } from './sentences.ts';
import { settingsOf } from './task-flags.ts';
import type { TaskFlags, TaskRequest } from './task-input.ts';
import type { Terminal } from './terminal.ts';

type Given = GlobalFlags & TaskFlags & Parameters<typeof settingsOf>[0];

/** What was typed, read and checked as far as that goes here. */
export interface TypedTask {
  readonly loaded: LoadedConfig;
  readonly request: TaskRequest;
  readonly terminal: Terminal;
}

/** What commands share that give an agent a task. */
export abstract class TaskCommand extends CapybaraCommand {
  /** `prompt`: "-" for what stands in stdin. */
  protected async readTyped(prompt: string, flags: Given): Promise<TypedTask> {
    const loaded = await this.settings(flags, settingsOf(flags));
    const [{ readPrompt, readTask }, { ruleWarning }] = await Promise.all([
      import('./task-input.ts'),
      import('./rule-warning.ts'),
    ]);
    const text = await readPrompt(prompt, process.stdin);
    const request = readTask(text, { flags, config: loaded.config, cwd: process.cwd() });
    const terminal = await this.terminal(loaded);
    const warning = ruleWarning(loaded.config, request);
    if (warning !== undefined) tell(terminal, warning);
    return { loaded, request, terminal };
  }

  /** Sends it to a Capybara that goes on when the command has ended, and prints its id. */
  protected async submit({ loaded, request, terminal }: TypedTask, flags: GlobalFlags): Promise<void> {
    const { dimLines, submitTask } = await import('./run-task.ts');
    const progress = flags.json ? undefined : dimLines(terminal);
    await this.withConnection(loaded, { start: false }, async (connection) => {
      const task = await submitTask(request, connection, {
        tell: progress,
        isWatched: terminal.style.isWatched,
      });
      this.answer(flags, task, `${task.id}\n`);
    });
  }
}
