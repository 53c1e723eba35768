import { z } from 'zod';
import type { CommandResult } from '../sandbox/sandbox.ts';
import { commandPlaces } from './command-places.ts';
import { defineTool } from './tool.ts';

export const DEFAULT_TIMEOUT_SECONDS = 30;
export const MAX_TIMEOUT_SECONDS = 600;

export const bashTool = defineTool({
  name: 'bash',
  description:
    'Runs a command with bash, in the workspace root. Gives stdout and stderr together, then the exit code where it is not 0. There is nothing to type into: a command ' +
    'that asks gets the end of its input. When the command ends, all it started ends too, background processes included.',
  parameters: z.strictObject({
    command: z.string().min(1).describe('The script for bash -c.'),
    description: z.string().optional().describe('What it does, in a few words, for the people who watch.'),
    timeout: z
      .int()
      .min(1)
      .max(MAX_TIMEOUT_SECONDS)
      .optional()
      .describe(`Seconds it may take; ${DEFAULT_TIMEOUT_SECONDS} where left out.`),
  }),
  effect: 'external',
  effectConfined: 'workspace',
  async execute({ command, timeout = DEFAULT_TIMEOUT_SECONDS }, { workspace, sandbox, signal, onOutput }) {
    const places = await commandPlaces(workspace, sandbox);
    const result = await sandbox.run(
      { script: command, ...places, timeoutMs: timeout * 1000, onOutput },
      signal,
    );
    const isError = result.end.type !== 'exit' || result.end.code !== 0;
    return { text: describe(result, timeout), isError };
  },
});

function describe({ output, droppedBytes, end }: CommandResult, timeout: number): string {
  const dropped = droppedBytes > 0 ? `(${droppedBytes} more bytes of output were dropped)` : '';
  const parts = [output, dropped, ending(end, timeout)].filter((part) => part !== '');
  if (parts.length === 0) return '(no output)';
  return parts.reduce((text, part) => (text.endsWith('\n') ? text + part : `${text}\n${part}`));
}

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
  }
}
