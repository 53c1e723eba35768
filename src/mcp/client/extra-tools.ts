/** Resources and prompts of a server, as tools beside its own. */
import {
  GetPromptResultSchema,
  ListResourcesResultSchema,
  ListResourceTemplatesResultSchema,
  type Prompt,
  ReadResourceResultSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { defineTool, type Tool } from '../../tools/tool.ts';
import { type Bridging, effectsOf, isWanted, toolName } from './bridging.ts';
import { answerOf, failureOf, type Piece, pieceOf, resourceOf } from './call-result.ts';
import type { Asking } from './connection.ts';
import type { ServerOffer } from './server-offer.ts';

/** Of all prompts in a description, in characters. */
const LONGEST_LIST = 3_000;
const uri = z.string().min(1).max(2_000);
/** Reading is all that the protocol has these for. */
const READS = { annotations: { readOnlyHint: true } };

/** `taken`: names of the server's own tools. */
export function extraTools(
  bridging: Bridging,
  { hasResources, prompts }: ServerOffer,
  taken: ReadonlySet<string>,
): readonly Tool[] {
  const made = [
    ...(hasResources ? [listResources(bridging, taken), readResource(bridging, taken)] : []),
    ...(prompts.length > 0 ? [getPrompt(bridging, prompts, taken)] : []),
  ];
  return made.filter(({ plain }) => isWanted(bridging.settings, plain)).map(({ tool }) => tool);
}

interface Extra {
  /** Without the server's name. */
  readonly plain: string;
  readonly tool: Tool;
}

function listResources(bridging: Bridging, taken: ReadonlySet<string>): Extra {
  const { server, settings } = bridging;
  const tool = defineTool({
    name: toolName(server, 'list_resources', taken),
    description: `Lists the resources of the MCP server ${server}: their URIs, and the templates of those that there are many of.`,
    parameters: z.strictObject({
      cursor: z.string().max(2_000).optional().describe('From the list before, where there are more.'),
    }),
    ...effectsOf(READS, settings),
    execute: ({ cursor }, { signal }) =>
      asked(bridging, 'list_resources', {
        signal,
        async request(client, options) {
          const params = cursor === undefined ? {} : { cursor };
          const listed = await client.request(
            { method: 'resources/list', params },
            ListResourcesResultSchema,
            options,
          );
          // A server need not have any.
          const templates = await client
            .request({ method: 'resources/templates/list' }, ListResourceTemplatesResultSchema, options)
            .then((found) => found.resourceTemplates)
            .catch(() => []);
          const lines = [
            ...listed.resources.map((each) => `${each.uri}: ${each.description ?? each.title ?? each.name}`),
            ...templates.map((each) => `${each.uriTemplate}: ${each.description ?? each.title ?? each.name}`),
            ...(listed.nextCursor === undefined ? [] : [`(there are more: cursor ${listed.nextCursor})`]),
          ];
          return [{ text: lines.length === 0 ? '(there are none)' : lines.join('\n') }];
        },
      }),
  });
  return { plain: 'list_resources', tool };
}

function readResource(bridging: Bridging, taken: ReadonlySet<string>): Extra {
  const { server, settings } = bridging;
  const tool = defineTool({
    name: toolName(server, 'read_resource', taken),
    description: `Reads a resource of the MCP server ${server}.`,
    parameters: z.strictObject({ uri: uri.describe('As list_resources has it, or made after a template.') }),
    ...effectsOf(READS, settings),
    execute: (args, { signal }) =>
      asked(bridging, 'read_resource', {
        signal,
        async request(client, options) {
          const read = await client.request(
            { method: 'resources/read', params: args },
            ReadResourceResultSchema,
            options,
          );
          return read.contents.map((each, index) => resourceOf(each, `resource-${index + 1}`));
        },
      }),
  });
  return { plain: 'read_resource', tool };
}

function getPrompt(bridging: Bridging, prompts: readonly Prompt[], taken: ReadonlySet<string>): Extra {
  const { server, settings } = bridging;
  const tool = defineTool({
    name: toolName(server, 'get_prompt', taken),
    description: `Gives a prompt of the MCP server ${server}, filled in. There are: ${listed(prompts)}`,
    parameters: z.strictObject({
      name: z.string().min(1).max(200),
      arguments: z.record(z.string(), z.string()).optional(),
    }),
    ...effectsOf(READS, settings),
    execute: (args, { signal }) =>
      asked(bridging, 'get_prompt', {
        signal,
        async request(client, options) {
          const prompt = await client.request(
            { method: 'prompts/get', params: args },
            GetPromptResultSchema,
            options,
          );
          return prompt.messages.map(({ role, content }, index) => {
            const piece = pieceOf(content, `prompt-${index + 1}`);
            return { ...piece, text: `[${role}]\n${piece.text}` };
          });
        },
      }),
  });
  return { plain: 'get_prompt', tool };
}

function listed(prompts: readonly Prompt[]): string {
  const texts = prompts.map(({ name, description = '', arguments: args = [] }) => {
    const takes = args.map((each) => `${each.name}${each.required ? '' : '?'}`).join(', ');
    return `${name}(${takes}) ${description}`.trim();
  });
  const text = texts.join('; ');
  return text.length > LONGEST_LIST ? `${text.slice(0, LONGEST_LIST)}…` : text;
}

async function asked({ server, connection }: Bridging, tool: string, asking: Asking<readonly Piece[]>) {
  const end = await (await connection()).ask(asking);
  return end.kind === 'failed' ? failureOf({ server, tool }, end) : answerOf({ server, tool }, end.result);
}
