/** The tool whose effect can be counted: it appends its call's id to a file, and is `external`, as a mail would be. */
import { appendFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineTool, type Tool } from '../tools/tool.ts';
import { SINK_TOOL } from './script.ts';

export function sinkTool(path: string): Tool {
  return defineTool({
    name: SINK_TOOL,
    description: 'Appends a line to the sink.',
    parameters: z.object({ id: z.string(), beforeMs: z.number(), afterMs: z.number() }),
    effect: 'external',
    async execute({ id, beforeMs, afterMs }, { signal }) {
      await delay(beforeMs, undefined, { signal });
      // One write with O_APPEND: lines of several processes do not mix.
      await appendFile(path, `${id}\n`);
      await delay(afterMs);
      return { text: 'appended' };
    },
  });
}
