/** Tools of servers as tools of agents. */
import { createHash } from 'node:crypto';
import type { Tool as ServerTool } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { Effect } from '../../core/entry.ts';
import { matchGlob } from '../../core/glob.ts';
import { readSchema } from '../../core/json-schema.ts';
import { problemsOf } from '../../core/json-schema-check.ts';
import type { Tool } from '../../tools/tool.ts';
import { outcomeOf } from './call-result.ts';
import type { Connection } from './connection.ts';
import type { McpServer } from './server.ts';

/** What providers take as the name of a tool. */
const NAME_LENGTH = 64;
const MARK_LENGTH = 8;
/** Of one tool as a model is told of it, in characters. */
export const LONGEST_DESCRIPTION = 4_000;
export const LONGEST_SCHEMA = 32_000;
const TOLD_PROBLEMS = 5;

export interface Bridging {
  readonly server: string;
  readonly settings: McpServer;
  /** Found when a call needs it. */
  readonly connection: () => Promise<Connection>;
}

/** In the server's order; what a setting leaves out, or no model would take, is not there. */
export function bridgedTools(bridging: Bridging, tools: readonly ServerTool[]): readonly Tool[] {
  const { server, settings } = bridging;
  const taken = new Set<string>();
  const made: Tool[] = [];
  for (const tool of tools) {
    const isWanted = settings.tools?.some((pattern) => matchGlob(pattern, tool.name) !== 'none') ?? true;
    if (!isWanted || JSON.stringify(tool.inputSchema).length > LONGEST_SCHEMA) continue;
    const name = toolName(server, tool.name, taken);
    taken.add(name);
    made.push(bridged(name, tool, bridging));
  }
  return made;
}

/** `server__tool`, in letters that every provider takes; one that had to be changed ends in a mark of what it was. */
export function toolName(server: string, tool: string, taken: ReadonlySet<string> = new Set()): string {
  const plain = `${server}__${tool.replace(/[^a-zA-Z0-9_-]/g, '_')}`;
  if (plain.length <= NAME_LENGTH && plain === `${server}__${tool}` && !taken.has(plain)) return plain;
  const mark = createHash('sha256').update(tool).digest('hex').slice(0, MARK_LENGTH);
  return `${plain.slice(0, NAME_LENGTH - MARK_LENGTH - 1)}_${mark}`;
}

function bridged(name: string, tool: ServerTool, { server, settings, connection }: Bridging): Tool {
  const asked = { server, tool: tool.name };
  const { type, properties = {}, ...schema } = tool.inputSchema;
  return {
    name,
    description: descriptionOf(tool, server),
    schema: { type, properties, ...schema },
    parameters: argumentsOf(tool.inputSchema),
    effect: effectOf(tool, settings),
    async execute(args, { signal, onOutput }) {
      const found = await connection();
      const call = { name: tool.name, args, signal, onProgress: onOutput };
      return outcomeOf(asked, await found.call(call));
    },
  };
}

function descriptionOf({ title, annotations, description }: ServerTool, server: string): string {
  const said = description?.trim() || title?.trim() || annotations?.title?.trim();
  const text = said || `A tool of the MCP server ${server}.`;
  return text.length > LONGEST_DESCRIPTION ? `${text.slice(0, LONGEST_DESCRIPTION)}…` : text;
}

/**
 * What a server says of its tools is a hint, believed of one that is trusted. A tool that merely reads may still carry what it is asked
 * to strangers: it counts as `read` only where it says that it reaches nobody, or can reach nobody.
 */
export function effectOf({ annotations = {} }: ServerTool, settings: McpServer): Effect {
  const { readOnlyHint = false, openWorldHint } = annotations;
  if (settings.trusted === false || !readOnlyHint) return 'external';
  const reachesNobody = 'command' in settings && (settings.hosts ?? []).length === 0;
  return openWorldHint === false || (openWorldHint === undefined && reachesNobody) ? 'read' : 'external';
}

/** Checked before a call; where the schema says what is not checked here, the server alone does. */
function argumentsOf(given: unknown): z.ZodObject {
  const schema = readSchema(given);
  const any = z.looseObject({});
  if (typeof schema === 'string') return any;
  return any.superRefine((args, context) => {
    for (const message of problemsOf(schema, args)?.slice(0, TOLD_PROBLEMS) ?? [])
      context.addIssue({ code: 'custom', message });
  });
}
