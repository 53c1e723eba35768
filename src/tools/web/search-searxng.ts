import { z } from 'zod';
import { defineProvider } from './search-provider.ts';

/**
 * A SearXNG of one's own, whose settings allow the format json: https://docs.searxng.org/dev/search_api.html. It has no key,
 * and gives as many results as its engines do.
 */
export const searxng = defineProvider({
  needsKey: false,
  answer: z.object({
    results: z.array(z.object({ title: z.string(), url: z.string(), content: z.string().nullish() })),
  }),
  request: ({ query }) => ({ path: `/search?${new URLSearchParams({ q: query, format: 'json' })}` }),
  hits: ({ results }) => results.map(({ title, url, content }) => ({ title, url, snippet: content ?? '' })),
});
