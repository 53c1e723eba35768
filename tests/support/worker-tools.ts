/** Tools for tests of the worker, the same in its process and in a child's. */
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { builtinTools } from '../../src/tools/builtin.ts';
import { defineTool, type Tool, type ToolContext } from '../../src/tools/tool.ts';
import { pngOf } from './images.ts';

/** `say` tells the test what happens: `started NAME`. */
export function workerTools(say: (line: string) => void): Tool[] {
  const text = z.object({ text: z.string() });
  /** A line for each run, where nothing is ever put back. */
  const count = async (line: string, { workspace }: ToolContext) => {
    await mkdir(workspace.scratch, { recursive: true });
    await appendFile(join(workspace.scratch, 'calls'), `${line}\n`);
  };
  /** Runs until it is told to stop. */
  const endless = async (name: string, context: ToolContext) => {
    const { signal } = context;
    await count(name, context);
    say(`started ${name}`);
    await aborted(signal);
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
      name: 'draw',
      description: 'Shows a picture.',
      parameters: z.object({}),
      effect: 'read',
      async execute() {
        const image = { name: 'a.png', mediaType: 'image/png' as const, width: 2, height: 1 };
        return { text: 'drawn', images: [{ ...image, bytes: pngOf() }] };
      },
    }),
    defineTool({
      name: 'note',
      description: 'Appends a line to the file `notes`.',
      parameters: text,
      effect: 'workspace',
      async execute(args, context) {
        await count(args.text, context);
        await appendFile(join(context.workspace.root, 'notes'), `${args.text}\n`);
        say(`noted ${args.text}`);
        return { text: `noted ${args.text}` };
      },
    }),
    defineTool({
      name: 'stumble',
      description:
        'Appends a line to the file `notes`; when it first runs it goes on until it is told to stop.',
      parameters: text,
      effect: 'workspace',
      async execute(args, context) {
        const { workspace, signal } = context;
        const before = await readFile(join(workspace.scratch, 'calls'), 'utf8').catch(() => '');
        await count(args.text, context);
        await appendFile(join(workspace.root, 'notes'), `${args.text}\n`);
        say(`noted ${args.text}`);
        if (!before.includes(args.text)) await aborted(signal);
        return { text: `noted ${args.text}` };
      },
    }),
    defineTool({
      name: 'halt',
      description: 'Waits two seconds, whatever it is told, and appends a line to the file `notes`.',
      parameters: text,
      effect: 'workspace',
      async execute(args, context) {
        say(`halted ${args.text}`);
        await delay(2_000);
        await appendFile(join(context.workspace.root, 'notes'), `${args.text}\n`);
        say(`noted ${args.text}`);
        return { text: `noted ${args.text}` };
      },
    }),
    defineTool({
      name: 'tell',
      description: 'Tells the world a text.',
      parameters: text,
      effect: 'external',
      async execute(args, context) {
        await count(args.text, context);
        say(`told ${args.text}`);
        return { text: `told ${args.text}` };
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

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
