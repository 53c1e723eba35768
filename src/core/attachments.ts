import { IMAGE_LIMITS } from './images.ts';

/** Files that a person sends with a prompt or a message. Others belong into the workspace. */
export const ATTACHMENT_LIMITS = {
  files: 10,
  /** In bytes. */
  image: IMAGE_LIMITS.bytes,
  pdf: 12 * 1024 * 1024,
  text: 1024 * 1024,
  /** Of all together. */
  total: 12 * 1024 * 1024,
  /** Of a name, in characters. */
  name: 255,
  /** What the model is shown of their texts together, in UTF-16 code units. */
  chars: 200_000,
} as const;

/** As base64. */
export const MAX_ATTACHED_BYTES = Math.ceil(ATTACHMENT_LIMITS.total / 3) * 4 + ATTACHMENT_LIMITS.files * 4;
