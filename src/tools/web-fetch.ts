import { z } from 'zod';
import { type Reach, systemReach } from '../checked-agent.ts';
import { untrusted } from '../core/untrusted.ts';
import { imageOutcome } from './image-outcome.ts';
import { defineTool, type Tool, type ToolOutcome } from './tool.ts';
import { fetchPage, type Page, type WebLimits } from './web/fetch-page.ts';
import { kindOf, mediaTypeOf, textIn } from './web/page-text.ts';
import { READABLE_LIMITS, type ReadableLimits, readable } from './web/readable.ts';
import { WebError } from './web/web-error.ts';
import { MAX_URL_LENGTH } from './web/web-url.ts';

export interface WebFetchSettings extends WebLimits {
  readonly readable: ReadableLimits;
}

export const WEB_FETCH_DEFAULTS: WebFetchSettings = {
  timeoutMs: 30_000,
  bytes: 5 * 1024 * 1024,
  redirects: 5,
  ports: [],
  readable: READABLE_LIMITS,
};

/**
 * Reads a page of the public web. Its effect is `external` though a GET changes nothing by itself: the URL may carry data out
 * of the machine, which nothing takes back, so permission is asked as for any act that leaves the workspace, and a call whose
 * worker was lost is told as unknown instead of being sent once more.
 *
 * @param reach how names and machines are reached; a test's own
 */
export function webFetchTool(settings: Partial<WebFetchSettings> = {}, reach: Reach = systemReach()): Tool {
  const limits = { ...WEB_FETCH_DEFAULTS, ...settings };
  return defineTool({
    name: 'web_fetch',
    description:
      'Fetches one page or image of the public web by HTTP GET. Of a page it gives the text: a web page as Markdown without menus and ' +
      'scripts, other texts (JSON, plain text, source code) as they are; an image (PNG, JPEG, GIF, WebP) is shown. No private addresses, ' +
      'no cookies, no keys. Redirects are followed. A long page is cut.',
    parameters: z.strictObject({
      url: z.string().min(1).max(MAX_URL_LENGTH).describe('The whole URL, with https:// or http://.'),
      format: z
        .enum(['readable', 'raw'])
        .optional()
        .describe('readable (where left out): web pages as Markdown; raw: the source as it came.'),
    }),
    effect: 'external',
    async execute({ url, format = 'readable' }, { signal }) {
      const page = await fetchPage(url, { reach, limits, signal });
      return outcomeOf(page, { format, signal, limits });
    },
  });
}

interface Wanted {
  readonly format: 'readable' | 'raw';
  readonly signal: AbortSignal;
  readonly limits: WebFetchSettings;
}

async function outcomeOf(page: Page, wanted: Wanted): Promise<ToolOutcome> {
  const { bytes, contentType, cut, status } = page;
  const kind = kindOf(contentType, bytes);
  const type = mediaTypeOf(contentType) || 'no content type';
  if (kind === 'binary') {
    const image = imageOf(page);
    if (image !== undefined) return image;
    const size = cut ? `more than ${bytes.length}` : bytes.length;
    throw new WebError(
      `${page.url.href} is binary (${type}, ${size} bytes); web_fetch reads text and images. To download it, use bash where it has the network.`,
    );
  }
  const source = textIn(bytes, contentType, kind);
  const made = await madeOf(source, { ...wanted, kind, url: page.url.href });
  const notes = [
    `${status}`,
    type,
    ...(cut ? [`only the first ${bytes.length} bytes: the page is longer`] : [`${bytes.length} bytes`]),
    ...(made === undefined ? ['the source: it could not be made readable within the limits'] : []),
  ];
  const text = untrusted(page.url.href, made ?? source);
  return { text: `${page.url.href} (${notes.join('; ')})\n${text}`, isError: status >= 400 };
}

/** By its content, whatever the server calls it. Undefined: it is none, or not a whole one. */
function imageOf({ url, status, contentType, bytes, cut }: Page): ToolOutcome | undefined {
  if (cut || status >= 400) return undefined;
  const name = url.pathname.split('/').at(-1) || url.host;
  const image = imageOutcome({ name, size: bytes.length, bytes });
  if (image === undefined) return undefined;
  const type = mediaTypeOf(contentType) || 'no content type';
  return { ...image, text: `${url.href} (${status}; ${type})\n${image.text}` };
}

/** Undefined: too much for the limits. */
async function madeOf(
  source: string,
  { format, kind, url, signal, limits }: Wanted & { readonly kind: string; readonly url: string },
): Promise<string | undefined> {
  if (kind !== 'html' || format === 'raw') return source;
  const text = await readable({ html: source, url }, signal, limits.readable);
  signal.throwIfAborted();
  return text;
}
