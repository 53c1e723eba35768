/** What is done to a session as a whole, and where one was found, on the wire. */
import { z } from 'zod';
import { MAX_TITLE_LENGTH } from '../core/title.ts';
import { Id } from './wire-id.ts';

export const PatchSession = z
  .strictObject({
    title: z
      .string()
      .max(MAX_TITLE_LENGTH)
      .regex(/^[^\p{Cc}\p{Cs}]*[^\p{Cc}\p{Cs}\s][^\p{Cc}\p{Cs}]*$/u, 'expected a line with something on it')
      .meta({ description: 'one line' }),
  })
  .meta({ id: 'PatchSession' });
export type PatchSession = z.infer<typeof PatchSession>;

export const DeletedSession = z.object({ id: Id, deleted: z.literal(true) }).meta({
  id: 'DeletedSession',
  description: 'It is there no more, nor is anything that was delegated below it.',
});
export type DeletedSession = z.infer<typeof DeletedSession>;

export const SessionMatch = z
  .object({
    where: z.enum(['title', 'said', 'answered']),
    entry: z.int().nullable().meta({ description: 'of an answer: its place in the log' }),
    text: z.string().meta({ description: 'a short part of what stands there, around the words' }),
  })
  .meta({ id: 'SessionMatch', description: 'Of a search: where a session says what was looked for, best.' });
export type SessionMatch = z.infer<typeof SessionMatch>;
