/** What the API says of itself: for programs, and for people. */
import { z } from 'zod';
import { type Route, route } from './route.ts';

/** `routes` is asked when the first of them is: these are among them. */
export function documentRoutes(routes: () => readonly Route[]): Route[] {
  let document: Promise<unknown> | undefined;
  let page: Promise<string> | undefined;
  return [
    route({
      method: 'get',
      path: '/openapi.json',
      summary: 'This API as an OpenAPI 3.1 document.',
      success: { status: 200, description: 'The document.', schema: z.record(z.string(), z.unknown()) },
      handle: async () => {
        document ??= documentOf(routes());
        return { status: 200, body: await document };
      },
    }),
    route({
      method: 'get',
      path: '/docs',
      summary: 'This API as a page for people.',
      success: { status: 200, description: 'The page.', media: ['text/html'] },
      handle: async ({ response }) => {
        page ??= pageOf(routes());
        response.type('html').send(await page);
        return undefined;
      },
    }),
  ];
}

/** Loaded when it is asked for: few ever do. */
async function documentOf(routes: readonly Route[]) {
  const { openApiOf } = await import('./openapi.ts');
  return openApiOf(routes);
}

async function pageOf(routes: readonly Route[]): Promise<string> {
  const { referenceOf } = await import('./reference/page.ts');
  return referenceOf((await documentOf(routes)) as unknown as Parameters<typeof referenceOf>[0]);
}
