import type { ChatCommand } from './context.ts';
import { FILE_COMMANDS } from './files.ts';
import { HELP_COMMANDS } from './help.ts';
import { INPUT_COMMANDS } from './input.ts';
import { LOG_COMMANDS } from './log.ts';
import { MCP_COMMANDS } from './mcp.ts';
import { SESSION_COMMANDS } from './sessions.ts';
import { SETTING_COMMANDS } from './settings.ts';
import { TOOL_COMMANDS } from './tools.ts';

/** All of them, by name. */
export const CHAT_COMMANDS: readonly ChatCommand[] = [
  ...HELP_COMMANDS,
  ...SETTING_COMMANDS,
  ...TOOL_COMMANDS,
  ...MCP_COMMANDS,
  ...SESSION_COMMANDS,
  ...LOG_COMMANDS,
  ...FILE_COMMANDS,
  ...INPUT_COMMANDS,
].toSorted((one, other) => (one.name < other.name ? -1 : 1));
