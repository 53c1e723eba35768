import { z } from 'zod';
import { UserError } from '../core/errors.ts';
import { untrusted } from '../core/untrusted.ts';
import { defineTool, type Tool } from './tool.ts';
import { askProvider, type SearchSettings } from './web/ask-provider.ts';
import { brave } from './web/search-brave.ts';
import type { SearchHit, SearchProvider } from './web/search-provider.ts';
import { searxng } from './web/search-searxng.ts';
import { tavily } from './web/search-tavily.ts';

export const DEFAULT_RESULTS = 5;
/** The least that a provider gives at most: Brave and Tavily 20. */
export const MAX_RESULTS = 20;
export const MAX_QUERY_LENGTH = 400;
/** Of a result, as far as it is shown. */
const SNIPPET_CHARS = 500;

const PROVIDERS = { brave, tavily, searxng } as const;

/** What is configured: `CAPYBARA_WEB_SEARCH_*`. */
export interface WebSearchConfig {
  readonly provider?: keyof typeof PROVIDERS;
  readonly apiKey?: string;
  readonly url?: string;
}

/**
 * Searches by the configured provider; undefined where none is: then no model is told of it. `external` like `web_fetch`: what
 * is asked leaves the machine.
 *
 * @throws UserError `config_invalid` where the provider lacks what it needs
 */
export function webSearchTool(config: WebSearchConfig, timeoutMs?: number): Tool | undefined {
  const settings = settingsOf(config);
  if (settings === undefined) return undefined;
  return defineTool({
    name: 'web_search',
    description:
      'Searches the web and gives titles, URLs and a few sentences of each result. Read a result with web_fetch.',
    parameters: z.strictObject({
      query: z.string().trim().min(1).max(MAX_QUERY_LENGTH).describe('What to search for.'),
      count: z
        .int()
        .min(1)
        .max(MAX_RESULTS)
        .optional()
        .describe(`How many results at most; ${DEFAULT_RESULTS} where left out.`),
    }),
    effect: 'external',
    async execute({ query, count = DEFAULT_RESULTS }, { signal }) {
      const within = { signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
      const hits = (await askProvider({ query, count }, settings, within)).slice(0, count);
      if (hits.length === 0) return { text: `(${settings.name} found nothing for '${query}')` };
      const text = hits.map(describe).join('\n\n');
      return { text: `${hits.length} results of ${settings.name}:\n${untrusted('web search', text)}` };
    },
  });
}

function settingsOf({ provider: name, apiKey = '', url }: WebSearchConfig): SearchSettings | undefined {
  if (name === undefined) return undefined;
  const provider: SearchProvider = PROVIDERS[name];
  const baseUrl = url ?? provider.baseUrl;
  if (baseUrl === undefined) throw missing(name, 'CAPYBARA_WEB_SEARCH_URL', 'where it is');
  if (provider.needsKey && apiKey === '') throw missing(name, 'CAPYBARA_WEB_SEARCH_API_KEY', 'its key');
  return { name, provider, baseUrl: baseUrl.replace(/\/+$/, ''), apiKey };
}

function missing(name: string, variable: string, what: string): UserError {
  const message = `CAPYBARA_WEB_SEARCH_PROVIDER is ${name}, which needs ${variable} (${what}): set it, or no provider.`;
  return new UserError('config_invalid', message);
}

function describe({ title, url, snippet }: SearchHit, index: number): string {
  const line = (text: string) => text.replace(/\s+/g, ' ').trim();
  const said = line(snippet);
  const short = said.length > SNIPPET_CHARS ? `${said.slice(0, SNIPPET_CHARS).toWellFormed()}…` : said;
  return [`${index + 1}. ${line(title)}`, `   ${line(url)}`, ...(short === '' ? [] : [`   ${short}`])].join(
    '\n',
  );
}
