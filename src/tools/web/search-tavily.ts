import { z } from 'zod';
import { defineProvider } from './search-provider.ts';

/** Tavily Search: https://docs.tavily.com/documentation/api-reference/endpoint/search */
export const tavily = defineProvider({
  baseUrl: 'https://api.tavily.com',
  needsKey: true,
  answer: z.object({
    results: z.array(z.object({ title: z.string(), url: z.string(), content: z.string().default('') })),
  }),
  request: ({ query, count }, apiKey) => ({
    path: '/search',
    headers: { authorization: `Bearer ${apiKey}` },
    body: { query, max_results: count },
  }),
  hits: ({ results }) => results.map(({ title, url, content }) => ({ title, url, snippet: content })),
});
