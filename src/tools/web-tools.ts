import type { Tool } from './tool.ts';
import { webFetchTool } from './web-fetch.ts';
import { type WebSearchConfig, webSearchTool } from './web-search.ts';

/** What of the configuration says which tools there are for the web. */
export interface WebTools {
  /** Nothing but what is configured is contacted: pages are not. */
  readonly offline?: boolean;
  readonly webFetch?: {
    readonly ports?: readonly number[];
    readonly seconds?: number;
    readonly mib?: number;
  };
  readonly webSearch?: WebSearchConfig;
}

const MIB = 1024 * 1024;

export function webTools({ offline = false, webFetch = {}, webSearch = {} }: WebTools): readonly Tool[] {
  const { ports, seconds, mib } = webFetch;
  const search = webSearchTool(webSearch);
  const fetch = webFetchTool({
    ...(ports === undefined ? {} : { ports }),
    ...(seconds === undefined ? {} : { timeoutMs: seconds * 1_000 }),
    ...(mib === undefined ? {} : { bytes: mib * MIB }),
  });
  return [...(offline ? [] : [fetch]), ...(search === undefined ? [] : [search])];
}
