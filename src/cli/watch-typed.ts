/** What `run` does with a typed task: has it worked on, watches it, and records it where that is wanted. */
import type { Connection, ConnectOptions } from './connection.ts';
import type { Interrupts } from './interrupts.ts';
import { answersText, checkWritable, writeRecording } from './recording.ts';
import { runTask } from './run-task.ts';
import { tell } from './sentences.ts';
import type { TypedTask } from './task-command.ts';

export interface Watching {
  readonly connection: Connection;
  readonly interrupts: Interrupts;
  readonly flags: {
    readonly json: boolean;
    readonly stream: boolean;
    readonly details: boolean;
    /** Where the session's answers are written. */
    readonly record?: string | undefined;
  };
}

/** The embedded Capybara that is started for the while takes any free port, where none is set. */
export function startOptions({ loaded, request, terminal }: TypedTask): ConnectOptions {
  return {
    start: true,
    ...(loaded.sources.port.kind === 'default' && { port: 0 }),
    check: async (config) => (await import('../api/main.ts')).checkTask(config, request.body),
    onChange: (sentence) => tell(terminal, sentence),
  };
}

/** Returns the exit code. */
export async function watchTyped(
  { request, terminal }: TypedTask,
  { connection, interrupts, flags: { record, json, stream, details } }: Watching,
): Promise<number> {
  if (record !== undefined) await checkWritable(record);
  return runTask(request, {
    ...{ connection, terminal, json, interrupts },
    show: stream ? (json ? 'json' : 'text') : 'none',
    opensCalls: details,
    directory: process.cwd(),
    onEnd: async ({ sessionId }) => {
      if (record === undefined) return;
      const answers = await writeRecording(connection.clientUntil(interrupts.signal), sessionId, record);
      tell(terminal, `Recorded ${answersText(answers)} in ${record}.`);
    },
  });
}
