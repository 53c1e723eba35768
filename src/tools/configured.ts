/** Tools as the settings want them: what is switched off is not there, for whoever shows tools and whoever runs them. */
import { z } from 'zod';
import { MAX_TIMEOUT_SECONDS } from './bash.ts';
import type { Tool } from './tool.ts';

export interface ToolSettings {
  /** `timeout`: seconds that a command may take where its call says nothing. */
  readonly bash: { readonly enabled: boolean; readonly timeout: number };
  readonly filesystem: { readonly enabled: boolean };
}

export function configuredTools(tools: readonly Tool[], settings: ToolSettings): readonly Tool[] {
  return tools
    .filter((tool) => settings.bash.enabled || !isShell(tool))
    .filter((tool) => settings.filesystem.enabled || !isOfFiles(tool))
    .map((tool) => (TIMED.test(tool.name) ? withTimeout(tool, settings.bash.timeout) : tool));
}

const TIMED = /^bash(_online)?$/;

/** Or runs commands that are in files: hooks. */
function isShell({ name }: Tool): boolean {
  return /^bash($|_)|^vcs_(branch|commit|submit)$/.test(name);
}

/** Of those that do not name their files by `path`. */
const FILE_TOOLS = /^(search_replace|apply_patch|vcs_status)$/;

function isOfFiles(tool: Tool): boolean {
  if (isShell(tool)) return false;
  return 'path' in tool.parameters.shape || tool.paths !== undefined || FILE_TOOLS.test(tool.name);
}

function withTimeout(tool: Tool, seconds: number): Tool {
  const timeout = z
    .int()
    .min(1)
    .max(MAX_TIMEOUT_SECONDS)
    .optional()
    .describe(`Seconds it may take; ${seconds} where left out.`);
  return {
    ...tool,
    parameters: z.strictObject({ ...tool.parameters.shape, timeout }),
    execute: (args, context) => tool.execute({ ...args, timeout: args.timeout ?? seconds }, context),
  };
}
