import { type Body, blocksOf } from './request.ts';

export interface ScriptedImage {
  readonly mediaType: string;
  readonly base64: string;
  /** What stands around it: the result of a call, or what a user said. */
  readonly role: 'user' | 'tool';
}

/** The images of a request, in their order, wherever its protocol lets them stand. */
export function messagesImages(body: Body): ScriptedImage[] {
  return body.messages.flatMap((message: Body) => blocksOf(message.content).flatMap(blockImages));
}

export function chatImages(body: Body): ScriptedImage[] {
  return body.messages.flatMap(({ role, content }: Body) =>
    blocksOf(content).flatMap((block) =>
      block.type === 'image_url' ? [imageOf(block.image_url.url, role)] : [],
    ),
  );
}

/** Of a `data:` URL. */
export function imageOf(url: string, role: ScriptedImage['role']): ScriptedImage {
  const [, mediaType = '', base64 = ''] = /^data:([^;]*);base64,(.*)$/s.exec(url) ?? [];
  return { mediaType, base64, role };
}

function blockImages(block: Body): ScriptedImage[] {
  if (block.type === 'tool_result')
    return blocksOf(block.content).flatMap((each) => wireImages(each, 'tool'));
  return wireImages(block, 'user');
}

function wireImages({ type, source }: Body, role: ScriptedImage['role']): ScriptedImage[] {
  return type === 'image' ? [{ mediaType: source.media_type, base64: source.data, role }] : [];
}

/** How each begins, in hexadecimal. */
const SIGNATURES: readonly (readonly [mediaType: string, hex: RegExp])[] = [
  ['image/png', /^89504e470d0a1a0a/],
  ['image/jpeg', /^ffd8ff/],
  ['image/gif', /^47494638(37|39)61/],
  ['image/webp', /^52494646.{8}57454250/],
];

/** The type of an image, by how it begins; empty where it is none. */
export function signedType(base64: string): string {
  const hex = Buffer.from(base64.slice(0, 64), 'base64').toString('hex', 0, 16);
  return SIGNATURES.find(([, signature]) => signature.test(hex))?.[0] ?? '';
}

/** What Anthropic takes of one image, as base64. */
const MOST_BASE64 = 5 * 1024 * 1024;

/** Why the real API would refuse one: its type, its size, or that it is none. */
export function imageRefusal({ mediaType, base64 }: ScriptedImage): string | undefined {
  const signature = SIGNATURES.find(([type]) => type === mediaType)?.[1];
  if (signature === undefined) return `image media type ${mediaType} is not supported`;
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64) return 'image data is not base64';
  if (base64.length > MOST_BASE64)
    return `image exceeds 5 MB maximum: ${base64.length} bytes > ${MOST_BASE64} bytes`;
  return signature.test(bytes.toString('hex', 0, 16)) ? undefined : 'Could not process image';
}
