/** What is written, and leaving. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandEnvironment } from '../../../config.ts';
import { UserError } from '../../../core/errors.ts';
import type { ChatCommand } from './context.ts';

export const INPUT_COMMANDS: readonly ChatCommand[] = [
  {
    name: 'queue',
    summary: 'make it the next task, after the one in hand',
    usage: 'TEXT',
    run: async ({ queue }, args) => {
      if (args === '') throw new UserError('bad_usage', 'Expected what is to be done: /queue TEXT.');
      await queue(args);
    },
  },
  {
    name: 'editor',
    summary: 'write a message in your own editor',
    usage: '[TEXT]',
    run: async ({ input, without }, args) => {
      const text = await without(() => edited(args));
      input.write(text);
    },
  },
  { name: 'exit', summary: 'leave; a task goes on', usage: '', run: async ({ leave }) => leave() },
];

/** As git looks for it. */
function editorOf({ VISUAL, EDITOR }: ReturnType<typeof commandEnvironment>): string {
  return VISUAL || EDITOR || 'vi';
}

async function edited(text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'capybara-message-'));
  const file = join(directory, 'message.md');
  try {
    await writeFile(file, text, { mode: 0o600 });
    const editor = editorOf(commandEnvironment());
    // It may have arguments of its own, as in `code --wait`.
    const child = spawn('sh', ['-c', `${editor} "$1"`, 'sh', file], {
      env: commandEnvironment(),
      stdio: 'inherit',
    });
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    child.on('error', reject).on('close', resolve);
    if ((await promise) !== 0)
      throw new UserError('editor_failed', `${editor} failed: set EDITOR to another, such as nano.`);
    return (await readFile(file, 'utf8')).trimEnd();
  } finally {
    await rm(directory, { recursive: true });
  }
}
