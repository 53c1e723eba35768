/** What a tool of Capybara's MCP server is: one list of them is told to clients and serves their calls. */
import type { ServerNotification, ToolAnnotations } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { Task } from '../../client/client.ts';
import { ID_PREFIXES, type IdKind } from '../../core/id.ts';
import type { Reach } from './reach.ts';

/** What a request comes with, as the SDK hands it over. */
export interface Extra {
  readonly signal: AbortSignal;
  readonly _meta?: { readonly progressToken?: string | number | undefined } | undefined;
  readonly sendNotification: (notification: ServerNotification) => Promise<void>;
}

export interface ToolCall {
  readonly reach: Reach;
  /** Aborts when the client does not wait for this call any more. */
  readonly signal: AbortSignal;
  /** Tells a client that wants to know what happens meanwhile. */
  tell(message: string): Promise<void>;
}

export interface ServerTool {
  readonly name: string;
  readonly title: string;
  /** For the model that chooses. */
  readonly description: string;
  /** Each of the four hints is said: what is left out counts as the worst. */
  readonly annotations: Required<Omit<ToolAnnotations, 'title'>>;
  readonly input: z.ZodObject;
  readonly output: z.ZodObject;
  /** Resolves with what `output` describes. */
  readonly call: (input: unknown, call: ToolCall) => Promise<Record<string, unknown>>;
  /** The text for clients that know no structured content; JSON where left out. */
  readonly text?: (output: unknown) => string;
  /** Begins the call as an MCP task: its id is that of the task it resolves with. */
  readonly begin?: (input: unknown, call: ToolCall) => Promise<Task>;
}

/** A tool whose functions see what its schemas give. */
export function tool<Input extends z.ZodObject, Output extends z.ZodObject>(
  definition: Omit<ServerTool, 'input' | 'output' | 'call' | 'text' | 'begin'> & {
    readonly input: Input;
    readonly output: Output;
    readonly call: (input: z.output<Input>, call: ToolCall) => Promise<z.output<Output>>;
    readonly text?: (output: z.output<Output>) => string;
    readonly begin?: (input: z.output<Input>, call: ToolCall) => Promise<Task>;
  },
): ServerTool {
  // The server hands over what the schemas returned.
  return definition as unknown as ServerTool;
}

/** An id of that kind, as the API gives it out; `says` is for the model. */
export function idOf(kind: IdKind, says = `${ID_PREFIXES[kind]}_…`): z.ZodString {
  const prefix = `${ID_PREFIXES[kind]}_`;
  const expected = `expected an id: ${prefix} and 32 hexadecimal digits`;
  return z
    .string()
    .regex(new RegExp(`^${prefix}[0-9a-fA-F]{32}$`), expected)
    .describe(says);
}

/** Looks, and changes nothing. */
export const READS = {
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
} as const;
/** Lets an agent act, on files and with commands. */
export const ACTS = {
  readOnlyHint: false,
  destructiveHint: true,
  idempotentHint: false,
  openWorldHint: true,
} as const;
