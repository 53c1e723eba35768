import { z } from 'zod';
import type { Effect } from '../core/entry.ts';
import { messageOf, UserError } from '../core/errors.ts';
import type { Tool, ToolContext, ToolOutcome } from './tool.ts';

/** How a model is told of a tool; the same shape as `ToolSpec` of the models. */
export interface ToolDescription {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of type object. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface Registry {
  readonly tools: readonly Tool[];
  /** Sorted by name, so that a prompt stays the same from turn to turn. */
  specs(): readonly ToolDescription[];
  /** `read` for a name that is not there: its call changes nothing. `confined`: as `Sandbox.confined`. */
  effectOf(name: string, confined: boolean): Effect;
  /** The arguments of a call as its tool reads them, or what is wrong with them in words for the model. */
  read(name: string, argumentsText: string): ReadArguments;
  /** Runs one call. Never throws: whatever goes wrong is a result that the model can read. */
  execute(name: string, argumentsText: string, context: ToolContext): Promise<ToolOutcome>;
}

export type ReadArguments =
  | { readonly args: Readonly<Record<string, unknown>> }
  | { readonly problem: string };

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const FOUND_LIMIT = 80;

/** Throws `UserError` (`bad_tool`, `duplicate_tool`) where a tool cannot be offered to a model: that stops the start. */
export function createRegistry(tools: readonly Tool[]): Registry {
  const byName = new Map<string, Tool>();
  for (const tool of tools) {
    if (byName.has(tool.name)) {
      throw new UserError(
        'duplicate_tool',
        `Two tools are named '${tool.name}'; rename or remove one of them.`,
      );
    }
    byName.set(tool.name, tool);
  }
  const sorted = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const specs = sorted.map(describedOnce);
  return {
    tools: sorted,
    specs: () => specs,
    effectOf: (name, confined) => effectOf(byName.get(name), confined),
    read: (name, argumentsText) => readArguments(byName.get(name), { name, argumentsText, known: sorted }),
    async execute(name, argumentsText, context) {
      const tool = byName.get(name);
      const outcome =
        tool === undefined ? unknownTool(name, sorted) : await perform(tool, argumentsText, context);
      return storableOutcome(outcome);
    },
  };
}

function effectOf(tool: Tool | undefined, confined: boolean): Effect {
  if (tool === undefined) return 'read';
  return (confined ? tool.effectConfined : undefined) ?? tool.effect;
}

/** Of these tools alone; `more`: beside them, none of a name that is there. */
export function registryOf(
  registry: Registry,
  names: readonly string[],
  more: readonly Tool[] = [],
): Registry {
  return createRegistry([...registry.tools.filter(({ name }) => names.includes(name)), ...more]);
}

/** One registry of all tools. Throws where two have the same name. */
export function mergeRegistries(...registries: readonly Registry[]): Registry {
  return createRegistry(registries.flatMap((registry) => registry.tools));
}

/** A tool stays what it is, and its schema takes a moment, in each of the registries that it is put into. */
const described = new WeakMap<Tool, ToolDescription>();

function describedOnce(tool: Tool): ToolDescription {
  const known = described.get(tool) ?? describeTool(tool);
  described.set(tool, known);
  return known;
}

function describeTool({ name, description, parameters, schema }: Tool): ToolDescription {
  if (!NAME.test(name)) {
    throw new UserError(
      'bad_tool',
      `A tool is named '${name}', expected 1 to 64 letters, digits, '_' or '-'.`,
    );
  }
  if (description.trim() === '') {
    throw new UserError('bad_tool', `The tool '${name}' has no description; say what it does.`);
  }
  return { name, description, parameters: schema ?? schemaOf(name, parameters) };
}

function schemaOf(name: string, parameters: z.ZodType): Readonly<Record<string, unknown>> {
  let schema: Record<string, unknown>;
  try {
    schema = z.toJSONSchema(parameters, {
      io: 'input',
      override: ({ jsonSchema }) => dropSafeBounds(jsonSchema),
    });
  } catch (error) {
    throw new UserError(
      'bad_tool',
      `The parameters of the tool '${name}' are no JSON Schema: ${messageOf(error)}`,
    );
  }
  const { $schema: _, ...rest } = schema;
  if (rest.type === 'object') return rest;
  const found = JSON.stringify(rest.type) ?? 'none';
  throw new UserError(
    'bad_tool',
    `The parameters of the tool '${name}' have type ${found}, expected "object"; use z.object.`,
  );
}

/** The bounds of a safe integer say nothing to a model. */
function dropSafeBounds(schema: { minimum?: number; maximum?: number }): void {
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
}

async function perform(tool: Tool, argumentsText: string, context: ToolContext): Promise<ToolOutcome> {
  try {
    const args = parseArguments(tool, argumentsText);
    return await tool.execute(args, context);
  } catch (error) {
    return { text: errorText(error), isError: true };
  }
}

function errorText(error: unknown): string {
  const type = error instanceof Error ? error.name : typeof error;
  return `Error: ${type}: ${messageOf(error)}`;
}

function readArguments(
  tool: Tool | undefined,
  {
    name,
    argumentsText,
    known,
  }: { readonly name: string; readonly argumentsText: string; readonly known: readonly Tool[] },
): ReadArguments {
  if (tool === undefined) return { problem: unknownTool(name, known).text };
  try {
    return { args: parseArguments(tool, argumentsText) };
  } catch (error) {
    return { problem: errorText(error) };
  }
}

class InvalidArguments extends Error {
  override readonly name = 'InvalidArguments';
}

function parseArguments(tool: Tool, text: string): Record<string, unknown> {
  const value = parseJson(tool.name, text);
  const parsed = tool.parameters.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `- ${describeIssue(issue, value)}`);
  throw new InvalidArguments(`the arguments of '${tool.name}' do not fit:\n${issues.join('\n')}`);
}

function parseJson(name: string, text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidArguments(
      `the arguments of '${name}' are not valid JSON (${messageOf(error)}); send one JSON object.`,
    );
  }
}

function describeIssue(issue: z.core.$ZodIssue, value: unknown): string {
  const at = issue.path.map(String).join('.');
  let found = value;
  for (const key of issue.path) found = (found as Record<PropertyKey, unknown> | undefined)?.[key];
  const shown = found === undefined ? 'nothing' : JSON.stringify(found);
  const short = shown.length > FOUND_LIMIT ? `${shown.slice(0, FOUND_LIMIT)}...` : shown;
  return `${at === '' ? 'arguments' : at}: ${issue.message} (found ${short})`;
}

function unknownTool(name: string, tools: readonly Tool[]): ToolOutcome {
  const names = tools.map((tool) => tool.name).join(', ');
  return { text: `Error: UnknownTool: there is no tool '${name}'. The tools are: ${names}.`, isError: true };
}

function storableOutcome(outcome: ToolOutcome): ToolOutcome {
  const { text, images, todos } = outcome;
  return {
    ...outcome,
    text: storable(text),
    ...(images && { images: images.map((image) => ({ ...image, name: storable(image.name) })) }),
    ...(todos && { todos: todos.map((todo) => ({ ...todo, text: storable(todo.text) })) }),
  };
}

/** Postgres stores neither NUL nor half a surrogate pair in a text. */
function storable(text: string): string {
  return text.replaceAll('\0', '\u2400').toWellFormed();
}
