/** What all tools of a server share: how they are named, which are wanted, and what their calls may change. */
import { createHash } from 'node:crypto';
import type { Tool as ServerTool } from '@modelcontextprotocol/sdk/types.js';
import { matchGlob } from '../../core/glob.ts';
import type { Tool } from '../../tools/tool.ts';
import type { Connection } from './connection.ts';
import type { McpServer } from './server.ts';

/** What providers take as the name of a tool. */
const NAME_LENGTH = 64;
const MARK_LENGTH = 8;

export interface Bridging {
  readonly server: string;
  readonly settings: McpServer;
  /** Found when a call needs it. */
  readonly connection: () => Promise<Connection>;
}

export function isWanted({ tools }: McpServer, name: string): boolean {
  return tools?.some((pattern) => matchGlob(pattern, name) !== 'none') ?? true;
}

/**
 * `server__tool`, in letters that every provider takes; one that had to be changed ends in a mark of what it was. It is none of `taken`:
 * two tools of one name would fail each turn of an agent that has them.
 */
export function toolName(server: string, tool: string, taken: ReadonlySet<string> = new Set()): string {
  const plain = `${server}__${tool.replace(/[^a-zA-Z0-9_-]/g, '_')}`;
  if (plain.length <= NAME_LENGTH && plain === `${server}__${tool}` && !taken.has(plain)) return plain;
  const start = plain.slice(0, NAME_LENGTH - MARK_LENGTH - 1);
  for (let marked = tool; ; marked += '.') {
    const name = `${start}_${markOf(marked)}`;
    if (!taken.has(name)) return name;
  }
}

function markOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, MARK_LENGTH);
}

/**
 * What a server says of its tools is a hint, believed of one that is trusted. A tool that merely reads may still carry what it is asked
 * to strangers: it counts as `read` only where it says that it reaches nobody, or can reach nobody.
 */
export function effectsOf(
  { annotations = {} }: Pick<ServerTool, 'annotations'>,
  settings: McpServer,
): Effects {
  const { readOnlyHint = false, openWorldHint } = annotations;
  if (settings.trusted === false || !readOnlyHint || openWorldHint) return { effect: 'external' };
  if (openWorldHint === false) return { effect: 'read' };
  const isAlone = 'command' in settings && (settings.hosts ?? []).length === 0;
  return isAlone ? { effect: 'external', effectConfined: 'read' } : { effect: 'external' };
}

type Effects = Pick<Tool, 'effect' | 'effectConfined'>;
