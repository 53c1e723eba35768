/** Tools of servers as tools of agents. */
import type { Tool as ServerTool } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { readSchema } from '../../core/json-schema.ts';
import { problemsOf } from '../../core/json-schema-check.ts';
import type { Tool } from '../../tools/tool.ts';
import { type Bridging, effectsOf, isWanted, toolName } from './bridging.ts';
import { outcomeOf } from './call-result.ts';
import { extraTools } from './extra-tools.ts';
import { isNestedTooDeep } from './nesting.ts';
import type { McpServer } from './server.ts';
import type { ServerOffer } from './server-offer.ts';

/** Of one tool as a model is told of it, in characters. */
export const LONGEST_DESCRIPTION = 4_000;
export const LONGEST_SCHEMA = 32_000;
const TOLD_PROBLEMS = 5;

/** In the server's order; what a setting leaves out, or no model would take, is not there. */
export function bridgedTools(bridging: Bridging, offer: ServerOffer): readonly Tool[] {
  const { server, settings } = bridging;
  const taken = new Set<string>();
  const seen = new Set<string>();
  const made: Tool[] = [];
  for (const tool of offer.tools) {
    // One that is there twice is there once.
    if (seen.has(tool.name)) continue;
    seen.add(tool.name);
    if (whyLeftOut(tool, settings) !== undefined) continue;
    const name = toolName(server, tool.name, taken);
    taken.add(name);
    made.push(bridged(name, tool, bridging));
  }
  return [...made, ...extraTools(bridging, offer, taken)];
}

/** A tool that no agent sees. `setting`: `tools` does not name it. `schema`: no model would take it. */
export interface LeftOut {
  /** As the server names it. */
  readonly tool: string;
  readonly why: 'setting' | 'schema';
}

export function leftOut(settings: McpServer, tools: readonly ServerTool[]): readonly LeftOut[] {
  return tools.flatMap((tool) => {
    const why = whyLeftOut(tool, settings);
    return why === undefined ? [] : [{ tool: tool.name, why }];
  });
}

function whyLeftOut({ name, inputSchema }: ServerTool, settings: McpServer): LeftOut['why'] | undefined {
  if (!isWanted(settings, name)) return 'setting';
  if (isNestedTooDeep(inputSchema)) return 'schema';
  return JSON.stringify(inputSchema).length > LONGEST_SCHEMA ? 'schema' : undefined;
}

function bridged(name: string, tool: ServerTool, { server, settings, connection }: Bridging): Tool {
  const asked = { server, tool: tool.name };
  return {
    name,
    description: descriptionOf(tool, server),
    schema: toldSchema(tool.inputSchema),
    parameters: checkedOnce(tool.inputSchema),
    ...effectsOf(tool, settings),
    async execute(args, { signal, onOutput }) {
      const found = await connection();
      const call = { name: tool.name, args, signal, onProgress: onOutput };
      return outcomeOf(asked, await found.call(call));
    },
  };
}

/** Providers refuse a whole request for what else stands at the top of one tool's schema. It is checked all the same. */
const TOLD = ['required', 'additionalProperties', '$defs', 'definitions', 'description'];

function toldSchema(schema: ServerTool['inputSchema']): Readonly<Record<string, unknown>> {
  const told = Object.entries(schema).filter(([name]) => TOLD.includes(name));
  return { type: 'object', properties: schema.properties ?? {}, ...Object.fromEntries(told) };
}

function descriptionOf({ title, annotations, description }: ServerTool, server: string): string {
  const said = description?.trim() || title?.trim() || annotations?.title?.trim();
  const text = said || `A tool of the MCP server ${server}.`;
  return text.length > LONGEST_DESCRIPTION ? `${text.slice(0, LONGEST_DESCRIPTION)}…` : text;
}

/** The same in each turn, and a schema takes a moment to read. */
const checked = new WeakMap<object, z.ZodObject>();

function checkedOnce(schema: object): z.ZodObject {
  const known = checked.get(schema) ?? argumentsOf(schema);
  checked.set(schema, known);
  return known;
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
