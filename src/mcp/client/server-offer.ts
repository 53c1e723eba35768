/** What a server offers, read leniently: an entry that is wrong takes nothing from the others. */
import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import {
  type Prompt,
  PromptSchema,
  type Tool as ServerTool,
  ToolSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

/** Of one server. */
export const MOST_TOOLS = 1_000;
export const MOST_PROMPTS = 100;
const MOST_PAGES = 100;

export interface ServerOffer {
  /** As it calls itself: a stranger's words. */
  readonly server: { readonly name: string; readonly version: string };
  readonly tools: readonly ServerTool[];
  /** Entries that are none. */
  readonly refused: number;
  readonly hasResources: boolean;
  readonly prompts: readonly Prompt[];
}

/** `ms`: that all of it may take. Throws what the SDK does. */
export async function offerOf(client: Client, ms: number): Promise<ServerOffer> {
  const { tools, resources, prompts } = client.getServerCapabilities() ?? {};
  const signal = AbortSignal.timeout(ms);
  const listing = { client, signal, ms };
  const [found, asked] = await Promise.all([
    tools ? listOf({ ...listing, kind: 'tools', schema: ToolSchema, most: MOST_TOOLS }) : NOTHING,
    prompts ? listOf({ ...listing, kind: 'prompts', schema: PromptSchema, most: MOST_PROMPTS }) : NOTHING,
  ]);
  const refused = found.refused + asked.refused;
  const { name = '', version = '' } = client.getServerVersion() ?? {};
  return {
    server: { name, version },
    ...{ tools: found.items, refused, hasResources: resources !== undefined, prompts: asked.items },
  };
}

const NOTHING = { items: [], refused: 0 };

interface Listing<Item> {
  readonly client: Client;
  readonly kind: 'tools' | 'prompts';
  readonly schema: {
    safeParse(value: unknown): { readonly success: boolean; readonly data?: Item | undefined };
  };
  readonly most: number;
  readonly signal: AbortSignal;
  readonly ms: number;
}

async function listOf<Item>({ client, kind, schema, most, signal, ms }: Listing<Item>) {
  const Page = z.looseObject({ [kind]: z.array(z.unknown()), nextCursor: z.string().optional() });
  const items: Item[] = [];
  let refused = 0;
  let cursor: string | undefined;
  for (let page = 0; page < MOST_PAGES && items.length < most; page += 1) {
    const params = cursor === undefined ? {} : { cursor };
    const found = await client.request({ method: `${kind}/list`, params }, Page, { timeout: ms, signal });
    for (const each of found[kind] as unknown[]) {
      const { success, data } = schema.safeParse(each);
      if (success && data !== undefined) items.push(data);
      else refused += 1;
    }
    cursor = found.nextCursor as string | undefined;
    if (cursor === undefined) break;
  }
  return { items: items.slice(0, most), refused };
}
