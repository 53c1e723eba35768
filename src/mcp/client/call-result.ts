/** What a server answers to a call, as a tool's outcome: its texts marked as a stranger's, its images as images. */
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { canonicalText } from '../../core/canonical-json.ts';
import { untrusted } from '../../core/untrusted.ts';
import { imageOutcome } from '../../tools/image-outcome.ts';
import type { ToolImage, ToolOutcome } from '../../tools/tool.ts';
import type { CallEnd, Failed } from './connection.ts';
import { isNestedTooDeep } from './nesting.ts';

type Content = CallToolResult['content'][number];

/** Images of one result; of more the number is told. */
const MOST_IMAGES = 10;

export interface AskedTool {
  readonly server: string;
  /** As the server names it. */
  readonly tool: string;
}

export function outcomeOf(asked: AskedTool, end: CallEnd): ToolOutcome {
  return end.kind === 'result' ? resultOf(asked, end.result) : failureOf(asked, end);
}

export function failureOf({ server }: AskedTool, { why, errors, begun }: Failed): ToolOutcome {
  const said = errors === undefined ? '' : `\n${untrusted(server, errors)}`;
  const known = begun
    ? 'Whether the call has done anything is unknown: find out before you repeat it.'
    : 'The call was not made.';
  return { text: `Error: McpServer: the MCP server '${server}' ${why}. ${known}${said}`, isError: true };
}

function resultOf(asked: AskedTool, result: CallToolResult): ToolOutcome {
  const pieces = result.content.map((each, index) => pieceOf(each, `${asked.tool}-${index + 1}`));
  const structured = structuredIn(result);
  const { images, ...answer } = answerOf(
    asked,
    structured === undefined ? pieces : [...pieces, { text: structured }],
  );
  return result.isError ? { ...answer, isError: true } : { ...answer, ...(images && { images }) };
}

/** Its pieces together, marked as the server's. */
export function answerOf({ server, tool }: AskedTool, pieces: readonly Piece[]): ToolOutcome {
  const images = pieces.flatMap((piece) => piece.images ?? []);
  const dropped = images.length - MOST_IMAGES;
  const texts = [
    ...pieces.map(({ text }) => text),
    dropped > 0 ? `(${dropped} more images are not shown)` : '',
  ];
  const text = texts.filter((each) => each !== '').join('\n');
  return {
    text: text === '' ? '(no output)' : untrusted(`${server}: ${tool}`, text),
    ...(images.length > 0 && { images: images.slice(0, MOST_IMAGES) }),
  };
}

export interface Piece {
  readonly text: string;
  readonly images?: readonly ToolImage[];
}

export function pieceOf(content: Content, name: string): Piece {
  switch (content.type) {
    case 'text':
      return { text: content.text };
    case 'image':
      return imageOf(content.data, content.mimeType, name);
    case 'audio':
      return { text: `(audio, ${content.mimeType}, ${bytesIn(content.data)} bytes: it cannot be shown)` };
    case 'resource_link':
      return { text: `(resource ${content.uri}: ${content.description ?? content.title ?? content.name})` };
    case 'resource':
      return resourceOf(content.resource, name);
  }
}

type Resource = Extract<Content, { type: 'resource' }>['resource'];

export function resourceOf(resource: Resource, name: string): Piece {
  if ('text' in resource) return { text: `(resource ${resource.uri})\n${resource.text}` };
  const { mimeType = 'no type', uri, blob } = resource;
  const shown = mimeType.startsWith('image/') ? imageOf(blob, mimeType, name) : undefined;
  if (shown !== undefined) return { ...shown, text: `(resource ${uri}) ${shown.text}` };
  return { text: `(resource ${uri}, ${mimeType}, ${bytesIn(blob)} bytes: it is binary)` };
}

function imageOf(data: string, mediaType: string, name: string): Piece {
  const bytes = Buffer.from(data, 'base64');
  const shown = imageOutcome({ name, size: bytes.length, bytes });
  if (shown === undefined)
    return { text: `(${name} is called ${mediaType}, and is no image that can be shown)` };
  return { text: shown.text, ...(shown.images && { images: shown.images }) };
}

function bytesIn(base64: string): number {
  return Buffer.byteLength(base64, 'base64');
}

/** Servers repeat it as a text for clients that do not read it: then it is not shown twice. */
function structuredIn({ content, structuredContent }: CallToolResult): string | undefined {
  if (structuredContent === undefined) return undefined;
  if (isNestedTooDeep(structuredContent)) return '(structured content is nested too deep to be shown)';
  const whole = canonicalText(structuredContent);
  const [first, ...others] = Object.values(structuredContent);
  const only = others.length === 0 ? first : undefined;
  const isThere = content.some(
    (each) => each.type === 'text' && (each.text === only || isSame(each.text, whole)),
  );
  return isThere ? undefined : JSON.stringify(structuredContent);
}

function isSame(text: string, canonical: string): boolean {
  try {
    return canonicalText(JSON.parse(text)) === canonical;
  } catch {
    return false;
  }
}
