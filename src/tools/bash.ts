import { z } from 'zod';
import type { Command, CommandResult } from '../sandbox/sandbox.ts';
import { describeNews, MOMENT_MS } from './background-news.ts';
import { commandPlaces } from './command-places.ts';
import { defineTool, type ToolContext, type ToolOutcome } from './tool.ts';

export const DEFAULT_TIMEOUT_SECONDS = 30;
export const MAX_TIMEOUT_SECONDS = 600;

/** What every command is asked for with. */
export const COMMAND = {
  command: z.string().min(1).describe('The script for bash -c.'),
  description: z.string().optional().describe('What it does, in a few words, for the people who watch.'),
  timeout: z
    .int()
    .min(1)
    .max(MAX_TIMEOUT_SECONDS)
    .optional()
    .describe(`Seconds it may take; ${DEFAULT_TIMEOUT_SECONDS} where left out.`),
};

export const bashTool = defineTool({
  name: 'bash',
  description:
    'Runs a command with bash, in the workspace root. Gives stdout and stderr together, then the exit code where it is not 0. There is nothing to type into: a command ' +
    'that asks gets the end of its input. When the command ends, all it started ends too, background processes included. What is to go on, ' +
    'such as a server, runs with background: the answer then names it (bg_1), and bash_poll, bash_input and bash_kill take that name.',
  parameters: z.strictObject({
    ...COMMAND,
    background: z
      .boolean()
      .optional()
      .describe(
        'true: it goes on while you do other things, until it ends, bash_kill ends it or the task is over; timeout does not count.',
      ),
  }),
  effect: 'external',
  effectConfined: 'workspace',
  async execute({ command, timeout = DEFAULT_TIMEOUT_SECONDS, background = false }, context) {
    const { workspace, sandbox, signal, onOutput } = context;
    const whole = { script: command, ...(await commandPlaces(workspace, sandbox)) };
    if (background) return runInBackground(whole, context);
    const result = await sandbox.run({ ...whole, timeoutMs: timeout * 1000, onOutput }, signal);
    return outcomeOf(result, timeout);
  },
});

async function runInBackground(
  command: Omit<Command, 'timeoutMs'>,
  { background, signal }: ToolContext,
): Promise<ToolOutcome> {
  const process = await background.start(command, { momentMs: MOMENT_MS, signal });
  const { text, processes } = describeNews(process);
  return { text, processes: { ...processes, started: [process.known] } };
}

/** `timeout`: in seconds, as the command had it. */
export function outcomeOf(result: CommandResult, timeout: number): ToolOutcome {
  const { end } = result;
  const outcome = {
    text: describeResult(result, timeout),
    isError: end.type !== 'exit' || end.code !== 0,
  };
  return end.type === 'limit' && end.limit === 'disk' ? { ...outcome, filledDisk: true } : outcome;
}

/** What the model is shown. */
export function describeResult(result: CommandResult, timeout: number): string {
  const { output, droppedBytes, end, refusedProcesses = 0 } = result;
  const dropped = droppedBytes > 0 ? `(${droppedBytes} more bytes of output were dropped)` : '';
  const refused = refusedProcesses > 0 ? TOO_MANY_PROCESSES : '';
  const parts = [output, dropped, refused, ending(end, timeout)].filter((part) => part !== '');
  if (parts.length === 0) return '(no output)';
  return parts.reduce((text, part) => (text.endsWith('\n') ? text + part : `${text}\n${part}`));
}

const TOO_MANY_PROCESSES =
  '(the command had as many processes and threads as it may: others that it wanted to start were refused)';
const OUT_OF_MEMORY =
  '(the command was killed, with all it started: its memory ran out, of which all its processes together may have so much)';

function ending(end: CommandResult['end'], timeout: number): string {
  switch (end.type) {
    case 'exit':
      return end.code === 0 ? '' : `(exit code ${end.code})`;
    case 'signal':
      return `(the command was killed by signal ${end.signal})`;
    case 'timeout':
      return `(timed out after ${timeout} s and was killed, with all it started; timeout may be up to ${MAX_TIMEOUT_SECONDS})`;
    case 'aborted':
      return '(the command was stopped before it ended: cancelled, or its worker is stopping)';
    case 'limit':
      if (end.limit === 'memory') return OUT_OF_MEMORY;
      return '(the disk was about to be full, and this command wrote most: it was ended, with all it started)';
  }
}
