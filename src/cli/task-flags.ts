import { Args, Flags } from '@oclif/core';
import type { Flags as ConfigFlags } from '../config/layers.ts';

export const promptArg = Args.string({
  description: 'What to do, in quotes; "-" reads it from stdin.',
  required: true,
  ignoreStdin: true,
});

/** The flags of `run` and `submit` (DESIGN §8). */
export const taskFlags = {
  agent: Flags.string({
    description: 'The agent that does it; build where none is named.',
    helpValue: 'NAME',
  }),
  model: Flags.string({ description: 'The model it thinks with.', helpValue: 'PROVIDER/MODEL' }),
  mode: Flags.string({
    description:
      'How permission is asked: safe (before what is dangerous), plan (nothing is changed), auto (never). As its agent has it where left out.',
    options: ['safe', 'plan', 'auto'],
  }),
  'no-tool': Flags.string({
    description:
      'A tool of the agent that it does without, and so do those that it delegates to; may be given several times.',
    helpValue: 'NAME',
    multiple: true,
    multipleNonGreedy: true,
  }),
  temperature: Flags.string({ description: 'From 0 to 2.', helpValue: 'NUMBER' }),
  'max-tokens': Flags.string({ description: 'Tokens that one answer may have.', helpValue: 'NUMBER' }),
  limit: Flags.string({
    description:
      'A hard limit: turns, treeTurns, tokens, usd or seconds; and of what is delegated children, concurrentChildren or depth. May be given several times. Under one of tokens or usd no answer gets more than --max-tokens (4096 where that says nothing).',
    helpValue: 'NAME=VALUE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'on-limit': Flags.string({
    description:
      'What happens at a limit: the task fails, or waits until `capybara tasks resume` raises it (park).',
    options: ['fail', 'park'],
  }),
  workspace: Flags.string({
    description:
      'The files to work on: a directory, of which a server gets a copy; "empty"; or a git repository with a branch, tag or commit ' +
      '(https://host/path#ref). The current directory where left out.',
    helpValue: 'empty|PATH|URL',
  }),
  root: Flags.string({
    description:
      'A named root of a workspace of several, as --workspace names one; may be given several times. With :ro behind it agents cannot change it.',
    helpValue: 'NAME=PATH|URL|empty[:ro]',
    multiple: true,
    multipleNonGreedy: true,
  }),
  attach: Flags.string({
    description: 'A file to send with the prompt: an image, a PDF or a text. May be given several times.',
    helpValue: 'FILE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  continue: Flags.boolean({ description: 'Go on with the last session of this directory.' }),
  session: Flags.string({
    description: 'Go on with this session: ses_…, its beginning, or "last".',
    helpValue: 'ID',
  }),
  url: Flags.string({ description: 'The server to use instead of the embedded Capybara.', helpValue: 'URL' }),
};

/** Those of them that are settings. */
export function settingsOf(flags: {
  readonly model?: string | undefined;
  readonly temperature?: string | undefined;
  readonly 'max-tokens'?: string | undefined;
  readonly url?: string | undefined;
}): ConfigFlags {
  const { model, temperature, url } = flags;
  return { model, temperature, maxTokens: flags['max-tokens'], url };
}

/** Of commands that follow a task. */
export const watchFlags = {
  stream: Flags.boolean({ description: 'Show the work as it goes on.', default: true, allowNo: true }),
  details: Flags.boolean({
    description:
      'On a terminal: open each tool call into what it was given and what came of it, as `o` does with the last one.',
  }),
};
