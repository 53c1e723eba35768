/** Tools for commands that run in the background: `bash` begins them. */
import { z } from 'zod';
import { describeNews, MOMENT_MS } from './background-news.ts';
import { defineTool, type Tool } from './tool.ts';

export const MAX_WAIT_SECONDS = 60;

const id = z.string().describe('As bash named it: "bg_1".');

const bashPollTool = defineTool({
  name: 'bash_poll',
  description:
    'Gives the output of a background command since the last time, then in parentheses whether it is still running or how it ended. ' +
    'With wait it waits that long for output or the end, rather than that you sleep.',
  parameters: z.strictObject({
    id,
    wait: z.int().min(0).max(MAX_WAIT_SECONDS).default(0).describe('Seconds to wait for news at most.'),
  }),
  effect: 'read',
  needs: 'bash',
  async execute({ id: name, wait }, { background, signal }) {
    const process = background.find(name);
    await process.news(wait * 1_000, signal);
    return describeNews(process);
  },
});

const bashInputTool = defineTool({
  name: 'bash_input',
  description:
    'Types a text into a background command, as it is: end a line with a newline. Gives what the command says to it within a moment.',
  parameters: z.strictObject({
    id,
    text: z.string().default('').describe('What is typed.'),
    end: z.boolean().optional().describe('true: the command then finds the end of its input.'),
  }),
  effect: 'external',
  effectConfined: 'workspace',
  needs: 'bash',
  isAllowedOnce: true,
  async execute({ id: name, text, end = false }, { background, signal }) {
    const process = background.find(name);
    if (text !== '') process.write(text);
    if (end) process.closeInput();
    await process.news(MOMENT_MS, signal);
    return describeNews(process);
  },
});

const bashKillTool = defineTool({
  name: 'bash_kill',
  description: 'Ends a background command with all that it started. Gives the rest of its output.',
  parameters: z.strictObject({ id }),
  effect: 'read',
  needs: 'bash',
  async execute({ id: name }, { background }) {
    const process = background.find(name);
    await process.stop('kill');
    return describeNews(process);
  },
});

export const backgroundTools: readonly Tool[] = [bashPollTool, bashInputTool, bashKillTool];
