import { z } from 'zod';
import { defineProvider } from './search-provider.ts';

/** Brave Search API, Web Search: https://api-dashboard.search.brave.com/app/documentation/web-search */
export const brave = defineProvider({
  baseUrl: 'https://api.search.brave.com',
  needsKey: true,
  answer: z.object({
    web: z
      .object({
        results: z.array(
          z.object({ title: z.string(), url: z.string(), description: z.string().default('') }),
        ),
      })
      .optional(),
  }),
  request: ({ query, count }, apiKey) => ({
    path: `/res/v1/web/search?${new URLSearchParams({ q: query, count: String(count), text_decorations: 'false' })}`,
    headers: { 'x-subscription-token': apiKey },
  }),
  hits: ({ web }) =>
    (web?.results ?? []).map(({ title, url, description }) => ({ title, url, snippet: description })),
});
