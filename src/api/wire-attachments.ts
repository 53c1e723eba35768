import { z } from 'zod';
import { ATTACHMENT_LIMITS } from '../core/attachments.ts';

export const Attachment = z
  .strictObject({
    name: z
      .string()
      .regex(new RegExp(`^[^\\p{Cc}]{1,${ATTACHMENT_LIMITS.name}}$`, 'u'))
      .meta({ description: 'what the file is called' }),
    data: z.string().meta({ description: 'its bytes, as base64' }),
  })
  .meta({
    id: 'Attachment',
    description: 'An image (PNG, JPEG, GIF, WebP), a PDF or a text file in UTF-8: its bytes say which.',
  });
export const Attachments = z.array(Attachment).max(ATTACHMENT_LIMITS.files);
export type Attachments = z.infer<typeof Attachments>;
