/** Tools for tests of the worker, the same in its process and in a child's. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { builtinTools } from '../../src/tools/builtin.ts';
import { defineTool, type Tool, type ToolContext } from '../../src/tools/tool.ts';

/** `say` tells the test what happens: `started NAME`. */
export function workerTools(say: (line: string) => void): Tool[] {
  const text = z.object({ text: z.string() });
  /** Leaves a line per run in the workspace, then runs until it is told to stop. */
  const endless = async (name: string, { workspace, signal }: ToolContext) => {
    await appendFile(join(workspace.root, 'calls'), `${name}\n`);
    say(`started ${name}`);
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    return { text: 'stopped early', isError: true };
  };
  return [
    ...builtinTools(),
    defineTool({
      name: 'look',
      description: 'Says a text.',
      parameters: text,
      effect: 'read',
      execute: async (args) => ({ text: args.text }),
    }),
    defineTool({
      name: 'note',
      description: 'Appends a line to the file `calls`.',
      parameters: text,
      effect: 'workspace',
      async execute(args, { workspace }) {
        await appendFile(join(workspace.root, 'calls'), `${args.text}\n`);
        say(`noted ${args.text}`);
        return { text: `noted ${args.text}` };
      },
    }),
    defineTool({
      name: 'boom',
      description: 'Throws.',
      parameters: z.object({}),
      effect: 'read',
      execute: async () => {
        throw new TypeError('it went off');
      },
    }),
    defineTool({
      name: 'die',
      description: 'Kills its process.',
      parameters: z.object({}),
      effect: 'read',
      execute: async () => {
        process.kill(process.pid, 'SIGKILL');
        return new Promise(() => {});
      },
    }),
    defineTool({
      name: 'endless_read',
      description: 'Reads for ever.',
      parameters: z.object({}),
      effect: 'read',
      execute: (_, context) => endless('endless_read', context),
    }),
    defineTool({
      name: 'endless_change',
      description: 'Changes for ever.',
      parameters: z.object({}),
      effect: 'external',
      execute: (_, context) => endless('endless_change', context),
    }),
  ];
}
